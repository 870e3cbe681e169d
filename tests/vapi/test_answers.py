"""What Vapi answers over HTTP, through our client: which failure it becomes, or which record, and what then holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, Throttled
from campaigns.models import Call, Outcome, Prospect
from campaigns.pipeline import calling, ingesting, settling
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.client import Client
from campaigns.vapi.events import read_call
from campaigns.vapi.requests import CreateCall
from tests import factories

RECORDINGS = Path(__file__).parents[1] / "recordings"
REFUSALS = json.loads((RECORDINGS / "refusals.json").read_text(encoding="utf-8"))
OURS = UUID("5b6f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e3f")
NOBODYS = UUID("6c7f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e30")
REQUEST = CreateCall(OURS, {"name": str(OURS), "customer": {"number": "+12025550143"}})


class Canned:
    """A server with one answer, and a client of ours."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (500, b"")
        self.asked: list[str] = []
        canned = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.do_GET()

            def do_GET(self) -> None:
                canned.asked.append(f"{self.command} {self.path.partition('?')[0]}")
                status, body = canned.answer
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def says(self, status: int, body: Any) -> Client:
        self.answer = (status, body.encode() if isinstance(body, str) else json.dumps(body).encode())
        return Client(f"http://127.0.0.1:{self.server.server_port}", "a-key")


@pytest.fixture(scope="module")
def _canned() -> Iterator[Canned]:
    canned = Canned()
    thread = Thread(target=canned.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield canned
    canned.server.shutdown()
    thread.join()
    canned.server.server_close()


@pytest.fixture
def vapi(_canned: Canned) -> Canned:
    _canned.asked.clear()
    return _canned


BECOMES: dict[str, type[CallFailure]] = {
    "no-phone-number": CallRefused,
    "over-concurrency": Throttled,
    "over-concurrency-bare": Throttled,
    "unknown-property": CallRefused,
    "validation": CallRefused,
    "wrong-key": AccountRefused,
    "payment": AccountRefused,
    "permission": AccountRefused,
    "not-found": CallRefused,
    "timeout-there": CallUnclear,
    "in-use": CallRefused,
    "too-many": Throttled,
    "broken": CallUnclear,
    "broken-edge": CallUnclear,
    "unavailable": CallUnclear,
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_told_apart_by_what_it_means_and_made_once(vapi: Canned, name: str) -> None:
    refusal = REFUSALS[name]
    with vapi.says(refusal["status"], refusal["body"]) as client, pytest.raises(CallFailure) as failure:
        client.create_call(REQUEST)
    assert type(failure.value) is BECOMES[name]
    assert failure.value.status == refusal["status"]
    assert "\n" not in str(failure.value)
    assert vapi.asked == ["POST /call"]


def test_the_words_of_a_refusal_are_kept(vapi: Canned) -> None:
    refusal = REFUSALS["validation"]
    with vapi.says(refusal["status"], refusal["body"]) as client, pytest.raises(CallRefused) as failure:
        client.create_call(REQUEST)
    assert all(words in str(failure.value) for words in refusal["body"]["message"])


def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def placing(session: Session, now: datetime, call_id: UUID = OURS) -> Call:
    prospect = factories.prospect(session, factories.campaign(session, now), now)
    return factories.call(session, prospect, now, id=call_id, state=CallState.PLACING)


@pytest.mark.parametrize(
    ("name", "blocked"), [("created", False), ("created-blocked", True), ("created-scheduled", False)]
)
def test_an_accepted_call_is_queued(vapi: Canned, session: Session, now: datetime, name: str, *, blocked: bool) -> None:
    call = placing(session, now)
    with vapi.says(201, recorded(name)) as client:
        answer = read_call(client.create_call(REQUEST), now=now)
    calling.record(session, {call.id: answer}, now=now, real=now, timing=Timing())
    assert (call.state, call.blocked, call.provider_id) == (CallState.QUEUED, blocked, recorded(name)["id"])


@pytest.mark.parametrize("body", [recorded("created-batch"), [], "accepted", {"id": 7}, ""])
def test_an_acceptance_that_names_no_call_is_unclear(vapi: Canned, body: Any) -> None:
    with vapi.says(201, body) as client, pytest.raises(CallUnclear):
        client.create_call(REQUEST)


def learn(session: Session, call: Call, record: Any, now: datetime) -> None:
    message = read_call(record, now=now)
    event_id, created = ingesting.store(session, call.account_id, message, learned="asked", now=now, real=now)
    assert created
    assert event_id is not None
    applied = ingesting.apply_alone(session, event_id, now=now, real=now, timing=Timing())
    if applied is not None:
        settling.settle(session, Ended(applied.call_id, applied.ending, learned="asked"), now=now, timing=Timing())


def test_a_call_asked_for_is_settled_like_a_reported_one(vapi: Canned, session: Session, now: datetime) -> None:
    call = placing(session, now)
    with vapi.says(200, recorded("asked-ended")) as client:
        record = client.get_call(recorded("asked-ended")["id"])
    learn(session, call, record, now)
    outcome = session.get_one(Outcome, call.id)
    assert (call.state, outcome.outcome, outcome.complete) == (CallState.ENDED, OutcomeClass.COMPLETED, True)
    assert (float(outcome.duration_seconds or 0), float(outcome.cost or 0)) == (21, 0.045)
    assert session.get_one(Prospect, call.prospect_id).state is ProspectState.COMPLETED


def test_a_listing_settles_the_calls_of_ours_in_it(vapi: Canned, session: Session, now: datetime) -> None:
    talked, unreached = placing(session, now), placing(session, now, NOBODYS)
    with vapi.says(200, recorded("listing")) as client:
        records = list(client.list_calls(datetime(2026, 6, 15, tzinfo=UTC), datetime(2026, 6, 16, tzinfo=UTC)))
    assert len(records) == 3
    for record in records:
        learn(session, talked, record, now)
    assert (talked.state, unreached.state) == (CallState.ENDED, CallState.ENDED)
    assert session.get_one(Outcome, unreached.id).outcome is OutcomeClass.NO_ANSWER
    assert session.get_one(Prospect, unreached.prospect_id).state is ProspectState.WAITING


def test_only_not_found_means_that_there_is_no_call(vapi: Canned) -> None:
    for refusal in REFUSALS.values():
        with vapi.says(refusal["status"], refusal["body"]) as client:
            if refusal["status"] == 404:
                assert client.get_call("019a") is None
            else:
                with pytest.raises(CallFailure):
                    client.get_call("019a")
