"""What follows an ended call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.rules.definition import RetryPlan
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.retry import Again, Done, after

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


@pytest.mark.parametrize("outcome", [each for each in OutcomeClass if each is not OutcomeClass.CAPACITY])
def test_nobody_is_called_past_the_attempts_of_the_plan(outcome: OutcomeClass) -> None:
    assert isinstance(follows(outcome, 3, 3), Done)


@pytest.mark.parametrize("outcome", OutcomeClass)
def test_nobody_is_called_past_max_calls_whatever_the_mix(outcome: OutcomeClass) -> None:
    assert isinstance(follows(outcome, 0, 6), Done)


def test_an_empty_ladder_means_not_again() -> None:
    found = follows(OutcomeClass.VOICEMAIL, 1, 1)
    assert isinstance(found, Done)
    assert found.state is ProspectState.EXHAUSTED
