"""What the provider says becomes a stored event, once; an event becomes a state, in any order and however often."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, and_, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, defer

from campaigns.errors import UnknownName
from campaigns.ledger import Locked, block, guard_ids, heard, know, lock_all, move, record
from campaigns.models import Account, Call, Event, MessageCount
from campaigns.rules.call_state import LIVE, PLACED, CallState, Effect, Evidence
from campaigns.rules.call_status import CallStatus
from campaigns.rules.outcome import Ending
from campaigns.rules.timing import Timing
from campaigns.vapi.events import Message, MessageKind, read_call, read_stored

PATIENCE = timedelta(seconds=2)  # the hint that was sent with an event normally does it within 0.1 s
BUSY = timedelta(milliseconds=300)  # a hint is gathered for half of that; what waits longer waits for a worker
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


_DEAD = and_(Event.applied_at.is_(None), Event.retry_at.is_(None))

# As one parameter however many rows: the driver's work for each value would be half of storing it.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_UNAPPLIED = (
    select(Event.id, Event.account_id, Event.learned, Event.body, Event.retry_at)
    .where(Event.id.in_(_IDS), Event.applied_at.is_(None))
    .order_by(Event.id)
)
_CALLS = select(Call.account_id, Call.id).where(Call.id.in_(_IDS))
_LOCK_EVENTS = (
    select(Event)
    .where(Event.id.in_(_IDS), Event.applied_at.is_(None))  # somebody may have applied it meanwhile
    .order_by(Event.id)
    .options(defer(Event.body))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_STORE_PUSHED = text("""
    INSERT INTO events (account_id, provider_id, learned, type, dedupe_key, body, occurred_at, received_at, retry_at)
    SELECT account_id, provider_id, 'pushed', type, dedupe_key, body, occurred_at, :now, :real
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS pushed (
           account_id uuid, provider_id text, type text, dedupe_key text, body jsonb, occurred_at timestamptz)
        ON CONFLICT DO NOTHING
 RETURNING id""")


@dataclass(frozen=True, slots=True)
class Applied:
    """An event that says something of its call's end, or what became of a request of which nobody knew that."""

    call_id: UUID
    account_id: UUID
    campaign_id: UUID
    ending: Ending | None
    learned: str
    freed: bool
    """Whether this event ended the call, so that its line is free now."""
    found: bool
    """Whether it was not known until now that our request became a call."""
    locked: Locked
    """The call, until the end of the transaction."""


class Became(StrEnum):
    """What became of a message that was posted to us."""

    STORED = "stored"
    COUNTED = "counted"
    REFUSED = "refused"


class Counted(NamedTuple):
    """What is counted together, for each day."""

    account_id: UUID
    type: str
    became: Became


def accounts(session: Session) -> list[tuple[UUID, str, dict[str, Any]]]:
    """Id, name and definition of every account."""
    return [tuple(row) for row in session.execute(select(Account.id, Account.name, Account.definition))]


def count(session: Session, counts: Mapping[Counted, int], *, now: datetime) -> None:
    """Add to the day's counts of messages."""
    day = now.astimezone(UTC).date()
    # In one order, so that two web processes never wait for each other.
    rows = [{**each._asdict(), "day": day, "count": number} for each, number in sorted(counts.items())]
    statement = insert(MessageCount)
    statement = statement.on_conflict_do_update(
        index_elements=list(MessageCount.__table__.primary_key),
        set_={"count": MessageCount.count + statement.excluded.count},
    )
    session.execute(statement, rows)


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


def store_pushed(
    session: Session, pushed: Sequence[tuple[UUID, Message]], *, now: datetime, real: datetime
) -> list[int]:
    """Keep each account's messages once, in one statement; returns the ids of those that are new."""
    rows = [
        {
            "account_id": account_id,
            "provider_id": message.provider_id,
            "type": message.type,
            "dedupe_key": message.dedupe_key,
            "body": message.body,
            "occurred_at": message.occurred_at,
        }
        # In one order: two processes that were sent the same messages wait for each other's, and never in a circle.
        for account_id, message in sorted(pushed, key=lambda one: (one[0], one[1].dedupe_key))
    ]
    return list(session.scalars(_STORE_PUSHED, {"rows": _as_json(rows), "now": now, "real": real}))


def apply(
    session: Session, event_ids: Collection[int], *, now: datetime, real: datetime, timing: Timing, more: int = 0
) -> tuple[list[Applied], list[int]]:
    """Apply stored events to their calls, in the order in which they came.

    Where they have waited long, up to `more` others that wait too are applied with them: the workers are busy, and
    many are applied as fast as one.

    A call is found by our own id first, else by the provider's, and only among the calls of the event's account.
    Returns what was learned about calls' ends, and the events whose call is not known: each of these is for
    `apply_alone`. What was applied before is left out.
    """
    messages = _unapplied(session, event_ids, now=now)
    if more and messages and _waits_long(messages.values(), real=real):
        waiting = select(Event.id).where(Event.retry_at.between(real - PATIENCE, real), Event.failures == 0)
        others = waiting.where(Event.id.not_in(event_ids)).order_by(Event.retry_at).limit(more)
        messages |= _unapplied(session, session.scalars(others).all(), now=now)
    calls = _find_calls(session, messages)
    locked = lock_all(session, set(calls.values()), timing=timing)
    applied = []
    for event in session.scalars(_LOCK_EVENTS, {"ids": list(calls)}).all():
        found = _apply(session, event, messages[event.id].message, locked[calls[event.id]], now=now, real=real)
        if found is not None:
            applied.append(found)
    return applied, [event_id for event_id in messages if event_id not in calls]


def apply_alone(session: Session, event_id: int, *, now: datetime, real: datetime, timing: Timing) -> Applied | None:
    """Apply one event, the only one of its transaction; None where it says nothing about an end, or was applied.

    An ending whose call nobody knows goes to the dead letter and becomes due when its call turns up; anything else
    is kept and done with. To be sure that nobody knows it, the provider's id is guarded before any call is locked.
    Whoever stores that id has locked its call first: together with other events this could deadlock.
    """
    messages = _unapplied(session, [event_id], now=now)
    if not messages:
        return None
    (stored,) = messages.values()
    message = stored.message
    if message.provider_id is not None and not _find_calls(session, messages):
        guard_ids(session, [(stored.account_id, message.provider_id)])
    if _find_calls(session, messages):  # its id may have been stored since we looked
        applied, _ = apply(session, [event_id], now=now, real=real, timing=timing)
        return applied[0] if applied else None
    event = session.get_one(Event, event_id, with_for_update={"key_share": True}, populate_existing=True)
    if event.applied_at is None:
        event.retry_at = None
        if message.ending is None or not message.outbound:
            event.applied_at = now
        event.effect = "no such call" if message.outbound else "not an outbound call"
    return None


def _apply(
    session: Session, event: Event, message: Message, locked: Locked, *, now: datetime, real: datetime
) -> Applied | None:
    call = locked.call
    evidence = _EVIDENCE.get(message.status) if message.status is not None else None
    if message.provider_id is not None and call.id not in know(session, [(call, message.provider_id)], real=real):
        evidence = Evidence.CONFLICT
    effect = "noted"
    freed, found = False, call.state is CallState.UNKNOWN
    if evidence is not None:
        verdict = move(locked, evidence, now=now, real=real)
        effect = verdict.effect if verdict.effect is not Effect.MOVE else f"move to {verdict.state}"
        freed = verdict.effect is Effect.MOVE and verdict.state is CallState.ENDED
    elif message.kind is MessageKind.HANG:
        heard(locked, real=real)
    elif message.kind is MessageKind.DELETED and call.state in LIVE | {CallState.UNKNOWN}:
        call.check_at = real  # erased at the provider before it was over: ask
    if freed and message.ending is not None and message.ending.no_line:
        call.blocked = True
    elif message.limits is not None and message.limits.blocked and effect == f"move to {CallState.QUEUED}":
        block(locked, real=real)  # the answer to our request was lost, and with it that there was no line
    if evidence is Evidence.IN_PROGRESS and call.started_at is None:
        call.started_at = message.occurred_at
    event.call_id = call.id
    event.applied_at = now
    event.retry_at = None
    event.effect = str(effect)
    found = found and call.state in PLACED
    ending = None if evidence is Evidence.CONFLICT else message.ending
    if ending is None and not found:
        return None
    ids = (call.id, call.account_id, call.campaign_id)
    return Applied(*ids, ending, event.learned, freed=freed, found=found, locked=locked)


def failed(session: Session, event_id: int, problem: str, *, real: datetime) -> bool:
    """Keep why an event could not be applied and when it is tried again; True where it went to the dead letter."""
    event = session.get_one(Event, event_id, with_for_update={"key_share": True}, populate_existing=True)
    if event.applied_at is not None:
        return False  # by another worker, which had taken it along
    event.failures += 1
    event.error = problem[:500]
    dead = event.failures >= LAST_TRY
    event.retry_at = None if dead else real + FIRST_WAIT * 2 ** (event.failures - 1)
    return dead


def due(session: Session, *, real: datetime, limit: int) -> list[int]:
    """Stored events that should have been applied by now: hints that were lost, and failures to be tried again."""
    query = select(Event.id).where(Event.retry_at <= real - PATIENCE).order_by(Event.retry_at).limit(limit)
    return list(session.scalars(query))


@dataclass(frozen=True, slots=True)
class Dead:
    """An event in the dead letter: nothing more happens to it unasked, unless its call turns up."""

    id: int
    account: str
    type: str
    provider_id: str | None
    received_at: datetime
    failures: int
    why: str | None


def dead(session: Session, *, limit: int) -> list[Dead]:
    """The dead letter, oldest first."""
    query = (
        select(Event.id, Account.name, Event.type, Event.provider_id, Event.received_at, Event.failures)
        .add_columns(func.coalesce(Event.error, Event.effect))
        .join(Account, Account.id == Event.account_id)
        .where(_DEAD)
    )
    return [Dead(*row) for row in session.execute(query.order_by(Event.id).limit(limit))]


def retry(session: Session, event_ids: Collection[int] | None, *, who: str, now: datetime, real: datetime) -> list[int]:
    """Have these dead events (None: all of them) applied once more; returns their ids.

    Raises `UnknownName` for an id that is not in the dead letter, and then changes nothing.
    """
    found = _locked_dead(session, event_ids)
    for event in found:
        _audit(session, event, "event tried again", who=who, why=None, now=now)
        event.failures = 0
        event.retry_at = real
    return [event.id for event in found]


def dismiss(session: Session, event_id: int, *, who: str, why: str, now: datetime) -> None:
    """Take an event out of the dead letter without applying it; its body is kept. Raises `UnknownName`."""
    (event,) = _locked_dead(session, [event_id])
    _audit(session, event, "event dismissed", who=who, why=why, now=now)
    event.applied_at = now
    event.effect = "dismissed"


def counted(session: Session, *, since: date) -> list[dict[str, Any]]:
    """How many messages came, by day, account, type and what became of them; newest day first."""
    query = (
        select(MessageCount.day, Account.name.label("account"), MessageCount.type, MessageCount.became)
        .add_columns(MessageCount.count)
        .join(Account, Account.id == MessageCount.account_id)
        .where(MessageCount.day >= since)
        .order_by(MessageCount.day.desc(), Account.name, MessageCount.type, MessageCount.became)
    )
    return [dict(row) for row in session.execute(query).mappings()]


def informs(message: Message) -> bool:
    """Whether the message is one that is stored: the others are counted and answered."""
    return message.kind not in {MessageKind.REQUEST, MessageKind.OTHER}


def _locked_dead(session: Session, event_ids: Collection[int] | None) -> Sequence[Event]:
    query = select(Event).where(_DEAD).order_by(Event.id).with_for_update(key_share=True)
    if event_ids is not None:
        query = query.where(Event.id.in_(event_ids))
    found = session.scalars(query).all()
    missing = set(event_ids or ()) - {event.id for event in found}
    if missing:
        raise UnknownName(f"event {min(missing)} is not in the dead letter: `outbound events list` shows what is")
    return found


def _audit(session: Session, event: Event, what: str, *, who: str, why: str | None, now: datetime) -> None:
    before = {"failures": event.failures, "effect": event.effect, "error": event.error}
    record(session, who=who, what=what, subject=f"event:{event.id}", before=before, now=now, why=why)


def _as_json(rows: list[dict[str, Any]]) -> str:
    try:
        return orjson.dumps(rows).decode()
    except TypeError:  # an integer of more than 64 bits
        return json.dumps(rows, default=str)


class _Stored(NamedTuple):
    account_id: UUID
    message: Message
    due_at: datetime | None
    """Real time at which it was stored, or since which it is to be tried again."""


def _unapplied(session: Session, event_ids: Collection[int], *, now: datetime) -> dict[int, _Stored]:
    """Whose events these are and what they say, in the order in which they came, without those applied before."""
    rows = session.execute(_UNAPPLIED, {"ids": list(event_ids)})
    return {
        row.id: _Stored(
            row.account_id,
            read_call(row.body, now=now) if row.learned == "asked" else read_stored(row.body),
            row.retry_at,
        )
        for row in rows
    }


def _waits_long(stored: Iterable[_Stored], *, real: datetime) -> bool:
    return any(each.due_at is not None and each.due_at < real - BUSY for each in stored)


def _find_calls(session: Session, messages: Mapping[int, _Stored]) -> dict[int, UUID]:
    """The calls that these events are about, for those whose call is known: by our id first, else by the provider's."""
    ours = {stored.message.call_id for stored in messages.values()}
    rows = session.execute(_CALLS, {"ids": list(ours - {None})})
    known = {(account_id, call_id) for account_id, call_id in rows}
    found = {
        event_id: stored.message.call_id
        for event_id, stored in messages.items()
        if stored.message.call_id is not None and (stored.account_id, stored.message.call_id) in known
    }
    others = {event_id: stored for event_id, stored in messages.items() if event_id not in found}
    theirs = {stored.message.provider_id for stored in others.values()} - {None}
    if theirs:
        accounts_of = {stored.account_id for stored in others.values()}
        named = session.execute(
            select(Call.account_id, Call.provider_id, Call.id).where(
                Call.account_id.in_(accounts_of), Call.provider_id.in_(theirs)
            )
        )
        by_name = {(account_id, provider_id): call_id for account_id, provider_id, call_id in named}
        for event_id, stored in others.items():
            if (call_id := by_name.get((stored.account_id, stored.message.provider_id))) is not None:
                found[event_id] = call_id
    return found
