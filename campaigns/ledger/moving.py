"""Evidence moves a call, and its prospect follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Table, Text, and_, bindparam, exists, or_, select, tuple_, update
from sqlalchemy import cast as as_type
from sqlalchemy.orm import Session

from campaigns.ledger import spending
from campaigns.ledger.auditing import US, record
from campaigns.ledger.counting import count
from campaigns.ledger.locking import Locked, guard_ids
from campaigns.ledger.standing import set_state
from campaigns.models import Call, Campaign, Event, Prospect
from campaigns.rules.call_state import HEARD, LIVE, CallState, Effect, Evidence, Verdict, judge
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import FINAL as FINAL_PROSPECT
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing

_NAMES = select(Call.account_id, Call.provider_id).where(
    tuple_(Call.account_id, Call.provider_id).in_(bindparam("names", expanding=True))
)

_REVIVE = (
    update(cast("Table", Event.__table__))
    .where(
        tuple_(Event.account_id, Event.provider_id).in_(bindparam("names", expanding=True)),
        Event.applied_at.is_(None),
        Event.retry_at.is_(None),
    )
    .values(retry_at=bindparam("now"))
)


def pause(session: Session, campaign: Campaign, why: str, *, now: datetime) -> None:
    """Pause a locked campaign by itself, and keep why in the audit."""
    states = {"before": {"state": campaign.state}, "after": {"state": CampaignState.PAUSED}}
    record(session, who=US, what="paused", subject=f"campaign:{campaign.name}", now=now, why=why, **states)
    campaign.state = CampaignState.PAUSED
    campaign.state_why = why


def move(locked: Locked, evidence: Evidence, *, now: datetime, real: datetime, why: str | None = None) -> Verdict:
    """Apply one piece of evidence to a locked call, and let its prospect follow.

    A call that proves not placed leaves its prospect where it is: whoever withdrew it knows when it is due again.
    """
    prospect, call, timing = locked.prospect, locked.call, locked.timing
    verdict = judge(call.state, evidence, disputed=call.incident is not None)
    call.changed_at = now
    if verdict.effect is Effect.INCIDENT:
        call.incident = call.incident or verdict.why
    if evidence in HEARD:
        heard(locked, real=real)
    if verdict.state is call.state:
        return verdict
    if call.state is CallState.CLAIMED and verdict.state is not CallState.NOT_PLACED:
        _begin(locked, now=now, real=real)
    call.state = verdict.state
    call.state_why = why or verdict.why or None
    call.asked = 0
    match verdict.state:
        case CallState.PLACING:
            call.check_at = real + timing.answer
        case CallState.UNKNOWN:
            call.check_at = real + timing.ask_again
        case CallState.ENDED:
            call.check_at = real + timing.report_grace
        case CallState.REVIEW:
            call.check_at = None
        case CallState.NOT_PLACED:
            call.check_at = None
            spending.release(call, locked.campaign.definition)
        case _:
            call.blocked = call.blocked and verdict.state is CallState.QUEUED
            call.check_at = real + _silence(call, timing)
    _follow(prospect, call, verdict.state, now=now)
    return verdict


def heard(locked: Locked, *, real: datetime) -> None:
    """The provider spoke of the call, late, repeated or without a new state: a sign of life all the same."""
    call = locked.call
    call.asked = 0
    if call.state in LIVE:
        call.check_at = real + _silence(call, locked.timing)


def block(locked: Locked, *, real: datetime) -> None:
    """The provider has no line for the queued call: it may start at any moment, so it is asked about sooner."""
    locked.call.blocked = True
    locked.call.check_at = real + _silence(locked.call, locked.timing)


def _silence(call: Call, timing: Timing) -> timedelta:
    return min(timing.blocked, timing.silence) if call.blocked else timing.silence


def _begin(locked: Locked, *, now: datetime, real: datetime) -> None:
    """The call is or may be placed from now on: by our intent, or because the provider speaks of it before we do."""
    prospect, call = locked.prospect, locked.call
    call.intent_at = now
    call.quiet_at = real + locked.timing.quiet
    call.line_until = now + locked.campaign.definition.max_duration
    call.counted = True
    spending.begin(call, locked.campaign.definition, now=now)
    prospect.calls += 1
    count(cast("Session", Session.object_session(prospect)), call.campaign_id, "call:made", prospect.id, 1)


def know(session: Session, named: Sequence[tuple[Call, str]], *, real: datetime) -> set[UUID]:
    """Keep the provider's ids of locked calls; reports that wait for them in the dead letter become due.

    Returns the calls that are known by that id now. The others have another id, or another call has theirs.
    """
    agreed = {call.id for call, provider_id in named if call.provider_id == provider_id}
    new = {(call.account_id, provider_id): call for call, provider_id in named if call.provider_id is None}
    if not new:
        return agreed
    guard_ids(session, new)
    taken = {(row.account_id, row.provider_id) for row in session.execute(_NAMES, {"names": list(new)}).all()}
    for key, call in new.items():
        if key not in taken:
            call.provider_id = key[1]
            agreed.add(call.id)
    session.execute(_REVIVE, {"names": list(new.keys() - taken), "now": real})
    return agreed


def _follow(prospect: Prospect, call: Call, state: CallState, *, now: datetime) -> None:
    if prospect.state in FINAL_PROSPECT:
        return
    if state is CallState.ENDED:
        set_state(prospect, ProspectState.SETTLING, now=now)
    elif state is CallState.REVIEW:
        set_state(prospect, ProspectState.REVIEW, now=now, why=call.state_why)
    elif state is not CallState.NOT_PLACED and prospect.state is not ProspectState.IN_CALL:
        set_state(prospect, ProspectState.IN_CALL, now=now)


def spoken_of(session: Session, call: Call) -> bool:
    """Whether the provider ever said a word about this call, one that waits to be applied included.

    That our request came to nothing is kept as an event too, and is no word of the provider.
    """
    if call.provider_id is not None:
        return True
    waiting = and_(
        Event.account_id == call.account_id,
        # Two conditions for two indexes: what is due, and the dead letter.
        or_(Event.retry_at.is_not(None), and_(Event.applied_at.is_(None), Event.retry_at.is_(None))),
        as_type(Event.body, Text).contains(str(call.id)),
    )
    heard_of = exists().where(Event.call_id == call.id, ~and_(Event.learned == "answered", Event.type == "unclear"))
    return bool(session.scalar(select(or_(heard_of, exists().where(waiting)))))
