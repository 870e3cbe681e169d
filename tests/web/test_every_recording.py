"""Every recording, posted to the running receiver and applied: where its call, person and outcome then stand."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from campaigns import db
from campaigns.models import Call, Event, Outcome, Prospect
from campaigns.pipeline import ingesting, settling
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from tests import factories
from tests.web.conftest import RECORDINGS, Web, signed

NOW = datetime(2027, 3, 2, 15, tzinfo=UTC)
RECORDED_CALL = "5b6f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e3f"
RECORDED_ID = "0198f2c4-7a10-7d3e-9b55-3f0c1d2e4a61"
SECRETS = re.compile(r"\b[A-Z]{2,}-(TEXT|QUERY|HEADER|TOKEN|KEY|SECRET)\b|PRESIGNED|presigned|/control\b|/listen\b")

PLACING, QUEUED, RINGING = CallState.PLACING, CallState.QUEUED, CallState.RINGING
IN_PROGRESS, FORWARDING, ENDED = CallState.IN_PROGRESS, CallState.FORWARDING, CallState.ENDED


@dataclass(frozen=True)
class Facts:
    """What the outcome says."""

    outcome: OutcomeClass
    complete: bool = True
    answered: bool = False
    seconds: float | None = None
    cost: str | None = None
    said: bool = False
    """Whether there is a transcript."""
    recorded: bool = False
    structured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Then:
    """A call before a recording arrives, and after it."""

    before: CallState
    after: CallState
    prospect: ProspectState = ProspectState.IN_CALL
    facts: Facts | None = None


ANSWERS = {
    "booked": True,
    "slot": "2026-06-23T09:00",
    "do_not_call": False,
    "password_reset_wanted": "no",
    "mood": {"tone": "friendly"},
}
HUNG_UP = Facts(OutcomeClass.COMPLETED, complete=False, answered=True, seconds=21)
UNREACHED = Facts(OutcomeClass.NO_ANSWER, cost="0")
TALKED = Facts(
    OutcomeClass.COMPLETED, answered=True, seconds=21, cost="0.045", said=True, recorded=True, structured=ANSWERS
)
WITH_OUTPUTS = ANSWERS | {"Appointment": {"weekday": "Tuesday", "hour": 9}}

WAITING, SETTLING, COMPLETED = ProspectState.WAITING, ProspectState.SETTLING, ProspectState.COMPLETED

TOLD: dict[str, Then] = {
    "status-scheduled": Then(PLACING, QUEUED),
    "status-queued": Then(PLACING, QUEUED),
    "status-ringing": Then(QUEUED, RINGING),
    "status-in-progress": Then(RINGING, IN_PROGRESS),
    "status-forwarding": Then(IN_PROGRESS, FORWARDING),
    "hang": Then(IN_PROGRESS, IN_PROGRESS),
    "status-ended": Then(IN_PROGRESS, ENDED, SETTLING, HUNG_UP),
    "status-ended-with-backoff-plan": Then(IN_PROGRESS, ENDED, SETTLING, HUNG_UP),
    "status-ended-no-answer": Then(RINGING, ENDED, WAITING, Facts(OutcomeClass.NO_ANSWER, complete=False)),
    "status-ended-no-line": Then(PLACING, ENDED, WAITING, Facts(OutcomeClass.CAPACITY, complete=False)),
    "report-completed": Then(IN_PROGRESS, ENDED, COMPLETED, Facts(**(vars(TALKED) | {"structured": WITH_OUTPUTS}))),
    "report-no-answer": Then(RINGING, ENDED, WAITING, UNREACHED),
    "report-busy": Then(QUEUED, ENDED, WAITING, Facts(OutcomeClass.BUSY, cost="0")),
    "report-invalid-number": Then(QUEUED, ENDED, ProspectState.REFUSED, Facts(OutcomeClass.CUSTOMER_SIDE, cost="0")),
    "report-carrier-failed": Then(QUEUED, ENDED, WAITING, Facts(OutcomeClass.TRANSPORT_ERROR, cost="0")),
    "report-voicemail": Then(
        IN_PROGRESS,
        ENDED,
        WAITING,
        Facts(OutcomeClass.VOICEMAIL, seconds=13.6, cost="0.0217", said=True, recorded=True),
    ),
    "report-pipeline-error": Then(
        IN_PROGRESS,
        ENDED,
        WAITING,
        Facts(OutcomeClass.PIPELINE_ERROR, answered=True, seconds=6.5, cost="0.0146", said=True, recorded=True),
    ),
    "report-transferred": Then(
        FORWARDING,
        ENDED,
        COMPLETED,
        Facts(OutcomeClass.COMPLETED, answered=True, seconds=31.6, cost="0.045", said=True, recorded=True),
    ),
    "call-deleted": Then(IN_PROGRESS, ENDED, SETTLING, Facts(OutcomeClass.COMPLETED, complete=False, answered=True)),
    # Older forms: the same facts as above from other places, as far as they carry them.
    "legacy-report-top-level-fields": Then(IN_PROGRESS, ENDED, COMPLETED, TALKED),
    "legacy-status-flat": Then(
        IN_PROGRESS, ENDED, SETTLING, Facts(OutcomeClass.COMPLETED, complete=False, answered=True)
    ),
}
"""What is stored and moves a call."""

NOT_SERVED = "…"
"""Some words to whoever asked."""
BOOKING = {"results": [{"toolCallId": "call_Lk7aa1", "name": "book_slot", "error": NOT_SERVED}]}
TEXTING = {"toolCallId": "call_Lk7aa2", "name": "send_text", "error": NOT_SERVED}
ASKED: dict[str, dict[str, Any]] = {
    "assistant-request": {"error": NOT_SERVED},
    "campaign-predial": {"eligible": False},
    "tool-calls": {"results": [*BOOKING["results"], TEXTING]},
    "legacy-tool-calls-object-arguments": BOOKING,
    "legacy-tool-calls-flattened": BOOKING,
    "legacy-function-call": {"result": NOT_SERVED},
}
"""What is answered and not kept."""

HEARD = (
    "artifact-upload",
    "conversation-update",
    "speech-update",
    "transcript-assistant-final",
    "transcript-user-final",
    "transcript-user-partial",
    "transfer-update",
    "user-interrupted",
)
"""What is told for information, and not kept either."""

ANSWERED = {"asked-ended", "created", "created-batch", "created-blocked", "created-scheduled", "listing", "refusals"}
"""What is no message, but an answer to a request of ours."""


def call_in(web: Web, state: CallState) -> Call:
    """A call that the provider has, on a line of its own."""
    with db.transaction(web.database) as session:
        campaign = factories.campaign(session, NOW)
        provider_id = None if state is PLACING else str(uuid.uuid4())
        return factories.call(
            session, factories.prospect(session, campaign, NOW), NOW, state=state, provider_id=provider_id
        )


def post(web: Web, name: str, call: Call) -> Any:
    """The answer to the recording, posted twice as if it were about `call`."""
    text = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8")
    text = text.replace(RECORDED_CALL, str(call.id)).replace(RECORDED_ID, call.provider_id or str(uuid.uuid4()))
    body = text.encode()
    first, again = (web.post(body, signed(body)) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
    return first.json()


def apply_all(web: Web) -> list[dict[str, Any]]:
    """Apply what is stored, as the workers do; returns the bodies."""
    with db.transaction(web.database) as session:
        waiting = session.execute(select(Event.id, Event.body).where(Event.applied_at.is_(None)).order_by(Event.id))
        events = [(row.id, row.body) for row in waiting]
    for event_id, _ in events:
        with db.transaction(web.database) as session:
            applied = ingesting.apply_alone(session, event_id, now=NOW, real=NOW, timing=Timing())
            if applied is not None:
                settling.settle(
                    session, Ended(applied.call_id, applied.ending, learned=applied.learned), now=NOW, timing=Timing()
                )
    return [body for _, body in events]


@pytest.mark.parametrize("name", TOLD)
def test_a_recording_moves_its_call_and_tells_its_outcome(web: Web, name: str) -> None:
    then = TOLD[name]
    call = call_in(web, then.before)
    assert post(web, name, call) == {}
    (body,) = apply_all(web)
    assert not SECRETS.search(json.dumps(body))
    with db.transaction(web.database) as session:
        found, outcome = session.get_one(Call, call.id), session.get(Outcome, call.id)
        assert (found.state, found.incident) == (then.after, None)
        assert session.get_one(Prospect, call.prospect_id).state is then.prospect
        assert (facts(outcome) if outcome is not None else None) == then.facts


def facts(outcome: Outcome) -> Facts:
    assert outcome.cost is None or sum(map(Decimal, (outcome.costs or {}).values())) in {outcome.cost, 0}
    return Facts(
        outcome.outcome,
        complete=outcome.complete,
        answered=bool(outcome.answered),
        seconds=None if outcome.duration_seconds is None else float(outcome.duration_seconds),
        cost=None if outcome.cost is None else f"{outcome.cost.normalize():f}",
        said=outcome.transcript is not None,
        recorded=outcome.recording is not None,
        structured=outcome.structured or {},
    )


@pytest.mark.parametrize("name", [*ASKED, *HEARD])
def test_a_recording_that_is_not_kept_is_answered(web: Web, name: str) -> None:
    call = call_in(web, IN_PROGRESS)
    assert without_words(post(web, name, call)) == ASKED.get(name, {})
    assert apply_all(web) == []
    with db.transaction(web.database) as session:
        assert session.get_one(Call, call.id).state is IN_PROGRESS


def without_words(answer: Any) -> Any:
    if isinstance(answer, dict):
        worded = {"error", "result"} & answer.keys()
        assert all(isinstance(answer[key], str) and "\n" not in answer[key] for key in worded)
        return {key: NOT_SERVED if key in worded else without_words(value) for key, value in answer.items()}
    return [without_words(item) for item in answer] if isinstance(answer, list) else answer


def test_every_recording_has_its_place_in_these_tables() -> None:
    names = [path.stem for path in RECORDINGS.glob("*.json")]
    assert sorted(names) == sorted([*TOLD, *ASKED, *HEARD, *ANSWERED])
