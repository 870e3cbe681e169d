"""Calls that are ended at the provider: by somebody, or because they wait for a line and may not start any more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.facts import gather
from campaigns.ledger import US, find_id, lock, record
from campaigns.models import Account, Call
from campaigns.rules.call_state import IN_FLIGHT, LIVE, CallState
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.eligibility import Facts, Refused, decide
from campaigns.rules.timing import Timing

AGAIN = timedelta(seconds=10)  # real time until we ask once more: its end is told within seconds


def unwanted(session: Session, *, now: datetime, real: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """Each call that is to be ended at the provider before it starts, with its account; first whom nobody tried yet.

    Nobody is rung by such a call yet, and it may start at any moment: it is asked again whether its person may be
    called, as at its intent. Nothing is locked: nearly all may go on waiting, and must not hide those behind them.
    """
    waiting = session.execute(
        select(Call.id, Call.account_id, Call.prospect_id)
        .where(
            Call.blocked,
            Call.state == CallState.QUEUED,
            Call.provider_id.is_not(None),
            or_(Call.hang_up_at.is_(None), Call.hang_up_at <= real - AGAIN),
        )
        .order_by(Call.hang_up_at.asc().nulls_first(), Call.claimed_at)
    ).all()
    facts = gather(session, [row.prospect_id for row in waiting])
    return [(row.id, row.account_id) for row in waiting if _why_not(facts[row.prospect_id], now) is not None][:limit]


def take_back(session: Session, call_id: UUID, *, now: datetime, real: datetime, timing: Timing) -> str | None:
    """Why the call is to be ended now, noted so that one asker does; None where it is not any more, or is just being.

    Commit it and give the order at once: once it rings its person is not hung up on.
    """
    locked = lock(session, call_id, timing=timing)
    if locked is None:
        return None
    call, prospect = locked.call, locked.prospect
    why = _why_not(gather(session, [prospect.id])[prospect.id], now)
    being_ended = call.hang_up_at is not None and call.hang_up_at > real - AGAIN
    if why is None or not call.blocked or call.state is not CallState.QUEUED or being_ended:
        return None
    call.hang_up_at = real
    return why


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that the provider has accepted and not ended, as far as we heard."""

    call_id: UUID
    provider_id: str
    state: CallState
    account: AccountDefinition


def find_live(session: Session, wanted: str) -> LiveCall:
    """The live call whose id begins with `wanted`.

    Raises `UnknownName` where there is none or more than one call, `NotAllowed` where it is not live.
    """
    call = session.get_one(Call, find_id(session, Call, wanted), populate_existing=True)
    live = _live(session, Call.id == call.id)
    if not live:
        wait = "there is nothing to hang up"
        if call.state in IN_FLIGHT:
            wait = "the provider has not said yet whether it was placed, ask again later"
        raise NotAllowed(f"call {call.id} is {call.state}, not live: {wait}")
    return live[0]


def live_calls(session: Session, campaign_id: UUID) -> list[LiveCall]:
    """The live calls of a campaign of which the provider's id is known, oldest first."""
    return _live(session, Call.campaign_id == campaign_id)


def record_hang_up(
    session: Session, live: LiveCall, *, result: str, detail: str, who: str, why: str | None, now: datetime
) -> None:
    """Keep in the audit who had a live call ended, and what came of it. The end itself comes as an event."""
    if who != US:  # then this is why it ends, and not that we had thought of it while it waited for a line
        session.execute(update(Call).where(Call.id == live.call_id).values(hang_up_at=None))
    subject, before, after = f"call:{live.call_id}", {"state": live.state}, {"result": result, "detail": detail}
    record(session, who=who, what="hang up", subject=subject, before=before, after=after, now=now, why=why)


def _why_not(facts: Facts, now: datetime) -> str | None:
    # The call itself was within its budget when it was made, of calls and of money, and within the caps of its person,
    # who has been called by nobody else since: it is the latest of their calls.
    decision = decide(replace(facts, calls=facts.calls - 1, funds=None, rung=facts.rung[1:]), now)
    return decision.why if isinstance(decision, Refused) else None


def _live(session: Session, which: ColumnElement[bool]) -> list[LiveCall]:
    query = (
        select(Call.id, Call.provider_id, Call.state, Account.definition)
        .join(Account, Account.id == Call.account_id)
        .where(which, Call.state.in_(sorted(LIVE)), Call.provider_id.is_not(None))
    )
    return [
        LiveCall(call_id, str(provider_id), state, AccountDefinition.model_validate(account))
        for call_id, provider_id, state, account in session.execute(query.order_by(Call.claimed_at))
    ]
