"""What one answer that is missing may not cost: other calls, other people, the account's pace."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from sqlalchemy import select, update

from campaigns import clock, db
from campaigns.models import Call, Pace
from campaigns.rules.call_state import CallState
from tests import factories
from tests.pipeline.telling import status, store
from tests.workers.conftest import serving
from tests.workers.test_listings import Lister
from workers import upkeep
from workers.calls import place_calls
from workers.events import apply_all


class _AcceptsAndHangsUp(BaseHTTPRequestHandler):
    """Accepts the call, tells so by a webhook, and then the answer is lost."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.placed(UUID(body["name"]))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Accepting(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, database: str, now: datetime) -> None:
        super().__init__(("127.0.0.1", 0), _AcceptsAndHangsUp)
        self.database, self.now = database, now
        self.calls: list[UUID] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def placed(self, call_id: UUID) -> None:
        self.calls.append(call_id)
        with db.transaction(self.database) as session:
            call = session.get_one(Call, call_id)
            event_id = store(session, call, status(call, "ringing", self.now), self.now)
        apply_all([event_id])


def test_a_request_that_proved_to_be_a_call_before_its_answer_was_lost_is_no_doubt(
    working_database: str, now: datetime
) -> None:
    with serving(Accepting(working_database, now)) as provider:
        for _ in range(4):
            with db.transaction(working_database) as session:
                clock.rehearse(session, origin_at=now, speed=1)
                factories.account(session, now, base_url=provider.url)
                prospect = factories.prospect(session, factories.campaign(session, now), now)
                real = clock.read(session).real
                call_id = factories.call(session, prospect, now, slot_at=real, check_at=real + timedelta(seconds=30)).id
            place_calls(str(call_id))
        with db.transaction(working_database) as session:
            pace = session.scalars(select(Pace)).one()
            assert len(provider.calls) == 4
            assert pace.doubts == 0


class _Half(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, HalfLister)
        asked = parse_qs(urlsplit(self.path).query)
        window = [datetime.fromisoformat(asked[name][0]) for name in ("createdAtGe", "createdAtLe")]
        page = self.server.page(*window)
        broken = window[0] <= self.server.broken_at <= window[1]
        body = json.dumps({"message": "Internal server error"} if broken else page).encode()
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class HalfLister(Lister):
    broken_at: datetime

    def __init__(self) -> None:
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", 0), _Half)
        self.created = {}
        self.asked = []


def test_one_window_that_cannot_be_listed_does_not_hide_the_calls_of_the_others(
    working_database: str, now: datetime
) -> None:
    with serving(HalfLister()) as lister:
        lister.broken_at = now - timedelta(hours=2)
        with db.transaction(working_database) as session:
            clock.rehearse(session, origin_at=now, speed=1)
            factories.account(session, now, base_url=lister.url)
            campaign = factories.campaign(session, now)
            ids = []
            for intent_at in (now - timedelta(hours=2), now):
                prospect = factories.prospect(session, campaign, now)
                call = factories.call(
                    session,
                    prospect,
                    now,
                    state=CallState.UNKNOWN,
                    check_at=clock.read(session).real,
                    intent_at=intent_at,
                )
                lister.created[call.id] = intent_at + timedelta(seconds=1)
                ids.append(call.id)
        for _ in range(5):
            upkeep.ask()
            with db.transaction(working_database) as session:
                session.execute(update(Call).values(check_at=clock.read(session).real))
        with db.transaction(working_database) as session:
            found = [session.get_one(Call, one).state for one in ids]
            assert found[1] is CallState.IN_PROGRESS


class _Poison(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        if name == "theirs-poison":
            self.close_connection = True
            return
        body = json.dumps(
            {"id": name, "status": "ended", "endedReason": "customer-busy", "endedAt": "2027-03-02T15:00:00Z"}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class PoisonServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Poison)
        self.asked: list[str] = []


def test_one_call_whose_record_never_comes_does_not_keep_others_from_being_asked_about(
    working_database: str, now: datetime
) -> None:
    with serving(PoisonServer()) as provider:
        url = f"http://127.0.0.1:{provider.server_address[1]}"
        with db.transaction(working_database) as session:
            clock.rehearse(session, origin_at=now, speed=1)
            factories.account(session, now, base_url=url)
            campaign = factories.campaign(session, now)
            real = clock.read(session).real
            for turn, name in enumerate(("poison", *(f"fine-{n}" for n in range(10)))):
                factories.call(
                    session,
                    factories.prospect(session, campaign, now),
                    now,
                    id=UUID(int=turn + 1),
                    state=CallState.RINGING,
                    provider_id=f"theirs-{name}",
                    check_at=real - timedelta(seconds=1),
                )
        for _ in range(10):
            upkeep.ask()
            with db.transaction(working_database) as session:  # a minute passes
                session.execute(
                    update(Call).where(Call.check_at.is_not(None)).values(check_at=Call.check_at - timedelta(minutes=1))
                )
        with db.transaction(working_database) as session:
            states = [call.state for call in session.scalars(select(Call).order_by(Call.id))]
            assert states[1:] == [CallState.ENDED] * 10


class Flaky(Lister):
    """Its clock is 30 s behind ours, and its listing shows the call at the second time that it is asked for then."""

    covering = 0

    def page(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        page = super().page(start, end)
        self.covering += bool(page)
        return page if self.covering > 1 else []


def test_three_listings_that_could_hold_the_call_are_asked_before_it_is_taken_for_not_placed(
    working_database: str, now: datetime
) -> None:
    with serving(Flaky()) as lister:
        with db.transaction(working_database) as session:
            clock.rehearse(session, origin_at=now, speed=1)
            factories.account(session, now, base_url=lister.url, unresolved="not_placed")
            campaign = factories.campaign(session, now)
            real = clock.read(session).real
            call = factories.call(
                session,
                factories.prospect(session, campaign, now),
                now,
                state=CallState.UNKNOWN,
                check_at=real,
                intent_at=now,
                quiet_at=real + timedelta(hours=1),
            )
            lister.created[call.id] = now - timedelta(seconds=30)
        for turn in range(6):
            upkeep.ask()
            with db.transaction(working_database) as session:
                session.execute(
                    update(Call).where(Call.check_at.is_not(None)).values(check_at=clock.read(session).real)
                )
                if turn == 2:  # the quiet period is over
                    session.execute(update(Call).values(quiet_at=clock.read(session).real))
        with db.transaction(working_database) as session:
            call = session.scalars(select(Call)).one()
            assert call.state is CallState.IN_PROGRESS
