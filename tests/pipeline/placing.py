"""Placing a call in a test without a provider: the intent, and each kind of answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from campaigns.errors import CallFailure
from campaigns.models import Call, Prospect
from campaigns.pipeline import calling, dispatching
from campaigns.rules.timing import Timing
from campaigns.vapi.events import Message, read_call
from tests import factories

REAL = factories.REAL
TIMING = Timing()


def claimed(session: Session, now: datetime, **changes: Any) -> Call:
    prospect = factories.prospect(session, factories.campaign(session, now), now, **changes)
    return factories.call(session, prospect, now)


def claim(session: Session, account_id: UUID, now: datetime, *, real: datetime = REAL) -> list[UUID]:
    return dispatching.claim_due(session, account_id, now=now, real=real, timing=TIMING)


def prepare(session: Session, call_id: UUID, now: datetime, *, real: datetime = REAL) -> calling.Prepared | None:
    held = calling.hold_still(session, [call_id], timing=TIMING)
    return next(iter(calling.prepare(session, held, now=now, real=real)), None)


def wait(session: Session, call_id: UUID, *, real: datetime = REAL) -> timedelta | None:
    """How long until the call's slot; None where it has none."""
    return calling.await_slots(session, [call_id], real=real).get(call_id)


def accepted(call: Call, now: datetime, *, provider_id: str = "call-1", **more: Any) -> Message:
    record = {"id": provider_id, "status": "queued", "name": str(call.id), "createdAt": now.isoformat(), **more}
    return read_call(record, now=now)


def record(session: Session, call: Call, answer: Message, now: datetime) -> None:
    calling.record(session, {call.id: answer}, now=now, real=REAL, timing=TIMING)


def fail(session: Session, call: Call, failure: CallFailure, now: datetime) -> None:
    calling.record(session, {call.id: failure}, now=now, real=REAL, timing=TIMING)


def person(session: Session, call: Call) -> Prospect:
    return session.get_one(Prospect, call.prospect_id)
