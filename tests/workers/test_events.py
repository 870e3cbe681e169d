"""Events that are applied together: one that fails is alone with it, and no two batches block each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import select, text

from campaigns import clock, db
from campaigns.models import Call, Event, Outcome, Pace
from campaigns.pipeline import doubting
from campaigns.rules.call_state import CallState
from campaigns.rules.pacing import DOUBTS
from tests.pipeline.telling import calls_in, ended, lives, status, store
from workers.events import apply_all


def test_one_event_that_fails_does_not_cost_the_others(working_database: str, now: datetime) -> None:
    with db.transaction(working_database) as session:
        calls = calls_in(session, now, 4)
        event_ids = [store(session, call, body, now) for call, body in lives(calls, now)]
        busy = calls[1]
        session.execute(text(f"ALTER TABLE outcomes ADD CONSTRAINT never CHECK (call_id <> '{busy.id}')"))
    apply_all(event_ids)
    with db.transaction(working_database) as session:
        events = session.scalars(select(Event).where(Event.id.in_(event_ids)).order_by(Event.id)).all()
        failed = {event.id for event in events if event.applied_at is None}
        assert failed == set(event_ids[6:8])
        assert all("IntegrityError" in str(event.error) for event in events if event.id in failed)
        states = [session.get_one(Call, call.id).state for call in calls]
        assert states == [CallState.ENDED, CallState.RINGING, CallState.ENDED, CallState.ENDED]
        assert session.get(Outcome, calls[0].id) is not None


def test_batches_about_the_same_calls_wait_for_each_other_and_never_in_a_circle(
    working_database: str, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        calls = calls_in(session, now, 12)
        rounds = [
            [store(session, call, status(call, word, now), now) for call in calls]
            for word in ("queued", "ringing", "in-progress")
        ]
        rounds += [[store(session, call, ended(call, "customer-busy", now), now) for call in calls]]
    with ThreadPoolExecutor(4) as pool:
        lots = [lot if turn % 2 else lot[::-1] for turn, lot in enumerate(rounds)]
        for done in [pool.submit(apply_all, lot) for lot in lots]:
            done.result()
    with db.transaction(working_database) as session:
        events = session.scalars(select(Event)).all()
        assert {(event.failures, event.applied_at is None) for event in events} == {(0, False)}
        assert set(session.scalars(select(Call.state))) == {CallState.ENDED}


@pytest.mark.parametrize("word", ["ringing", "ended"])
def test_a_provider_that_tells_what_became_of_a_request_is_there_again(
    working_database: str, now: datetime, word: str
) -> None:
    with db.transaction(working_database) as session:
        (call,) = calls_in(session, now, 1, state=CallState.UNKNOWN)
        real = clock.read(session).real
        for _ in range(DOUBTS):
            doubting.doubt(session, call.account_id, real=real)
        body = ended(call, "customer-busy", now) if word == "ended" else status(call, word, now)
        event_id = store(session, call, body, now)
        later = store(session, call, status(call, "queued", now), now)
    apply_all([event_id])
    with db.transaction(working_database) as session:
        pace = session.scalars(select(Pace)).one()
        assert pace.doubts == 0
        assert pace.backoff_until is not None
        assert pace.backoff_until <= clock.read(session).real
        doubting.doubt(session, pace.account_id, real=clock.read(session).real)
    apply_all([later])  # what was known before says nothing new
    with db.transaction(working_database) as session:
        assert session.scalars(select(Pace.doubts)).one() == 1
