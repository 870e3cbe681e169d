"""What the provider says becomes a stored event, once; an event becomes a state, in any order and however often."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.ledger import guard_id, heard, know, lock, move
from campaigns.models import Account, Call, Event
from campaigns.rules.call_state import LIVE, CallState, Effect, Evidence
from campaigns.rules.call_status import CallStatus
from campaigns.rules.outcome import Ending
from campaigns.rules.timing import Timing
from campaigns.vapi.events import Message, MessageKind, read_call, read_message

LAST_TRY = 8  # failures after which an event goes to the dead letter: its trouble is not a passing one
FIRST_WAIT = timedelta(seconds=1)  # doubled after each failure: the eighth comes after about four minutes

_EVIDENCE = {
    CallStatus.SCHEDULED: Evidence.QUEUED,
    CallStatus.QUEUED: Evidence.QUEUED,
    CallStatus.RINGING: Evidence.RINGING,
    CallStatus.IN_PROGRESS: Evidence.IN_PROGRESS,
    CallStatus.FORWARDING: Evidence.FORWARDING,
    CallStatus.ENDED: Evidence.ENDED,
}


@dataclass(frozen=True, slots=True)
class Applied:
    """An event that belongs to a call, and what it says about the call's end, if anything."""

    call_id: UUID
    account_id: UUID
    ending: Ending | None
    learned: str
    freed: bool
    """Whether this event ended the call, so that its line is free now."""


def account_named(session: Session, name: str) -> tuple[UUID, dict[str, object]] | None:
    """The id and definition of the account of that name; None where there is none."""
    row = session.execute(select(Account.id, Account.definition).where(Account.name == name)).one_or_none()
    return None if row is None else (row.id, row.definition)


def store(
    session: Session, account_id: UUID, message: Message, *, learned: str, now: datetime, real: datetime
) -> tuple[int | None, bool]:
    """Keep the message once; returns its id and whether it is new. A repeat changes nothing: (None, False)."""
    statement = insert(Event).values(
        account_id=account_id,
        provider_id=message.provider_id,
        learned=learned,
        type=message.type,
        dedupe_key=message.dedupe_key,
        body=dict(message.body),
        occurred_at=message.occurred_at,
        received_at=now,
        retry_at=real,
    )
    event_id = session.scalar(statement.on_conflict_do_nothing().returning(Event.id))
    return event_id, event_id is not None


def apply(session: Session, event_id: int, *, now: datetime, real: datetime, timing: Timing) -> Applied | None:
    """Apply a stored event to its call; None where it was applied before, or belongs to no call that we know.

    The call is found by our own id first, else by the provider's, and only among the calls of the event's account.
    An ending whose call is unknown goes to the dead letter, where it waits for the call to turn up.
    """
    stored = session.execute(
        select(Event.account_id, Event.learned, Event.body).where(Event.id == event_id, Event.applied_at.is_(None))
    ).one_or_none()
    if stored is None:
        return None
    message = _read(stored.learned, stored.body, now=now)
    call_id = _find_call(session, stored.account_id, message)
    if call_id is None and message.provider_id is not None:
        guard_id(session, stored.account_id, message.provider_id)
        call_id = _find_call(session, stored.account_id, message)  # its id may have been stored since we looked
    locked = lock(session, call_id, timing=timing) if call_id is not None else None
    event = session.get_one(Event, event_id, with_for_update={"key_share": True}, populate_existing=True)
    if event.applied_at is not None:
        return None  # somebody applied it while we waited for the call
    if locked is None:
        event.retry_at = None
        if message.ending is None:
            event.applied_at = now
        event.effect = "no such call"
        return None
    call = locked.call
    evidence = _EVIDENCE.get(message.status) if message.status is not None else None
    if message.provider_id is not None and not know(session, call, message.provider_id, real=real):
        evidence = Evidence.CONFLICT
    effect = "noted"
    freed = False
    if evidence is not None:
        verdict = move(locked, evidence, now=now, real=real)
        effect = verdict.effect if verdict.effect is not Effect.MOVE else f"move to {verdict.state}"
        freed = verdict.effect is Effect.MOVE and verdict.state is CallState.ENDED
    elif message.kind is MessageKind.HANG:
        heard(locked, real=real)
    elif message.kind is MessageKind.DELETED and call.state in LIVE | {CallState.UNKNOWN}:
        call.check_at = real  # erased at the provider before it was over: ask
    if evidence is Evidence.IN_PROGRESS and call.started_at is None:
        call.started_at = message.occurred_at
    event.call_id = call.id
    event.applied_at = now
    event.retry_at = None
    event.effect = str(effect)
    if message.ending is None or evidence is Evidence.CONFLICT:
        return None
    return Applied(call.id, call.account_id, message.ending, event.learned, freed=freed)


def failed(session: Session, event_id: int, problem: str, *, real: datetime) -> bool:
    """Keep why an event could not be applied and when it is tried again; True where it went to the dead letter."""
    event = session.get_one(Event, event_id, with_for_update={"key_share": True}, populate_existing=True)
    event.failures += 1
    event.error = problem[:500]
    dead = event.failures >= LAST_TRY
    event.retry_at = None if dead else real + FIRST_WAIT * 2 ** (event.failures - 1)
    return dead


def due(session: Session, *, real: datetime, limit: int) -> list[int]:
    """Stored events that should have been applied by now: hints that were lost, and failures to be tried again."""
    patience = timedelta(seconds=2)  # the hint that was sent with the event normally does it within 0.1 s
    query = select(Event.id).where(Event.retry_at <= real - patience).order_by(Event.retry_at).limit(limit)
    return list(session.scalars(query))


def informs(message: Message) -> bool:
    """Whether the message is one that is stored: the others are counted and answered."""
    return message.kind in {MessageKind.STATUS, MessageKind.REPORT, MessageKind.HANG, MessageKind.DELETED}


def _read(learned: str, body: dict[str, object], *, now: datetime) -> Message:
    return read_call(body, now=now) if learned == "asked" else read_message(json.dumps(body).encode())


def _find_call(session: Session, account_id: UUID, message: Message) -> UUID | None:
    if message.call_id is not None:
        found = session.scalar(select(Call.id).where(Call.id == message.call_id, Call.account_id == account_id))
        if found is not None:
            return found
    if message.provider_id is None:
        return None
    return session.scalar(select(Call.id).where(Call.account_id == account_id, Call.provider_id == message.provider_id))
