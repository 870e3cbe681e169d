"""A campaign whose calls fail by nobody's fault pauses itself, and those calls cost nobody a try.

There are two ways to fail: the provider refuses the requests, or it accepts them and the calls end by an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, about_campaigns
from campaigns.ledger import lock_to_change, pause, set_state, uncount, wait_again
from campaigns.models import Call, Campaign, Change, Outcome, Prospect
from campaigns.rules.breaker import trips
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import PAUSED_ITSELF, CampaignState
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.rules.prospect_state import ProspectState

REFUSALS_IN_A_ROW = 5  # one number may be odd; five different ones in a row mean that the campaign itself is
GIVEN_BACK = 2  # times that a refusal costs somebody nothing: who looked twice and resumed means it
LOOK_BACK = 200  # calls: more than are under way at once with any sensible number of workers

_REFUSED = f"{PAUSED_ITSELF}every request is refused"
_FAILING = f"{PAUSED_ITSELF}too many calls failed: "
_STARTED = ("start", "resume", "running")
_GOING_ON = frozenset({CampaignState.RUNNING, CampaignState.PAUSED})  # nobody of another campaign is called again
_FORGIVEN = "the calls failed by nobody's fault"


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Time in which the campaign could call without a break; each call belongs to that in which its intent was."""

    began: datetime | None
    ended: datetime | None = None
    """When the next one began: whoever was under way at a pause belongs to the stretch before it."""

    @property
    def calls(self) -> ColumnElement[bool]:
        after = true() if self.began is None else Call.intent_at >= self.began
        before = true() if self.ended is None else and_(Call.intent_at < self.ended, Call.claimed_at < self.ended)
        return and_(Call.intent_at.is_not(None), after, before)


@dataclass(frozen=True, slots=True)
class _Refusal:
    call_id: UUID
    prospect_id: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Settled:
    call_id: UUID
    prospect_id: int
    outcome: OutcomeClass
    reason: str | None


def watched(session: Session) -> list[UUID]:
    """The campaigns that may have to pause themselves, or did and may have more people to give back."""
    mine = (Campaign.state == CampaignState.PAUSED) & Campaign.state_why.startswith(PAUSED_ITSELF, autoescape=True)
    return list(session.scalars(select(Campaign.id).where((Campaign.state == CampaignState.RUNNING) | mine)))


def pause_if_at_fault(session: Session, campaign_id: UUID, *, now: datetime) -> bool:
    """Pause the campaign if its latest requests were all refused or too many of its calls failed; True where it did.

    It costs nobody a try: neither those who were refused or failed, nor those who were under way then and are refused
    or fail after the pause, or after a resume. Judged are only calls that were made since somebody last let the
    campaign call. Looks without locks first: nearly always there is nothing to do.
    """
    campaign = about_campaigns(session, [campaign_id])[campaign_id]
    return _pause_if_all_refused(session, campaign, now=now) or _pause_if_failing(session, campaign, now=now)


def _pause_if_all_refused(session: Session, facts: CampaignFacts, *, now: datetime) -> bool:
    """A wrong assistant or number id makes the provider refuse everybody.

    Requests are under way side by side, so more than five may be refused before this sees five.
    """
    present, at_fault = _stretches(session, facts, _REFUSED)
    tripped = facts.state is CampaignState.RUNNING and len(_refused(session, facts, present)) >= REFUSALS_IN_A_ROW
    if not tripped and not _refused(session, facts, at_fault):
        return False
    campaign = _locked(session, facts.id)
    if campaign.state not in _GOING_ON:
        return False
    _give_back(session, _refused(session, facts, at_fault), now=now)
    refused = _refused(session, facts, present)
    if campaign.state is CampaignState.PAUSED or len(refused) < REFUSALS_IN_A_ROW:
        return False
    _give_back(session, refused, now=now)
    pause(session, campaign, f"{_REFUSED}, the last with: {refused[0].reason}", now=now)
    return True


def _pause_if_failing(session: Session, facts: CampaignFacts, *, now: datetime) -> bool:
    """Calls are accepted, and end by an error that is nobody's fault."""
    present, at_fault = _stretches(session, facts, _FAILING)
    tripped = facts.state is CampaignState.RUNNING and _trips(facts, _latest(session, facts, present, now=now))
    if not tripped and not _failed(session, facts, at_fault, now=now):
        return False
    campaign = _locked(session, facts.id)
    if campaign.state not in _GOING_ON:
        return False
    _forgive(session, facts, _failed(session, facts, at_fault, now=now), now=now)
    latest = _latest(session, facts, present, now=now)
    if campaign.state is CampaignState.PAUSED or not _trips(facts, latest):
        return False
    _forgive(session, facts, _failed(session, facts, present, now=now), now=now)
    failed = [each for each in latest if each.outcome in TECHNICAL]
    last = failed[0].reason or failed[0].outcome
    why = f"{_FAILING}{len(failed)} of the latest {len(latest)}, the last with {last}"
    pause(session, campaign, why, now=now)
    return True


def _locked(session: Session, campaign_id: UUID) -> Campaign:
    return lock_to_change(session, Campaign, Campaign.id == campaign_id)[0]


def _stretches(session: Session, campaign: CampaignFacts, reason: str) -> tuple[_Stretch, _Stretch | None]:
    """The present one, and the last at whose end the campaign paused itself for this reason."""
    mine = Change.subject == f"campaign:{campaign.definition.name}"
    started = select(Change.at).where(mine, Change.what.in_(_STARTED)).limit(1)
    present = _Stretch(session.scalar(started.order_by(Change.id.desc())))
    paused = select(func.max(Change.id)).where(mine, Change.what == "paused")
    pause_id = session.scalar(paused.where(Change.why.startswith(reason, autoescape=True)))
    if pause_id is None:
        return present, None
    began = session.scalar(started.where(Change.id < pause_id).order_by(Change.id.desc()))
    ended = session.scalar(started.where(Change.id > pause_id).order_by(Change.id))
    return present, _Stretch(began, ended)


def _refused(session: Session, campaign: CampaignFacts, stretch: _Stretch | None) -> list[_Refusal]:
    """The requests of the stretch that were refused after its last accepted one, the latest first.

    Without those of people who were given back as often as anybody is: were they alone left, the campaign would pause
    for ever.
    """
    if stretch is None:
        return []
    latest = session.execute(
        select(
            *(Call.id, Call.prospect_id, Call.state, Call.state_why, Call.provider_id),
            *(Call.counted, Call.intent_at, Call.claimed_at, Call.slot_at, Prospect.state.label("stands")),
        )
        .join(Prospect, Prospect.id == Call.prospect_id)
        .where(Call.campaign_id == campaign.id, stretch.calls)
        .order_by(Call.claimed_at.desc(), Call.slot_at.desc())
        .limit(LOOK_BACK)
    ).all()
    refused = []
    for row in sorted(latest, key=lambda row: (row.intent_at, row.claimed_at, row.slot_at), reverse=True):
        if row.provider_id is not None:
            break
        if row.state is CallState.NOT_PLACED and row.counted and row.stands is ProspectState.REFUSED:
            refused.append(_Refusal(row.id, row.prospect_id, row.state_why))
    if not refused:
        return []
    for_good = set(
        session.scalars(
            select(Call.prospect_id)
            .where(Call.prospect_id.in_([each.prospect_id for each in refused]))
            .where(Call.forgiven, Call.state == CallState.NOT_PLACED)
            .group_by(Call.prospect_id)
            .having(func.count() >= GIVEN_BACK)
        )
    )
    return [each for each in refused if each.prospect_id not in for_good]


def _give_back(session: Session, refused: Sequence[_Refusal], *, now: datetime) -> None:
    for each in sorted(refused, key=lambda each: each.prospect_id):  # one order: two of us cannot deadlock
        prospect = session.get_one(
            Prospect, each.prospect_id, with_for_update={"key_share": True}, populate_existing=True
        )
        call = session.get_one(Call, each.call_id, populate_existing=True)
        if call.counted and prospect.state is ProspectState.REFUSED:
            uncount(session, prospect, call)
            call.forgiven = True
            prospect.attempts -= 1
            why = "the campaign was at fault, not the person"
            set_state(prospect, ProspectState.WAITING, now=now, due_at=now, why=why)


def _latest(session: Session, campaign: CampaignFacts, stretch: _Stretch, *, now: datetime) -> list[_Settled]:
    """The calls of the stretch that settled last, the latest first: as many and as old as the breaker looks at.

    Without those for which only no line was free: that lowers the ceiling, and the campaign goes on more slowly.
    """
    return _settled(session, campaign, stretch, ~Call.blocked, now=now, limit=campaign.definition.breaker.calls)


def _failed(session: Session, campaign: CampaignFacts, stretch: _Stretch | None, *, now: datetime) -> list[_Settled]:
    """The failures of the stretch by nobody's fault that cost a try: in the time that the breaker looks at."""
    if stretch is None:
        return []
    cost = and_(~Call.blocked, Outcome.outcome.in_(sorted(TECHNICAL)), ~Call.forgiven)
    return _settled(session, campaign, stretch, cost, now=now)


def _settled(
    session: Session,
    campaign: CampaignFacts,
    stretch: _Stretch,
    which: ColumnElement[bool],
    *,
    now: datetime,
    limit: int | None = None,
) -> list[_Settled]:
    query = (
        select(Call.id, Call.prospect_id, Outcome.outcome, Outcome.ended_reason)
        .join(Outcome, Outcome.call_id == Call.id)
        .where(Call.campaign_id == campaign.id, Call.settled_at >= now - campaign.definition.breaker.within)
        .where(stretch.calls, which)
        .order_by(Call.settled_at.desc())
        .limit(limit)
    )
    return [_Settled(*row) for row in session.execute(query)]


def _trips(campaign: CampaignFacts, latest: Sequence[_Settled]) -> bool:
    return trips([each.outcome for each in latest], campaign.definition.breaker)


def _forgive(session: Session, campaign: CampaignFacts, failed: Sequence[_Settled], *, now: datetime) -> None:
    counts = campaign.definition.retry.counts
    for each in sorted(failed, key=lambda each: each.prospect_id):  # one order: two of us cannot deadlock
        prospect = session.get_one(
            Prospect, each.prospect_id, with_for_update={"key_share": True}, populate_existing=True
        )
        call = session.get_one(Call, each.call_id, with_for_update={"key_share": True}, populate_existing=True)
        outcome = session.get_one(Outcome, each.call_id, populate_existing=True).outcome
        exhausted = prospect.state is ProspectState.EXHAUSTED
        if call.forgiven or outcome not in TECHNICAL:
            continue
        call.forgiven = True
        prospect.calls -= 1
        prospect.attempts -= outcome in counts
        if not exhausted or call.id != _last_call(session, prospect.id):
            continue  # still to be called; or it was a later call after which there was no try left
        prospect.not_before = None
        wait_again(session, {prospect: _FORGIVEN}, now=now)


def _last_call(session: Session, prospect_id: int) -> UUID | None:
    return session.scalar(
        select(Call.id).where(Call.prospect_id == prospect_id, Call.counted).order_by(Call.claimed_at.desc()).limit(1)
    )
