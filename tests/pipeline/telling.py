"""What the provider says about a call in a test, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.models import Call, Campaign, Prospect
from campaigns.pipeline import ingesting, reporting, settling
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.events import read_message
from tests import factories

REAL = factories.REAL
TIMING = Timing()


PROVIDER_ID = "019a9046-121e-766d-bd1f-84f3ccc309c1"


def in_call(session: Session, now: datetime, **changes: Any) -> Call:
    campaign = factories.campaign(session, now, **changes)
    return factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.PLACING)


def status(call: Call, word: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "message": {
            "type": "status-update",
            "status": word,
            "timestamp": at.timestamp() * 1000,
            "call": {"id": PROVIDER_ID, "name": str(call.id)},
            **more,
        }
    }


def ended(call: Call, reason: str, at: datetime) -> dict[str, Any]:
    return status(call, "ended", at, endedReason=reason)


def report(call: Call, reason: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "message": {
            "type": "end-of-call-report",
            "endedReason": reason,
            "timestamp": (at + timedelta(seconds=4)).timestamp() * 1000,
            "startedAt": (at - timedelta(seconds=30)).isoformat(),
            "endedAt": at.isoformat(),
            "cost": 0.05,
            "artifact": {"messages": [{"role": "user", "message": "yes"}], "transcript": "User: yes"},
            "analysis": {"summary": "agreed", "structuredData": {"interested": True}},
            "call": {"id": PROVIDER_ID, "name": str(call.id)},
            **more,
        }
    }


def tell(session: Session, call: Call, body: dict[str, Any], now: datetime) -> ProspectState | None:
    """What a webhook does: store, apply, settle."""
    message = read_message(json.dumps(body).encode())
    event_id, _ = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
    if event_id is None:
        return None
    applied = ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING)
    session.flush()
    if applied is None:
        return None
    found = settling.settle(session, Ended(applied.call_id, applied.ending, learned="pushed"), now=now, timing=TIMING)
    session.flush()
    return found.get(call.id)


def calls_in(session: Session, now: datetime, many: int, *, state: CallState = CallState.PLACING) -> list[Call]:
    campaign = factories.campaign(session, now)
    return [factories.call(session, factories.prospect(session, campaign, now), now, state=state) for _ in range(many)]


def store(session: Session, call: Call, body: dict[str, Any], now: datetime, *, provider_id: str | None = None) -> int:
    body["message"]["call"]["id"] = provider_id or f"provider-{call.id}"
    message = read_message(json.dumps(body).encode())
    event_id, _ = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
    assert event_id is not None
    return event_id


def lives(calls: Sequence[Call], now: datetime) -> list[tuple[Call, dict[str, Any]]]:
    """A conversation, one that was busy, a mailbox whose report revises, and one of which only the end is told."""
    talked, busy, mailbox, silent = calls
    return [
        *((talked, status(talked, word, now)) for word in ("queued", "ringing", "in-progress")),
        (talked, ended(talked, "customer-ended-call", now)),
        (talked, report(talked, "customer-ended-call", now)),
        (busy, status(busy, "ringing", now)),
        (busy, ended(busy, "customer-busy", now)),
        (busy, report(busy, "customer-ended-call", now)),
        (mailbox, report(mailbox, "voicemail", now)),
        (mailbox, ended(mailbox, "voicemail", now)),
        (silent, ended(silent, "customer-did-not-answer", now)),
    ]


def person(session: Session, call: Call) -> Prospect:
    return session.get_one(Prospect, call.prospect_id)


def figures(session: Session, call: Call) -> dict[str, int]:
    ledger.write_tallies(session)
    progress = reporting.progress(session, session.get_one(Campaign, call.campaign_id), now=call.changed_at)
    return (
        {f"prospect:{state}": number for state, number in progress.prospects.items()}
        | {f"outcome:{outcome}": number for outcome, number in progress.outcomes.items()}
        | ({"call:made": progress.calls} if progress.calls else {})
    )
