"""Many at once is the same as one after the other: batches save time and change nothing."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from campaigns.errors import CallRefused, CallUnclear, Throttled
from campaigns.models import Call, Event, Outcome, Pace
from campaigns.pipeline import calling, dispatching, ingesting, reporting, settling
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_message
from tests import factories
from tests.pipeline.placing import accepted
from tests.pipeline.telling import REAL, TIMING, calls_in, figures, lives, person, report, status, store


def picture(session: Session, calls: Sequence[Call]) -> list[object]:
    session.flush()
    session.expire_all()
    found: list[object] = []
    for call in calls:
        prospect = person(session, call)
        outcome = session.get(Outcome, call.id)
        found.append(
            (
                *(call.state, call.settled_at is not None, call.ended_reason, call.ended_at),
                *(prospect.state, prospect.due_at, prospect.attempts, prospect.calls, prospect.state_why),
                None if outcome is None else (outcome.outcome, outcome.complete, outcome.transcript),
            )
        )
    counted = figures(session, calls[0])
    assert counted == reporting.count_from_rows(session, calls[0].campaign_id)
    return [*found, counted]


def alone(session: Session, event_ids: Sequence[int], now: datetime) -> None:
    for event_id in event_ids:
        applied = ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING)
        if applied is not None:
            ended_now = Ended(applied.call_id, applied.ending, learned="pushed")
            settling.settle(session, ended_now, now=now, timing=TIMING)


def together(session: Session, event_ids: Sequence[int], now: datetime) -> None:
    applied, strays = ingesting.apply(session, event_ids, now=now, real=REAL, timing=TIMING)
    assert strays == []
    ends = [Ended(each.call_id, each.ending, learned="pushed") for each in applied]
    settling.settle(session, *ends, now=now, timing=TIMING)


@pytest.mark.parametrize("seed", range(12))
def test_events_applied_together_leave_what_they_leave_one_by_one(session: Session, now: datetime, seed: int) -> None:
    calls = calls_in(session, now, 4)
    told = lives(calls, now)
    random.Random(seed).shuffle(told)  # noqa: S311 - an order, not a secret
    event_ids = [store(session, call, body, now) for call, body in told]
    cut = seed % len(event_ids)

    def outcome_of(way: Callable[[Session, Sequence[int], datetime], None], *lots: Sequence[int]) -> list[object]:
        with session.begin_nested() as attempt:
            for lot in lots:
                way(session, lot, now)
            seen = picture(session, calls)
            attempt.rollback()
        session.info.clear()  # what was counted and not written went with it
        session.expire_all()
        return seen

    wanted = outcome_of(alone, event_ids)
    assert outcome_of(together, event_ids) == wanted
    assert outcome_of(together, event_ids[:cut], event_ids[cut:]) == wanted
    # In whatever order they are asked for, they are applied in the order in which they came; and a repeat is nothing.
    assert outcome_of(together, event_ids[::-1], event_ids) == wanted


def test_an_event_whose_call_nobody_knows_is_left_for_itself(session: Session, now: datetime) -> None:
    (call,) = calls_in(session, now, 1)
    known = store(session, call, status(call, "ringing", now), now)
    body = report(call, "customer-ended-call", now)
    body["message"]["call"] = {"id": "nobody's"}
    message = read_message(json.dumps(body).encode())
    stray, _ = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
    assert stray is not None
    assert ingesting.apply(session, [known, stray], now=now, real=REAL, timing=TIMING) == ([], [stray])
    assert call.state is CallState.RINGING
    assert ingesting.apply_alone(session, stray, now=now, real=REAL, timing=TIMING) is None
    event = session.get_one(Event, stray)
    assert (event.effect, event.retry_at, event.applied_at) == ("no such call", None, None)


def test_answers_recorded_together_say_each_what_they_say_alone(session: Session, now: datetime) -> None:
    calls = calls_in(session, now, 6, state=CallState.CLAIMED)
    held = calling.hold_still(session, [call.id for call in calls], timing=TIMING)
    for call in calls:
        call.slot_at = REAL
    assert len(calling.prepare(session, held, now=now, real=REAL)) == 6
    fine, refused, doubtful, throttled, first, second = calls
    answers = {
        fine.id: accepted(fine, now, provider_id="one"),
        refused.id: CallRefused("no such number", status=400),
        doubtful.id: CallUnclear("the provider answered 500", status=500),
        throttled.id: Throttled("later", status=429),
        first.id: accepted(first, now, provider_id="two"),
        second.id: accepted(second, now, provider_id="two"),
    }
    calling.record(session, answers, now=now, real=REAL, timing=TIMING)
    session.flush()
    assert [call.state for call in calls[:4]] == [
        *(CallState.QUEUED, CallState.NOT_PLACED),
        *(CallState.UNKNOWN, CallState.NOT_PLACED),
    ]
    # One provider call cannot be both: one of them is for a person to decide.
    assert sorted(call.state for call in (first, second)) == [CallState.QUEUED, CallState.REVIEW]
    assert [person(session, call).state for call in (refused, throttled)] == [
        *(ProspectState.REFUSED, ProspectState.WAITING)
    ]
    assert [person(session, call).calls for call in calls[:4]] == [1, 1, 1, 0]
    states = [call.state for call in calls]
    calling.record(
        session, {call_id: answers[call_id] for call_id in (fine.id, refused.id)}, now=now, real=REAL, timing=TIMING
    )
    assert [call.state for call in calls] == states  # a repeat says nothing new


def test_one_of_a_lot_that_may_not_be_called_does_not_hold_back_the_others(session: Session, now: datetime) -> None:
    calls = calls_in(session, now, 3, state=CallState.CLAIMED)
    person(session, calls[1]).zones = []
    session.flush()
    held = calling.hold_still(session, [call.id for call in calls], timing=TIMING)
    prepared = calling.prepare(session, held, now=now, real=REAL)
    assert {each.call_id for each in prepared} == {calls[0].id, calls[2].id}
    assert calls[1].state is CallState.NOT_PLACED
    assert person(session, calls[1]).state is ProspectState.HELD
    assert calling.hold_still(session, [call.id for call in calls], timing=TIMING) == []  # handed out a single time


def test_calls_are_offered_in_lots_of_a_tenth_of_a_second(session: Session, now: datetime) -> None:
    calls = calls_in(session, now, 5, state=CallState.CLAIMED)
    for turn, call in zip((3, 0, 1, 2, 4), calls, strict=True):
        session.execute(update(Call).where(Call.id == call.id).values(slot_at=REAL + timedelta(seconds=0.04) * turn))
    lots = dispatching.lots(session, [*(call.id for call in calls), uuid.uuid4()])
    in_order = [calls[place].id for place in (1, 2, 3, 0, 4)]
    assert lots == [in_order[:3], in_order[3:]]
    assert session.scalar(select(Pace.next_slot)) is not None


@pytest.mark.parametrize(
    ("late", "more", "applied"), [(0.4, 50, 3), (0.4, 1, 2), (0.4, 0, 1), (0.2, 50, 1), (3, 50, 3)]
)
def test_a_hint_that_comes_late_takes_others_along(
    session: Session, now: datetime, late: float, more: int, applied: int
) -> None:
    stored = [store(session, call, status(call, "ringing", now), now) for call in calls_in(session, now, 4)]
    session.get_one(Event, stored[3]).failures = 1  # one that failed is tried alone
    session.execute(update(Event).where(Event.id == stored[0]).values(retry_at=REAL - timedelta(seconds=late)))
    ingesting.apply(session, stored[:1], now=now, real=REAL, timing=TIMING, more=more)
    session.flush()
    done = session.scalars(select(Event.id).where(Event.applied_at.is_not(None)).order_by(Event.id)).all()
    assert done == sorted(stored)[:applied]


@pytest.mark.parametrize(
    ("rate", "late", "waiting"), [(40.0, 0.2, 4), (20.0, 0.2, 2), (10.0, 0.2, 1), (40.0, 0.05, 1), (200.0, 0.2, 6)]
)
def test_a_worker_that_comes_late_takes_others_calls_along_as_far_as_they_leave_together(
    session: Session, now: datetime, rate: float, late: float, waiting: int
) -> None:
    factories.account(session, now, calls_per_second=rate)
    calls = calls_in(session, now, 7, state=CallState.CLAIMED)
    slot = REAL - timedelta(seconds=late)
    session.execute(update(Call).values(slot_at=slot))
    session.execute(update(Call).where(Call.id == calls[6].id).values(slot_at=REAL))  # its own hint is on its way
    waits = calling.await_slots(session, [calls[0].id], real=REAL)
    assert calls[0].id in waits
    assert calls[6].id not in waits
    assert len(waits) == waiting
