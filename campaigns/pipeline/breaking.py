"""A campaign whose calls fail by nobody's fault pauses itself, and those calls cost nobody a try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, about_campaigns, gather
from campaigns.ledger import set_state
from campaigns.models import Call, Campaign, Change, Outcome, Prospect
from campaigns.rules.breaker import trips
from campaigns.rules.campaign_state import PAUSED_ITSELF, CampaignState
from campaigns.rules.eligibility import Refused, when_due
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.rules.prospect_state import ProspectState

_FAILING = f"{PAUSED_ITSELF}too many calls failed: "
_STARTED = ("start", "resume", "running")
_FORGIVEN = "the calls failed by nobody's fault"


@dataclass(frozen=True, slots=True)
class _Settled:
    call_id: UUID
    prospect_id: int
    outcome: OutcomeClass
    reason: str | None
    forgiven: bool


def watched(session: Session) -> list[UUID]:
    """The campaigns that may have to pause themselves, or did and may have more calls to forgive."""
    mine = (Campaign.state == CampaignState.PAUSED) & Campaign.state_why.startswith(_FAILING, autoescape=True)
    return list(session.scalars(select(Campaign.id).where((Campaign.state == CampaignState.RUNNING) | mine)))


def pause_if_failing(session: Session, campaign_id: UUID, *, now: datetime) -> bool:
    """Pause the campaign if too many of its latest settled calls failed by nobody's fault; True where it did.

    Those failures are forgiven: they count for nobody, and whoever had no try left because of one is due again. So
    are the failures of calls that were under way and settle after the pause. Judged are only calls that were made
    since somebody last let the campaign call. Looks without locks first: nearly always there is nothing to do.
    """
    facts = about_campaigns(session, [campaign_id])[campaign_id]
    if not _is_ripe(session, facts, facts.state, now=now):
        return False
    campaign = session.get_one(Campaign, campaign_id, with_for_update={"key_share": True}, populate_existing=True)
    if not _is_ripe(session, facts, campaign.state, now=now):
        return False
    at_fault = (campaign.state_why or "").startswith(_FAILING)
    if campaign.state is CampaignState.PAUSED and not at_fault:
        return False
    latest = _latest(session, facts, now=now)
    failed = [each for each in latest if each.outcome in TECHNICAL]
    _forgive(session, facts, _unforgiven(session, facts, now=now), now=now)
    if campaign.state is CampaignState.PAUSED:
        return False
    campaign.state = CampaignState.PAUSED
    campaign.state_why = (
        f"{_FAILING}{len(failed)} of the latest {len(latest)}, the last with {failed[0].reason or failed[0].outcome}"
    )
    session.add(
        Change(
            at=now,
            who="outbound",
            what="paused",
            subject=f"campaign:{campaign.name}",
            before={"state": CampaignState.RUNNING},
            after={"state": CampaignState.PAUSED},
            why=campaign.state_why,
        )
    )
    return True


def _is_ripe(session: Session, campaign: CampaignFacts, state: CampaignState, *, now: datetime) -> bool:
    """Whether a running campaign is to be paused, or one that is paused may have calls to forgive."""
    if state is CampaignState.RUNNING:
        return trips([each.outcome for each in _latest(session, campaign, now=now)], campaign.definition.breaker)
    return state is CampaignState.PAUSED and bool(_unforgiven(session, campaign, now=now))


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
    since = session.scalar(
        select(func.max(Change.at)).where(
            Change.subject == f"campaign:{campaign.definition.name}", Change.what.in_(_STARTED)
        )
    )
    earliest = now - breaker.within if since is None else max(since, now - breaker.within)
    query = (
        select(Call.id, Call.prospect_id, Outcome.outcome, Outcome.ended_reason, Call.forgiven)
        .join(Outcome, Outcome.call_id == Call.id)
        .where(Call.campaign_id == campaign.id, Call.settled_at >= earliest, ~Call.blocked)
        .order_by(Call.settled_at.desc())
    )
    return query if since is None else query.where(Call.intent_at >= since)


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
        session.flush()
        match when_due(gather(session, [prospect.id])[prospect.id], now):
            case Refused() as refusal:
                set_state(prospect, refusal.becomes, now=now, due_at=refusal.retry_at, why=refusal.why)
            case due_at:
                set_state(prospect, ProspectState.WAITING, now=now, due_at=due_at, why=_FORGIVEN)


def _last_call(session: Session, prospect_id: int) -> UUID | None:
    return session.scalar(
        select(Call.id).where(Call.prospect_id == prospect_id, Call.counted).order_by(Call.claimed_at.desc()).limit(1)
    )
