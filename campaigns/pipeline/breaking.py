"""A campaign whose calls fail by nobody's fault pauses itself, and those calls cost nobody a try.

There are two ways to fail: the provider refuses the requests, or it accepts them and the calls end by an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, about_campaigns
from campaigns.ledger import set_state, uncount, wait_again
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
_FORGIVEN = "the calls failed by nobody's fault"

_Refusal = tuple[UUID, int, str | None]
"""Call, prospect and reason."""


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
    enough = REFUSALS_IN_A_ROW if facts.state is CampaignState.RUNNING else 1
    if len(_refused_in_a_row(session, facts)) < enough and not _refused_since_pause(session, facts):
        return False
    campaign = _locked(session, facts.id)
    if campaign.state is CampaignState.RUNNING:
        _give_back(session, _refused_since_pause(session, facts), now=now)
    refused = _refused_in_a_row(session, facts)
    tripped = len(refused) >= REFUSALS_IN_A_ROW
    if not _paused_for(campaign, _REFUSED) and (campaign.state is not CampaignState.RUNNING or not tripped):
        return False
    _give_back(session, refused, now=now)
    if campaign.state is CampaignState.PAUSED:
        return False
    _pause(session, campaign, f"{_REFUSED}, the last with: {refused[0][2]}", now=now)
    return True


def _give_back(session: Session, refused: Sequence[_Refusal], *, now: datetime) -> None:
    for call_id, prospect_id, _ in sorted(refused, key=lambda each: each[1]):  # one order: two of us cannot deadlock
        prospect = session.get_one(Prospect, prospect_id, with_for_update={"key_share": True}, populate_existing=True)
        call = session.get_one(Call, call_id, populate_existing=True)
        if call.counted and prospect.state is ProspectState.REFUSED:
            uncount(session, prospect, call)
            call.forgiven = True
            prospect.attempts -= 1
            why = "the campaign was at fault, not the person"
            set_state(prospect, ProspectState.WAITING, now=now, due_at=now, why=why)


def _pause_if_failing(session: Session, facts: CampaignFacts, *, now: datetime) -> bool:
    """Calls are accepted, and end by an error that is nobody's fault."""
    if not _is_ripe(session, facts, now=now) and not _failed_since_pause(session, facts, now=now):
        return False
    campaign = _locked(session, facts.id)
    if campaign.state is CampaignState.RUNNING:
        _forgive(session, facts, _failed_since_pause(session, facts, now=now), now=now)
    latest = _latest(session, facts, now=now)
    tripped = trips([each.outcome for each in latest], facts.definition.breaker)
    if not _paused_for(campaign, _FAILING) and (campaign.state is not CampaignState.RUNNING or not tripped):
        return False
    _forgive(session, facts, _unforgiven(session, facts, now=now), now=now)
    if campaign.state is CampaignState.PAUSED:
        return False
    failed = [each for each in latest if each.outcome in TECHNICAL]
    last = failed[0].reason or failed[0].outcome
    why = f"{_FAILING}{len(failed)} of the latest {len(latest)}, the last with {last}"
    _pause(session, campaign, why, now=now)
    return True


def _locked(session: Session, campaign_id: UUID) -> Campaign:
    return session.get_one(Campaign, campaign_id, with_for_update={"key_share": True}, populate_existing=True)


def _paused_for(campaign: Campaign, reason: str) -> bool:
    """Whether it paused itself for this: those who were under way then are given back too."""
    return campaign.state is CampaignState.PAUSED and (campaign.state_why or "").startswith(reason)


def _pause(session: Session, campaign: Campaign, why: str, *, now: datetime) -> None:
    campaign.state = CampaignState.PAUSED
    campaign.state_why = why
    session.add(
        Change(
            at=now,
            who="outbound",
            what="paused",
            subject=f"campaign:{campaign.name}",
            before={"state": CampaignState.RUNNING},
            after={"state": CampaignState.PAUSED},
            why=why,
        )
    )


def _let_call_at(session: Session, campaign_name: str) -> datetime | None:
    """When somebody last let the campaign call: what happened before was looked at."""
    query = select(func.max(Change.at)).where(Change.subject == f"campaign:{campaign_name}", Change.what.in_(_STARTED))
    return session.scalar(query)


def _paused_itself_at(session: Session, campaign_name: str, reason: str) -> datetime | None:
    """When the campaign last paused itself for this: what was under way then costs nobody a try, after a resume too."""
    query = select(func.max(Change.at)).where(Change.subject == f"campaign:{campaign_name}", Change.what == "paused")
    return session.scalar(query.where(Change.why.startswith(reason, autoescape=True)))


def _refused_since_pause(session: Session, campaign: CampaignFacts) -> list[_Refusal]:
    """The requests that were under way when the campaign last paused itself, and were refused after that."""
    paused_at = _paused_itself_at(session, campaign.definition.name, _REFUSED)
    if paused_at is None:
        return []
    query = (
        select(Call.id, Call.prospect_id, Call.state_why)
        .join(Prospect, Prospect.id == Call.prospect_id)
        .where(Call.campaign_id == campaign.id, Call.intent_at <= paused_at, Call.changed_at >= paused_at)
        .where(Call.state == CallState.NOT_PLACED, Call.counted, Prospect.state == ProspectState.REFUSED)
        .order_by(Call.claimed_at.desc())
        .limit(LOOK_BACK)
    )
    return _not_for_good(session, [(call_id, prospect_id, why) for call_id, prospect_id, why in session.execute(query)])


def _refused_in_a_row(session: Session, campaign: CampaignFacts) -> list[_Refusal]:
    """Call, prospect and reason of each request that was refused since the last accepted one, the latest first.

    Only of those that were made since somebody last let the campaign call; and not of those who were given back before
    as often as anybody is: where they alone are left, the campaign would pause for ever.
    """
    since = _let_call_at(session, campaign.definition.name)
    recent = Call.intent_at.is_not(None) if since is None else Call.intent_at >= since
    latest = session.execute(
        select(
            *(Call.id, Call.prospect_id, Call.state, Call.state_why, Call.provider_id),
            *(Call.counted, Call.intent_at, Call.claimed_at, Call.slot_at),
        )
        .where(Call.campaign_id == campaign.id, recent)
        .order_by(Call.claimed_at.desc(), Call.slot_at.desc())
        .limit(LOOK_BACK)
    ).all()
    refused = []
    for row in sorted(latest, key=lambda row: (row.intent_at, row.claimed_at, row.slot_at), reverse=True):
        if row.provider_id is not None:
            break
        if row.state is CallState.NOT_PLACED and row.counted:  # others are still under way, or were not the request's
            refused.append((row.id, row.prospect_id, row.state_why))
    return _not_for_good(session, refused)


def _not_for_good(session: Session, refused: Sequence[_Refusal]) -> list[_Refusal]:
    if not refused:
        return []
    for_good = set(
        session.scalars(
            select(Call.prospect_id)
            .where(Call.prospect_id.in_([prospect_id for _, prospect_id, _ in refused]))
            .where(Call.forgiven, Call.state == CallState.NOT_PLACED)
            .group_by(Call.prospect_id)
            .having(func.count() >= GIVEN_BACK)
        )
    )
    return [each for each in refused if each[1] not in for_good]


def _failed_since_pause(session: Session, campaign: CampaignFacts, *, now: datetime) -> list[_Settled]:
    """The calls that were under way when the campaign last paused itself, and failed lately by nobody's fault."""
    paused_at = _paused_itself_at(session, campaign.definition.name, _FAILING)
    if paused_at is None:
        return []
    earliest = max(paused_at, now - campaign.definition.breaker.within)
    query = _settled_since(campaign, earliest).where(Call.intent_at <= paused_at)
    return [
        _Settled(*row) for row in session.execute(query.where(Outcome.outcome.in_(sorted(TECHNICAL)), ~Call.forgiven))
    ]


@dataclass(frozen=True, slots=True)
class _Settled:
    call_id: UUID
    prospect_id: int
    outcome: OutcomeClass
    reason: str | None
    forgiven: bool


def _is_ripe(session: Session, campaign: CampaignFacts, *, now: datetime) -> bool:
    """Whether a running campaign is to be paused, or one that is paused may have calls to forgive."""
    if campaign.state is CampaignState.RUNNING:
        return trips([each.outcome for each in _latest(session, campaign, now=now)], campaign.definition.breaker)
    return campaign.state is CampaignState.PAUSED and bool(_unforgiven(session, campaign, now=now))


def _latest(session: Session, campaign: CampaignFacts, *, now: datetime) -> list[_Settled]:
    """The campaign's calls that settled last, the latest first: no more and no older ones than its breaker looks at."""
    query = _settled(session, campaign, now=now).limit(campaign.definition.breaker.calls)
    return [_Settled(*row) for row in session.execute(query)]


def _unforgiven(session: Session, campaign: CampaignFacts, *, now: datetime) -> list[_Settled]:
    """The failures by nobody's fault in the time that the breaker looks at: many may settle at once."""
    query = _settled(session, campaign, now=now).where(Outcome.outcome.in_(sorted(TECHNICAL)), ~Call.forgiven)
    return [_Settled(*row) for row in session.execute(query)]


def _settled(
    session: Session, campaign: CampaignFacts, *, now: datetime
) -> Select[UUID, int, OutcomeClass, str | None, bool]:
    """Calls that settled lately and were made since somebody let the campaign call.

    Without those for which only no line was free: that lowers the ceiling, and the campaign goes on more slowly.
    """
    breaker = campaign.definition.breaker
    since = _let_call_at(session, campaign.definition.name)
    earliest = now - breaker.within if since is None else max(since, now - breaker.within)
    query = _settled_since(campaign, earliest)
    return query if since is None else query.where(Call.intent_at >= since)


def _settled_since(campaign: CampaignFacts, earliest: datetime) -> Select[UUID, int, OutcomeClass, str | None, bool]:
    return (
        select(Call.id, Call.prospect_id, Outcome.outcome, Outcome.ended_reason, Call.forgiven)
        .join(Outcome, Outcome.call_id == Call.id)
        .where(Call.campaign_id == campaign.id, Call.settled_at >= earliest, ~Call.blocked)
        .order_by(Call.settled_at.desc())
    )


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
