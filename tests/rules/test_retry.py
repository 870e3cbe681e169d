"""What follows an ended call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.rules.definition import RetryPlan
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.retry import Again, Done, after, draw_of
from campaigns.rules.wishes import Callback

ENDED = datetime(2027, 3, 2, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAN = RetryPlan.model_validate(
    {
        "max_attempts": 3,
        "max_calls": 6,
        "no_answer": ["2h", "1d"],
        "busy": ["15m"],
        "voicemail": [],
        "technical": ["5m", "30m"],
    }
)


def follows(outcome: OutcomeClass, attempts: int, calls: int) -> Again | Done:
    return after(outcome, attempts=attempts, calls=calls, plan=PLAN, ended_at=ENDED, capacity_wait=timedelta(minutes=1))


@pytest.mark.parametrize(
    ("outcome", "attempts", "calls", "delay"),
    [
        (OutcomeClass.NO_ANSWER, 1, 1, 2 * HOUR),
        (OutcomeClass.NO_ANSWER, 2, 2, 24 * HOUR),
        (OutcomeClass.BUSY, 1, 1, HOUR / 4),
        (OutcomeClass.BUSY, 2, 2, HOUR / 4),
        (OutcomeClass.TRANSPORT_ERROR, 0, 1, HOUR / 12),
        (OutcomeClass.TRANSPORT_ERROR, 0, 2, HOUR / 2),
        (OutcomeClass.PIPELINE_ERROR, 2, 5, HOUR / 2),
        (OutcomeClass.CAPACITY, 0, 1, timedelta(minutes=1)),
    ],
)
def test_the_ladder_of_its_class_says_when(outcome: OutcomeClass, attempts: int, calls: int, delay: timedelta) -> None:
    assert follows(outcome, attempts, calls) == Again(ENDED + delay)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (OutcomeClass.COMPLETED, ProspectState.COMPLETED),
        (OutcomeClass.OPTED_OUT, ProspectState.SUPPRESSED),
        (OutcomeClass.CUSTOMER_SIDE, ProspectState.REFUSED),
        (OutcomeClass.CANCELLED, ProspectState.CANCELLED),
    ],
)
def test_some_ends_are_for_good(outcome: OutcomeClass, state: ProspectState) -> None:
    found = follows(outcome, 1, 1)
    assert isinstance(found, Done)
    assert found.state is state


@pytest.mark.parametrize("outcome", sorted(set(OutcomeClass) - {OutcomeClass.CAPACITY, OutcomeClass.CALLBACK}))
def test_nobody_is_called_past_the_attempts_of_the_plan(outcome: OutcomeClass) -> None:
    assert isinstance(follows(outcome, 3, 3), Done)


@pytest.mark.parametrize("outcome", OutcomeClass)
def test_nobody_is_called_past_max_calls_whatever_the_mix(outcome: OutcomeClass) -> None:
    assert isinstance(follows(outcome, 0, 6), Done)


def test_an_empty_ladder_means_not_again() -> None:
    found = follows(OutcomeClass.VOICEMAIL, 1, 1)
    assert isinstance(found, Done)
    assert found.state is ProspectState.EXHAUSTED


NY, LA, TOKYO = "America/New_York", "America/Los_Angeles", "Asia/Tokyo"
LATER = RetryPlan.model_validate(
    {
        "no_answer": ["another part of the day", "next day"],
        "callback": ["2h", "next day"],
        "technical": ["5m"],
        "pipeline_error": ["30m"],
        "never_again": ["voicemail"],
        "jitter": "10m",
    }
)


def later(outcome: OutcomeClass, attempts: int, calls: int, **more: Any) -> Again | Done:
    how = {"plan": LATER, "ended_at": ENDED, "capacity_wait": timedelta(minutes=1), "zones": [NY]} | more
    return after(outcome, attempts=attempts, calls=calls, **how)


@pytest.mark.parametrize(
    ("attempts", "ended_at", "zones", "at"),
    [
        # 12:00 in New York: the evening begins at 17:00. At 16:30 that is too soon, and the morning comes.
        (1, ENDED, [NY], "2027-03-02T22:00"),
        (1, ENDED - timedelta(hours=2), [NY], "2027-03-02T17:00"),
        (1, ENDED + timedelta(hours=4, minutes=30), [NY], "2027-03-02T22:30"),
        (1, ENDED + timedelta(hours=7), [NY], "2027-03-03T05:00"),
        # In New York it is afternoon and in Los Angeles morning: the evening of the one, the afternoon of the other.
        (1, ENDED + timedelta(hours=1), [NY, LA], "2027-03-02T22:00"),
        (2, ENDED, [NY], "2027-03-03T05:00"),
        (2, ENDED, [NY, LA], "2027-03-03T08:00"),
        (2, ENDED + timedelta(hours=8), [TOKYO], "2027-03-03T15:00"),
        (2, ENDED, [], "2027-03-03T00:00"),
        # The night in which the clock goes forward.
        (2, datetime(2027, 3, 13, 17, tzinfo=UTC), [NY], "2027-03-14T05:00"),
        (2, datetime(2027, 3, 14, 17, tzinfo=UTC), [NY], "2027-03-15T04:00"),
    ],
)
def test_the_next_day_and_another_part_of_it_are_by_every_clock_of_the_person(
    attempts: int, ended_at: datetime, zones: list[str], at: str
) -> None:
    found = later(OutcomeClass.NO_ANSWER, attempts, attempts, ended_at=ended_at, zones=zones)
    assert found == Again(datetime.fromisoformat(at).replace(tzinfo=UTC))


def test_the_jitter_is_the_calls_own_and_only_adds() -> None:
    found = [later(OutcomeClass.PIPELINE_ERROR, 0, 1, draw=draw) for draw in (0.0, 0.5)]
    assert found == [Again(ENDED + HOUR / 2), Again(ENDED + HOUR / 2 + timedelta(minutes=5))]
    ids = [uuid4() for _ in range(50)]
    assert all(0 <= draw_of(each) < 1 for each in ids)
    assert len({draw_of(each) for each in ids}) == 50
    assert draw_of(UUID(str(ids[0]))) == draw_of(ids[0])


def test_a_class_may_have_a_ladder_of_its_own_or_be_the_last_word() -> None:
    assert later(OutcomeClass.TRANSPORT_ERROR, 0, 1) == Again(ENDED + HOUR / 12)
    found = later(OutcomeClass.VOICEMAIL, 1, 1)
    assert found == Done(ProspectState.EXHAUSTED, "the campaign never calls again after voicemail")


ASKED = Callback(ENDED + timedelta(days=3), "asked for then")


def test_who_asked_for_a_time_is_promised_that_time_with_or_without_attempts_left() -> None:
    for attempts in (0, 3):
        found = later(OutcomeClass.CALLBACK, attempts, 4, callback=ASKED)
        assert found == Again(ENDED + timedelta(days=3), "asked for then", promised=True)
    assert isinstance(later(OutcomeClass.CALLBACK, 0, 8, callback=ASKED), Done)


def test_who_asked_for_no_time_that_can_be_kept_is_called_by_the_plan() -> None:
    vague = Callback(None, "asked for no particular time")
    found = later(OutcomeClass.CALLBACK, 0, 1, callback=vague)
    assert found == Again(ENDED + 2 * HOUR, "asked for no particular time", promised=True)


def test_a_time_after_the_campaigns_end_ends_it_with_the_wish_beside() -> None:
    found = later(OutcomeClass.CALLBACK, 0, 1, callback=ASKED, ends_at=ENDED + timedelta(days=2))
    assert found == Done(ProspectState.EXPIRED, "asked for then, when the campaign is over")


def test_a_promised_call_that_failed_by_nobodys_fault_is_still_promised() -> None:
    assert isinstance(later(OutcomeClass.TRANSPORT_ERROR, 3, 4, promised=True), Again)
    assert isinstance(later(OutcomeClass.TRANSPORT_ERROR, 3, 4), Done)
    assert isinstance(later(OutcomeClass.NO_ANSWER, 3, 4, promised=True), Done)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("busy", ["0s"], 'at least "1m"'),
        ("busy", ["59s"], 'at least "1m"'),
        ("no_answer", ["tomorrow"], '"next day"'),
        ("no_answer", ["4"], "a number and a unit"),
        ("no_answer", [4], "in quotes"),
        ("never_again", ["concurrency_limits"], "rang nobody"),
        ("counts", ["concurrency_limits"], "rang nobody"),
        ("never_again", ["bored"], "Input should be"),
    ],
)
def test_a_delay_that_would_ring_on_and_on_is_refused(key: str, value: list[Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RetryPlan.model_validate({key: value})


def test_a_plan_is_written_down_as_it_was_said() -> None:
    assert RetryPlan.model_validate(LATER.model_dump(mode="json")) == LATER


_MIXES = st.lists(st.sampled_from(OutcomeClass), min_size=51, max_size=51)
_CLASSES = st.sets(st.sampled_from(sorted(set(OutcomeClass) - {OutcomeClass.CAPACITY})))
_LADDERS = st.lists(st.sampled_from(["1m", "4h", "next day", "another part of the day"]), max_size=3)


@given(
    mix=_MIXES,
    plan=st.builds(
        dict,
        max_attempts=st.integers(1, 8),
        max_calls=st.integers(8, 50),
        counts=_CLASSES,
        never_again=_CLASSES,
        no_answer=_LADDERS,
        callback=_LADDERS,
        technical=_LADDERS,
    ),
    timed=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_no_mix_of_outcomes_passes_a_budget_and_each_ends(
    mix: list[OutcomeClass],
    plan: dict[str, Any],
    timed: bool,  # noqa: FBT001 - drawn
) -> None:
    """As settling counts. Only a call that was promised may come after the last attempt."""
    terms = RetryPlan.model_validate(plan)
    attempts = calls = 0
    moment, promised = ENDED, False
    for outcome in mix:
        assert calls < terms.max_calls
        assert attempts < terms.max_attempts or promised
        calls += 1
        attempts += outcome in terms.counts
        wish = Callback(moment + timedelta(days=1) if timed else None, "asked")
        found = after(
            outcome,
            attempts=attempts,
            calls=calls,
            plan=terms,
            ended_at=moment,
            capacity_wait=timedelta(minutes=1),
            zones=[NY],
            callback=wish,
            promised=promised,
        )
        if isinstance(found, Done):
            break
        assert found.not_before >= moment + timedelta(minutes=1)
        still = promised and outcome in TECHNICAL and outcome is not OutcomeClass.UNKNOWN
        moment, promised = found.not_before, found.promised or still
    else:
        pytest.fail("it never ends")
    assert calls <= terms.max_calls
    if OutcomeClass.CALLBACK not in terms.counts:
        assert attempts <= terms.max_attempts
