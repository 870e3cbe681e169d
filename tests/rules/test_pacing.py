"""Lines, shares and send slots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules.pacing import (
    HORIZON,
    MOST_TOGETHER,
    TOGETHER,
    Demand,
    free_lines,
    share,
    slots_within,
    stamp,
    together,
)

NOW = datetime(2027, 3, 2, 17, tzinfo=UTC)


def demand(turn: int, *, weight: int = 1, held: int = 0, cap: int | None = None) -> Demand:
    return Demand(UUID(int=turn), weight, held, cap)


def test_the_lower_of_limit_and_ceiling_less_reserve_and_use_is_free() -> None:
    assert free_lines(limit=10, ceiling=None, reserve=2, held=3) == 5
    assert free_lines(limit=10, ceiling=6, reserve=2, held=3) == 1
    assert free_lines(limit=10, ceiling=4, reserve=2, held=3) == 0


@given(
    free=st.integers(0, 60),
    demands=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 20), st.none() | st.integers(1, 30)), min_size=1, max_size=6
    ),
)
def test_shares_use_every_line_that_somebody_may_use_and_no_more(
    free: int, demands: list[tuple[int, int, int | None]]
) -> None:
    wanted = [demand(turn, weight=weight, held=held, cap=cap) for turn, (weight, held, cap) in enumerate(demands)]
    given_out = share(free, wanted)
    room = [free if each.cap is None else max(0, each.cap - each.held) for each in wanted]
    assert sum(given_out.values()) == min(free, sum(room))
    for each, most in zip(wanted, room, strict=True):
        assert 0 <= given_out[each.campaign_id] <= most


def test_lines_in_use_stand_as_the_weights_do() -> None:
    given_out = share(12, [demand(1, weight=1), demand(2, weight=3)])
    assert given_out == {UUID(int=1): 3, UUID(int=2): 9}


def test_a_campaign_that_already_uses_its_share_waits_for_the_others() -> None:
    given_out = share(4, [demand(1, held=6), demand(2, held=2)])
    assert given_out == {UUID(int=1): 0, UUID(int=2): 4}


@given(
    rate=st.floats(0.1, 500),
    rounds=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 40)), max_size=20),
)
def test_slots_are_never_closer_than_the_rate_allows(rate: float, rounds: list[tuple[float, int]]) -> None:
    now, next_slot, slots = NOW, NOW - timedelta(seconds=60), []
    for pause, wanted in rounds:
        now += timedelta(seconds=pause)
        given_out = min(wanted, slots_within(next_slot=next_slot, now=now, rate=rate))
        stamped, next_slot = stamp(given_out, next_slot=next_slot, now=now, rate=rate)
        assert all(now <= slot <= now + HORIZON + timedelta(seconds=1 / rate) for slot in stamped)
        slots += stamped
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(slots)]
    assert all(gap >= 1 / rate - 2e-6 for gap in gaps)


def test_a_slow_rate_still_gives_a_slot_when_its_time_has_come() -> None:
    assert slots_within(next_slot=NOW - timedelta(seconds=5), now=NOW, rate=0.1) == 1
    assert slots_within(next_slot=NOW + timedelta(seconds=5), now=NOW, rate=0.1) == 0


@given(gaps=st.lists(st.integers(0, 300), max_size=60))
def test_lots_hold_every_call_once_in_order_and_none_is_long_or_large(gaps: list[int]) -> None:
    slots, at = [], NOW
    for gap in gaps:
        at += timedelta(milliseconds=gap)
        slots.append(at)
    lots = together(slots)
    assert [place for lot in lots for place in lot] == list(range(len(slots)))
    for lot in lots:
        assert slots[lot[-1]] - slots[lot.start] < TOGETHER
        assert 1 <= len(lot) <= MOST_TOGETHER


def test_up_to_ten_calls_a_second_each_goes_alone() -> None:
    slots, _ = stamp(20, next_slot=NOW, now=NOW, rate=10)
    assert together(slots) == [range(place, place + 1) for place in range(20)]
