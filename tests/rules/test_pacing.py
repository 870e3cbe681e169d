"""Lines, shares and send slots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil, floor
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules.pacing import (
    HORIZON,
    MOST_TOGETHER,
    RISE,
    TOGETHER,
    TURNS,
    Ceiling,
    Demand,
    free_lines,
    in_turn,
    lowered,
    our_lines,
    pause_after,
    risen,
    share,
    slots_within,
    stamp,
    together,
    turn_of,
    turns,
)

NOW = datetime(2027, 3, 2, 17, tzinfo=UTC)


def demand(turn: int, *, weight: int = 1, held: int = 0, cap: int | None = None) -> Demand:
    return Demand(UUID(int=turn), weight, held, cap)


def test_lines_in_use_are_taken_off_what_we_may_use() -> None:
    assert our_lines(limit=10, granted=None, reserve=2) == 8
    assert our_lines(limit=10, granted=6, reserve=2) == 4
    assert our_lines(limit=10, granted=60, reserve=2) == 8
    assert our_lines(limit=10, granted=1, reserve=2) == 1  # or nobody would ever find out that there are more again
    assert free_lines(ours=8, ceiling=None, held=3) == 5
    assert free_lines(ours=8, ceiling=6, held=3) == 3
    assert free_lines(ours=8, ceiling=9, held=3) == 5
    assert free_lines(ours=8, ceiling=2, held=3) == 0


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


def test_a_call_that_comes_late_by_less_than_half_a_gap_leaves_in_its_own_slot() -> None:
    second = timedelta(seconds=1)
    assert turn_of(NOW, after=None, now=NOW - second, rate=1) == NOW  # early: it waits
    assert turn_of(NOW, after=NOW - second, now=NOW + 0.4 * second, rate=1) == NOW
    assert turn_of(NOW, after=NOW - second, now=NOW + 5 * second, rate=1) == NOW + 4.5 * second
    assert turn_of(NOW, after=NOW + 5 * second, now=NOW + 5 * second, rate=4) == NOW + 5.25 * second


@given(
    lateness=st.lists(st.integers(0, 3_000), min_size=2, max_size=60),
    rate=st.sampled_from([0.5, 1.0, 3.0, 10.0, 40.0]),
)
def test_never_more_leave_in_any_second_than_the_rate_and_one(lateness: list[int], rate: float) -> None:
    slots, _ = stamp(len(lateness), next_slot=NOW, now=NOW, rate=rate)
    come = sorted(slot + timedelta(milliseconds=late) for slot, late in zip(slots, lateness, strict=True))
    turns: list[datetime] = []
    left: list[datetime] = []
    for slot, now in zip(slots, come, strict=True):
        turns.append(turn_of(slot, after=turns[-1] if turns else None, now=now, rate=rate))
        left.append(max(turns[-1], now))
    assert all(later - earlier >= timedelta(seconds=0.9999 / rate) for earlier, later in pairwise(turns))
    for turn, first in enumerate(left):
        within = [at for at in left[turn:] if at < first + timedelta(seconds=1)]
        assert len(within) <= ceil(rate) + 1


def test_one_line_is_won_back_after_the_other() -> None:
    ceiling = lowered(None, in_use=7, remaining=0, real=NOW)
    assert ceiling == Ceiling(7, NOW + RISE)
    assert risen(ceiling, ours=10, real=NOW + RISE / 2) == ceiling
    assert risen(ceiling, ours=10, real=NOW + RISE) == Ceiling(8, NOW + RISE * 2)
    assert risen(ceiling, ours=10, real=NOW + RISE * 2.5) == Ceiling(9, NOW + RISE * 3)
    assert risen(ceiling, ours=10, real=NOW + RISE * 3) is None


@given(
    ours=st.integers(1, 40),
    happens=st.lists(st.tuples(st.floats(0, 30), st.none() | st.integers(0, 50), st.integers(0, 3)), max_size=30),
)
def test_a_ceiling_is_never_above_what_is_granted_nor_below_one_and_always_goes_away(
    ours: int, happens: list[tuple[float, int | None, int]]
) -> None:
    """`happens`: the pause before it, then a refusal with so many lines in use and left, or (None) only a look."""
    ceiling: Ceiling | None = None
    real = refused_at = NOW
    for pause, in_use, remaining in happens:
        real += timedelta(seconds=pause)
        if ceiling is not None:
            before, ceiling = ceiling, risen(ceiling, ours=ours, real=real)
            assert ceiling is None or before.lines <= ceiling.lines < ours
            assert ceiling is None or real < ceiling.rises_at <= real + RISE
            assert (ceiling is None) == (
                before.lines >= ours or before.rises_at + RISE * (ours - before.lines - 1) <= real
            )
        if in_use is not None:
            before_it = ceiling
            ceiling, refused_at = lowered(ceiling, in_use=in_use, remaining=remaining, real=real), real
            assert 1 <= ceiling.lines <= max(1, in_use + remaining)
            assert before_it is None or ceiling.lines <= before_it.lines
            assert ceiling.rises_at == real + RISE
    if ceiling is not None:
        assert risen(ceiling, ours=ours, real=refused_at + RISE * ours) is None


@given(looks=st.lists(st.floats(0, 20), min_size=1, max_size=20), lines=st.integers(1, 10))
def test_how_often_somebody_looks_does_not_change_when_a_ceiling_rises(looks: list[float], lines: int) -> None:
    start = Ceiling(lines, NOW + RISE)
    looked_at: Ceiling | None = start
    real = NOW
    for pause in looks:
        real += timedelta(seconds=pause)
        looked_at = risen(looked_at, ours=12, real=real) if looked_at is not None else None
    assert looked_at == risen(start, ours=12, real=real)


@given(
    campaigns=st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(1, 6)), min_size=1, max_size=5),
    lines=st.integers(1, 12),
    ends=st.lists(st.integers(0, 100), min_size=1, max_size=60),
)
def test_whoever_has_people_due_gets_a_line_before_others_have_had_their_weight_again(
    campaigns: list[tuple[int, int | None]], lines: int, ends: list[int]
) -> None:
    """Lines come free one at a time, in any order: in use they stand as the weights do, and nobody waits for ever."""
    held = dict.fromkeys(range(len(campaigns)), 0)

    def fill() -> None:
        wanted = [demand(turn, weight=weight, held=held[turn], cap=cap) for turn, (weight, cap) in enumerate(campaigns)]
        for campaign_id, more in share(lines - sum(held.values()), wanted).items():
            held[campaign_id.int] += more

    fill()
    for end in ends:
        busy = [turn for turn, count in held.items() if count]
        held[busy[end % len(busy)]] -= 1
        fill()
        poorest = [turn for turn, (_, cap) in enumerate(campaigns) if cap is None or held[turn] < cap]
        for poor in poorest:  # nobody else is a whole line above where the weights would have them both
            for rich, (weight, _) in enumerate(campaigns):
                if held[rich] and rich != poor and sum(held.values()) == lines:
                    assert (held[rich] - 1) / weight <= (held[poor] + 1) / campaigns[poor][0]


def test_a_provider_that_is_away_is_tried_now_and_then() -> None:
    pauses = [pause_after(doubts) for doubts in range(9)]
    assert pauses == [timedelta(0)] * 3 + [timedelta(seconds=seconds) for seconds in (5, 10, 300, 300, 300, 300)]
    assert pause_after(1000) == timedelta(minutes=5)


@given(
    share=st.floats(0, 1),
    recent=st.lists(st.booleans(), max_size=30),
    lots=st.lists(st.integers(1, 9), min_size=1, max_size=20),
)
def test_of_any_twenty_calls_in_a_row_the_share_is_to_people_who_are_called_again(
    share: float, recent: list[bool], lots: list[int]
) -> None:
    """However many lines come free at once and whatever was before: after twenty calls nobody makes up for it."""
    latest = recent
    made: list[bool] = []
    for lot in [*lots, 60]:
        whose = turns(lot, recent=latest, share=share)
        assert len(whose) == lot
        latest = [*reversed(whose), *latest]
        made += whose
    for first in range(TURNS, len(made) - TURNS + 1):
        again = sum(made[first : first + TURNS])
        assert floor(share * TURNS) <= again <= ceil(share * TURNS)


def test_one_line_at_a_time_goes_to_both_in_turn() -> None:
    assert turns(6, recent=[], share=0.5) == [True, False] * 3
    assert turns(1, recent=[True], share=0.5) == [False]
    assert turns(4, recent=[False] * 200, share=0) == [False] * 4
    assert turns(4, recent=[True] * 200, share=1) == [True] * 4


@given(whose=st.lists(st.booleans(), max_size=9), again=st.integers(0, 9), new=st.integers(0, 9))
def test_a_turn_that_one_kind_does_not_need_is_the_others(whose: list[bool], again: int, new: int) -> None:
    olds, news = [("again", turn) for turn in range(again)], [("new", turn) for turn in range(new)]
    order = in_turn(whose, olds, news)
    assert sorted(order) == sorted(olds + news)
    assert [each for each in order if each[0] == "again"] == olds
    assert [each for each in order if each[0] == "new"] == news
    for place, turn in enumerate(whose[: len(order)]):
        wanted, left = ("again", again) if turn else ("new", new)
        given_before = sum(kind == wanted for kind, _ in order[:place])
        assert order[place][0] == wanted or given_before == left
