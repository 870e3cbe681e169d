"""Calls, what was heard of them and what they came to, as parts of a story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, case, cast, func, null, select
from sqlalchemy.orm import Session

from campaigns.models import Call, Event, Outcome, PhoneNumber, Prospect


@dataclass(frozen=True, slots=True)
class Story:
    """One moment of a person's story."""

    at: datetime
    what: str
    detail: str
    campaign: str
    who: str | None = None
    """The person or the part of the system that did it, where somebody did."""
    call: UUID | None = None
    due_at: datetime | None = None
    """When the next call is due, where that is told."""


# Of a body only the words that are shown: a report is kilobytes, with its transcript.
_SAID = case(
    (Event.effect.is_not(None), null()),
    else_=func.coalesce(Event.body["message"].astext, Event.body["status"].astext),
)
_EVENTS = (Event.call_id, Event.received_at, Event.learned, Event.type, Event.effect, cast(_SAID, Text).label("said"))
_TOLD = {"pushed": "Vapi said", "asked": "Vapi said when asked", "answered": "Vapi answered the request"}
_EFFECTS = {"noted": "changes nothing", "ignore": "changes nothing any more", "incident": "an incident"}


def calls_of(
    session: Session, prospects: Mapping[int, Prospect], names: Mapping[int, str]
) -> tuple[list[Story], dict[UUID, str]]:
    """The story of every call of these prospects, and the campaign of each call."""
    rows = session.execute(
        select(Call, PhoneNumber.provider_id)
        .join(PhoneNumber, PhoneNumber.id == Call.phone_number_id)
        .where(Call.prospect_id.in_(prospects))
        .order_by(Call.claimed_at, Call.id)
    ).all()
    by_call = {call.id: names[call.prospect_id] for call, _ in rows}
    events: dict[UUID | None, list[Any]] = defaultdict(list)
    for event in session.execute(select(*_EVENTS).where(Event.call_id.in_(by_call)).order_by(Event.id)):
        events[event.call_id].append(event)
    columns = (Outcome.call_id, Outcome.outcome, Outcome.ended_reason, Outcome.answered, Outcome.duration_seconds)
    outcomes: dict[UUID, Any] = {
        row.call_id: row for row in session.execute(select(*columns).where(Outcome.call_id.in_(by_call)))
    }
    calls = [call for call, _ in rows]
    return [
        story
        for call, caller in rows
        for story in _of(call, caller, events[call.id], outcomes.get(call.id), calls, by_call[call.id])
    ], by_call


def _of(
    call: Call,
    caller: str,
    events: Sequence[Any],
    outcome: Any | None,
    calls: Sequence[Call],
    campaign: str,
) -> Iterator[Story]:
    yield Story(call.claimed_at, "call claimed", f"{call.id} from {caller}", campaign, call=call.id)
    if call.intent_at is not None:
        yield Story(call.intent_at, "call intended", "its request may leave from now on", campaign, call=call.id)
    else:
        yield Story(call.changed_at, f"call {call.state}", call.state_why or "", campaign, call=call.id)
    for event in events:
        effect = str(event.effect or event.said or "waits to be applied")
        effect = _EFFECTS.get(effect, effect.replace("move to ", "the call is now "))
        what = _TOLD.get(event.learned, event.learned)
        yield Story(event.received_at, what, f"{event.type}: {effect}", campaign, call=call.id)
    if outcome is not None and call.settled_at is not None:
        parts = [outcome.ended_reason, None if outcome.answered is None else _ANSWERED[outcome.answered]]
        parts.append(None if outcome.duration_seconds is None else f"{outcome.duration_seconds:.0f} s")
        detail = ", ".join(part for part in parts if part)
        yield Story(call.settled_at, f"settled: {outcome.outcome}", detail, campaign, call=call.id)
    if call.incident is not None:
        yield Story(call.changed_at, "INCIDENT", _incident(call, calls), campaign, call=call.id)


_ANSWERED = {True: "a person answered", False: "no person answered"}


def _incident(call: Call, calls: Sequence[Call]) -> str:
    later = next((each for each in calls if each.claimed_at > call.claimed_at and each.intent_at is not None), None)
    newer = "" if later is None else f"; call {later.id} was made later"
    seen = "" if call.incident_seen_at is not None else f"; `outbound calls review {call.id}` decides"
    return f"call {call.id}: {call.incident}{newer}{seen}"
