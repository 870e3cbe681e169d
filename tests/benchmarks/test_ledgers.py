"""What is read out of a stand-in's ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.benchmarks.ledgers import moments, most_within, per_second, use

START = datetime(2027, 3, 2, 15, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def call(began: float, ended: float | None) -> dict[str, Any]:
    times = {"accepted": began, "dialled": began, "ended": ended}
    return {what: None if when is None else {"real": at(when).isoformat()} for what, when in times.items()}


def test_lines_are_looked_at_from_their_first_full_load_to_the_last_post() -> None:
    calls = [call(0, 14), call(4, 20), call(16, 24), call(24, 30)]
    found = use(calls, 2, until=None, longest=timedelta(seconds=60))
    assert found.filled
    assert found.seconds == 20  # from 4, when both were taken, to 24
    assert found.share == pytest.approx((10 + 16 + 8) / 40)


def test_lines_that_were_never_full_are_looked_at_once_the_first_calls_may_be_over() -> None:
    found = use([call(0, 10), call(12, None)], 2, until=at(20), longest=timedelta(seconds=10))
    assert not found.filled
    assert found.seconds == 10
    assert found.share == pytest.approx(8 / 20)


def test_a_call_that_never_had_a_line_uses_none() -> None:
    blocked = call(2, None) | {"dialled": None}
    assert use([call(0, 10), blocked], 1, until=at(10), longest=timedelta(seconds=60)).share == 1


def test_a_run_that_is_too_short_says_so() -> None:
    with pytest.raises(SystemExit, match="too short"):
        use([call(0, 1)], 2, until=None, longest=timedelta(seconds=60))
    with pytest.raises(SystemExit, match="fewer than two"):
        per_second([at(0)])


def test_a_line_that_is_handed_over_in_one_moment_does_not_count_twice() -> None:
    assert not use([call(0, 10), call(10, 20)], 2, until=at(18), longest=timedelta(seconds=1)).filled


def test_pace_is_counted_in_sliding_seconds() -> None:
    moments_ = [at(seconds) for seconds in (0, 0.5, 1, 1.4, 1.6, 2.5)]
    assert most_within(moments_) == 3
    assert most_within([at(0), at(1), at(2)]) == 1
    assert per_second(moments_) == pytest.approx(2)
    assert moments([call(3, 4), call(1, None)], "ended") == [at(4)]
