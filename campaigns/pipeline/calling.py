"""A claimed call becomes at most one request, and its answer becomes a state.

    await_slot → hold_still → prepare (the intent) → the request, made by the worker → record_…

Nothing is committed between the intent and the answer, so whatever happens there is seen as `placing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.errors import AccountRefused, CallFailure, CallRefused, NotAllowed, NotSent
from campaigns.facts import gather
from campaigns.ledger import Locked, find_call, know, lock, move, set_state, uncount
from campaigns.models import Account, Call, Campaign, Change, Event, Pace, Person, PhoneNumber
from campaigns.rules.call_state import LIVE, CallState, Effect, Evidence
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.eligibility import Refused, decide
from campaigns.rules.pacing import stamp
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.events import Message
from campaigns.vapi.requests import CreateCall, create_call

SLOT_TOLERANCE = timedelta(milliseconds=500)  # later than this a slot was missed: sending now would crowd the next ones
LOCK_TOLERANCE = timedelta(seconds=1)  # the same after the wait for locks: a busy machine must not run after its slots
TRY_AGAIN = timedelta(seconds=30)  # campaign time until a person is due again whose request never left us


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call whose intent is committed: to be sent once, now."""

    request: CreateCall
    account_id: UUID
    campaign_id: UUID
    account: AccountDefinition
    send_budget: timedelta
    """Real time since before the intent after which it must not be sent any more."""


def await_slot(session: Session, call_id: UUID, *, real: datetime, timing: Timing) -> timedelta | None:
    """How long to wait for the call's send slot; None where it is not to be placed (any more).

    A slot that was missed is stamped anew, so that calls held up together do not leave together; so is one within
    the time for which the provider asked us to wait.
    """
    row = session.execute(
        select(Call.account_id, Call.state, Call.slot_at, Pace.backoff_until)
        .join(Pace, Pace.account_id == Call.account_id)
        .where(Call.id == call_id)
    ).one_or_none()
    if row is None or row.state is not CallState.CLAIMED:
        return None
    account_id: UUID = row.account_id
    slot_at: datetime = row.slot_at
    if _may_leave(slot_at, row.backoff_until, at=max(slot_at, real), tolerance=SLOT_TOLERANCE):
        return max(slot_at - real, timedelta(0))
    pace = session.get_one(Pace, account_id, with_for_update={"key_share": True}, populate_existing=True)
    account = AccountDefinition.model_validate(session.get_one(Account, account_id).definition)
    earliest = max(real, pace.backoff_until or real)
    (slot_at,), pace.next_slot = stamp(1, next_slot=pace.next_slot, now=earliest, rate=account.calls_per_second)
    lease = timing.permitted(loopback=account.loopback).lease
    moved = session.execute(
        update(Call)
        .where(Call.id == call_id, Call.state == CallState.CLAIMED)
        .values(slot_at=slot_at, check_at=slot_at + lease)
        .returning(Call.id)
    ).one_or_none()
    return None if moved is None else slot_at - real


def _may_leave(slot_at: datetime, backoff_until: datetime | None, *, at: datetime, tolerance: timedelta) -> bool:
    in_slot = slot_at <= at <= slot_at + tolerance
    return in_slot and (backoff_until is None or backoff_until <= at)


@dataclass(frozen=True, slots=True)
class Held:
    """A claimed call with everything that its intent depends on under lock, until the end of the transaction."""

    locked: Locked
    number: str


def hold_still(session: Session, call_id: UUID, *, timing: Timing) -> Held | None:
    """Lock what the intent depends on; None where the call is not to be placed (any more).

    Account, campaign and person are share-locked, so a freeze, a pause or a suppression waits for us or is seen by
    us. We may wait for them too: read the clock after this, not before, or calling hours are judged by the past.
    """
    row = session.execute(
        select(Call.account_id, Call.campaign_id, Call.person_id, Call.prospect_id).where(Call.id == call_id)
    ).one_or_none()
    if row is None:
        return None
    session.execute(select(Account.id).where(Account.id == row.account_id).with_for_update(read=True))
    session.execute(select(Campaign.id).where(Campaign.id == row.campaign_id).with_for_update(read=True))
    number = session.execute(
        select(Person.number).where(Person.id == row.person_id).with_for_update(read=True)
    ).scalar_one()
    locked = lock(session, call_id, timing=timing)
    return None if locked is None or locked.call.state != CallState.CLAIMED else Held(locked, number)


def prepare(session: Session, held: Held, *, now: datetime, real: datetime) -> Prepared | None:
    """The intent: after the commit of this, and only then, the one request may be made.

    Each claimed call is handed out a single time. None where a check failed, or where its send slot is not now: it
    passed during a wait, or somebody moved it. Then it stays claimed, and `await_slot` says when it may leave.
    """
    locked = held.locked
    prospect, call, campaign = locked.prospect, locked.call, locked.campaign
    backoff_until = session.scalar(select(Pace.backoff_until).where(Pace.account_id == call.account_id))
    if not _may_leave(call.slot_at, backoff_until, at=real, tolerance=LOCK_TOLERANCE):
        return None
    decision = decide(gather(session, [prospect.id])[prospect.id], now)
    if isinstance(decision, Refused):
        move(locked, Evidence.WITHDRAWN, now=now, real=real, why=decision.why)
        set_state(prospect, decision.becomes, now=now, due_at=decision.retry_at, why=decision.why)
        return None
    move(locked, Evidence.INTENT, now=now, real=real)
    phone_number_id = session.execute(
        select(PhoneNumber.provider_id).where(PhoneNumber.id == call.phone_number_id)
    ).scalar_one()
    request = create_call(
        call.id,
        campaign=campaign.definition,
        account=campaign.account,
        phone_number_id=phone_number_id,
        number=held.number,
        extension=prospect.extension,
        name=prospect.name,
        variables=prospect.variables,
        webhook_url=webhook_url(campaign.account),
    )
    return Prepared(
        request=request,
        account_id=call.account_id,
        campaign_id=call.campaign_id,
        account=campaign.account,
        send_budget=locked.timing.send_budget,
    )


def webhook_url(account: AccountDefinition) -> str | None:
    """Where the account's webhooks arrive; None where it has no public address, and results are asked for."""
    return None if account.public_url is None else f"{account.public_url}/webhooks/vapi/{account.name}"


def record_accepted(
    session: Session, call_id: UUID, answer: Message, *, now: datetime, real: datetime, timing: Timing
) -> None:
    """The provider has the call: keep its id and its first state. Another id than one already known means review."""
    locked = _locked(session, call_id, timing)
    call = locked.call
    if not _store_answer(session, call, "accepted", answer.body, answer.provider_id, now=now):
        return
    known = answer.provider_id is None or know(session, call, answer.provider_id, real=real)
    call.blocked = answer.limits is not None and answer.limits.blocked
    move(locked, Evidence.QUEUED if known else Evidence.CONFLICT, now=now, real=real)


def record_failure(
    session: Session, call_id: UUID, failure: CallFailure, *, now: datetime, real: datetime, timing: Timing
) -> None:
    """The provider did not accept the call, and said so; or nothing was sent. Nobody was rung."""
    locked = _locked(session, call_id, timing)
    prospect, call = locked.prospect, locked.call
    body = {"problem": type(failure).__name__, "status": failure.status, "message": str(failure)}
    if not _store_answer(session, call, "refused", body, None, now=now):
        return
    if move(locked, Evidence.WITHDRAWN, now=now, real=real, why=str(failure)).effect is not Effect.MOVE:
        return
    if isinstance(failure, CallRefused):
        prospect.attempts += 1
        # Without a status it was refused here, before it was sent.
        why = str(failure) if failure.status is None else f"the provider refuses the call: {failure}"
        set_state(prospect, ProspectState.REFUSED, now=now, why=why)
        return
    uncount(session, prospect, call)
    wait = TRY_AGAIN if isinstance(failure, NotSent | AccountRefused) else locked.timing.capacity_wait
    set_state(prospect, ProspectState.WAITING, now=now, due_at=now + wait, why=str(failure))


def record_unclear(session: Session, call_id: UUID, why: str, *, now: datetime, real: datetime, timing: Timing) -> None:
    """The provider may have placed the call: it is asked about, and nobody is rung again meanwhile."""
    move(_locked(session, call_id, timing), Evidence.UNCLEAR, now=now, real=real, why=why)


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
    call_id = find_call(session, wanted)
    provider_id, state, account = session.execute(
        select(Call.provider_id, Call.state, Account.definition)
        .join(Account, Account.id == Call.account_id)
        .where(Call.id == call_id)
    ).one()
    if state not in LIVE or provider_id is None:
        raise NotAllowed(f"call {call_id} is {state}, not live: there is nothing to hang up")
    return LiveCall(call_id, provider_id, state, AccountDefinition.model_validate(account))


def live_calls(session: Session, campaign_id: UUID) -> list[LiveCall]:
    """The live calls of a campaign of which the provider's id is known, oldest first."""
    query = (
        select(Call.id, Call.provider_id, Call.state, Account.definition)
        .join(Account, Account.id == Call.account_id)
        .where(Call.campaign_id == campaign_id, Call.state.in_(sorted(LIVE)), Call.provider_id.is_not(None))
    )
    return [
        LiveCall(call_id, str(provider_id), state, AccountDefinition.model_validate(account))
        for call_id, provider_id, state, account in session.execute(query.order_by(Call.claimed_at))
    ]


def record_hang_up(
    session: Session, live: LiveCall, *, result: str, detail: str, who: str, why: str | None, now: datetime
) -> None:
    """Keep in the audit who had a live call ended, and what came of it. The end itself comes as an event."""
    session.add(
        Change(
            at=now,
            who=who,
            what="hang up",
            subject=f"call:{live.call_id}",
            before={"state": live.state},
            after={"result": result, "detail": detail},
            why=why,
        )
    )


def _locked(session: Session, call_id: UUID, timing: Timing) -> Locked:
    locked = lock(session, call_id, timing=timing)
    if locked is None:
        raise LookupError(f"call {call_id} vanished while it was being placed")
    return locked


def _store_answer(
    session: Session, call: Call, kind: str, body: Mapping[str, Any], provider_id: str | None, *, now: datetime
) -> bool:
    """Keep the answer as one more event of the call; False where this call was answered before."""
    statement = insert(Event).values(
        account_id=call.account_id,
        call_id=call.id,
        provider_id=provider_id,
        learned="answered",
        type=kind,
        dedupe_key=f"answer:{call.id}",
        body=dict(body),
        received_at=now,
        applied_at=now,
    )
    stored = session.execute(statement.on_conflict_do_nothing().returning(Event.id)).one_or_none()
    return stored is not None
