"""What one answer that is missing may not cost: other calls, other people, the account's pace."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from campaigns import clock, db
from campaigns.models import Call, Pace
from campaigns.rules.call_state import CallState
from tests import factories
from tests.pipeline.telling import status, store
from tests.workers.conftest import Answering, Asked, serving
from tests.workers.test_listings import Lister
from workers import upkeep
from workers.calls import place_calls
from workers.events import apply_all


class Accepting(Answering):
    """Accepts the call, tells so by a webhook, and then the answer is lost."""

    def __init__(self, database: str, now: datetime) -> None:
        super().__init__()
        self.database, self.now = database, now

    def answer(self, asked: Asked) -> None:
        with db.transaction(self.database) as session:
            call = session.get_one(Call, UUID(asked.body["name"]))
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
                session.execute(update(Pace).values(doubts=1))  # by a request before
            place_calls(str(call_id))
        with db.transaction(working_database) as session:
            pace = session.scalars(select(Pace)).one()
            assert len(provider.asked) == 4
            assert pace.doubts == 0


class HalfLister(Lister):
    """Cannot list what it has from one moment."""

    def __init__(self, broken_at: datetime) -> None:
        super().__init__()
        self.broken_at = broken_at

    def page(self, start: datetime, end: datetime) -> tuple[int, Any]:
        if start <= self.broken_at <= end:
            return 500, {"message": "Internal server error"}
        return super().page(start, end)


def test_one_window_that_cannot_be_listed_does_not_hide_the_calls_of_the_others(
    working_database: str, now: datetime
) -> None:
    with serving(HalfLister(now - timedelta(hours=2))) as lister:
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


class Poisoned(Answering):
    """Ended every call, and hangs up at the question about some."""

    def answer(self, asked: Asked) -> tuple[int, Any] | None:
        name = asked.path.rpartition("/")[2]
        if "poison" in name:
            return None
        return 200, {"id": name, "status": "ended", "endedReason": "customer-busy", "endedAt": "2027-03-02T15:00:00Z"}


def test_calls_whose_records_never_come_do_not_keep_others_from_being_asked_about(
    working_database: str, now: datetime
) -> None:
    with serving(Poisoned()) as provider:
        with db.transaction(working_database) as session:
            clock.rehearse(session, origin_at=now, speed=1)
            factories.account(session, now, base_url=provider.url)
            campaign = factories.campaign(session, now)
            real = clock.read(session).real
            for turn, name in enumerate(("poison", "poison-too", *(f"fine-{n}" for n in range(10)))):
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
            with db.transaction(working_database) as session:  # until all are to be asked about again
                later = Call.check_at - timedelta(seconds=62)
                session.execute(update(Call).where(Call.check_at.is_not(None)).values(check_at=later))
        with db.transaction(working_database) as session:
            states = [call.state for call in session.scalars(select(Call).order_by(Call.id))]
            assert states[2:] == [CallState.ENDED] * 10


class Flaky(Lister):
    """Its clock is 30 s behind ours, and its listing shows the call at the second time that it is asked for then."""

    covering = 0

    def page(self, start: datetime, end: datetime) -> tuple[int, Any]:
        status, found = super().page(start, end)
        self.covering += bool(found)
        return status, found if self.covering > 1 else []


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
