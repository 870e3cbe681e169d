"""How many calls may start now, whose they are, and at which instant each is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

RISE = timedelta(seconds=5)  # real time for each line won back: about as long as a line that came free stays unnoticed
BELIEVED = timedelta(minutes=5)  # real time: with all lines in long calls no answer would ever say that there are more
HORIZON = timedelta(seconds=2)  # how far ahead slots are given out: two ticks, so that none passes unused
LONGEST_WAIT = timedelta(seconds=3)  # that a worker waits for a slot: others' calls may be due meanwhile
TOGETHER = timedelta(milliseconds=100)
"""Calls whose slots lie closer than this are prepared together, which a hundred a second need: a worker that dies then
leaves all of them in doubt. Up to ten calls a second it is one."""
LATE = timedelta(milliseconds=500)  # behind its slot a call is given a new one: no worker is to stand in line with it
EARLY = timedelta(milliseconds=50)  # before its slot a call is prepared, so that it leaves at its slot and not behind
MOST_TOGETHER = 10  # calls; more side by side gain nothing on one core

TURNS = 20  # latest calls of a campaign that its retry_share is kept over: fewer, and a tenth would be no share

DOUBTS = 3  # requests in a row of which the provider did not say what became: one or two are bad luck
SHORT_PAUSES = (timedelta(seconds=5), timedelta(seconds=10))  # real time until one more is tried: it may be a hiccup
LONG_PAUSE = timedelta(minutes=5)  # after that, unless the provider answers a question before: they use up no line
MOST_DOUBTS = DOUBTS + len(SHORT_PAUSES)  # that are counted: more change nothing
TRIED_EVERY = timedelta(minutes=1)  # at the most, where it answers questions and no request


@dataclass(frozen=True, slots=True)
class Demand:
    """One running campaign's claim on the account's free lines."""

    campaign_id: UUID
    weight: int
    held: int
    """Lines that it uses already."""
    cap: int | None
    """The most it may use; None for no limit of its own."""


def still_granted(granted: int | None, *, said_at: datetime | None, real: datetime) -> int | None:
    """The lines that the provider said the account has. What it said a while ago is tried: a line more each `RISE`."""
    if granted is None or said_at is None:
        return granted
    return granted + max(0, (real - said_at - BELIEVED) // RISE)


def our_lines(*, limit: int, granted: int | None, reserve: int) -> int:
    """Lines that our calls may use while the provider refuses none: never none at all.

    The account's limit, or what the provider says it has where that is less, without those kept for calls that come in.
    """
    return max(1, min(limit, limit if granted is None else granted) - reserve)


def free_lines(*, ours: int, ceiling: int | None, held: int) -> int:
    """Lines that may be claimed now: of `ours`, or of as many as the ceiling leaves, those that are not in use."""
    return max(0, (ours if ceiling is None else min(ours, ceiling)) - held)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How many lines our calls may use for now, because the provider refused one more."""

    lines: int
    rises_at: datetime
    """Real time at which it is one more, if nothing is refused until then."""


def lowered(ceiling: Ceiling | None, *, in_use: int, remaining: int, real: datetime) -> Ceiling:
    """The ceiling after a refusal: the lines that our calls really use, and those that the provider says are left.

    Never higher than before, and never below one line, or nothing would ever show that there are more again.
    """
    lines = max(1, in_use + remaining)
    return Ceiling(lines if ceiling is None else min(ceiling.lines, lines), real + RISE)


def risen(ceiling: Ceiling, *, ours: int, real: datetime) -> Ceiling | None:
    """The ceiling at `real`, one line higher for each `RISE` since the last refusal; None once it is as high as `ours`.

    Worked out from the time alone, so that one which nobody looked at for a while is as high as if somebody had.
    """
    steps = max(0, (real - ceiling.rises_at) // RISE + 1)
    lines = ceiling.lines + steps
    return None if lines >= ours else Ceiling(lines, ceiling.rises_at + steps * RISE)


def pause_after(doubts: int) -> timedelta:
    """How long to send nothing after so many requests in a row that came to nothing.

    Each of them takes up a line, and may hold its person until somebody decides: while a provider is away, only one is
    tried now and then.
    """
    if doubts < DOUBTS:
        return timedelta(0)
    return (*SHORT_PAUSES, LONG_PAUSE)[min(doubts, MOST_DOUBTS) - DOUBTS]


def turn_of(slot: datetime, *, after: datetime | None, now: datetime, rate: float) -> datetime:
    """When it is the turn of the call with that `slot`, if it leaves `now` or later; `after` is the turn before it.

    Turns are never closer than 1/rate, and a call leaves at its turn or up to half a gap behind it: so in any second
    one call leaves more than the rate allows, at the most, however late the calls of a busy machine come.
    """
    gap = timedelta(seconds=1 / rate)
    turn = max(slot, now - gap / 2)
    return turn if after is None else max(turn, after + gap)


def slots_within(*, next_slot: datetime, now: datetime, rate: float, horizon: timedelta = HORIZON) -> int:
    """How many send slots lie between now and the horizon at `rate` calls per second."""
    room = (now + horizon - max(next_slot, now)).total_seconds()
    return max(0, int(room * rate + 1e-9) + 1) if room >= 0 else 0


def stamp(count: int, *, next_slot: datetime, now: datetime, rate: float) -> tuple[list[datetime], datetime]:
    """`count` send slots, each 1/rate seconds after the last, and the first slot that is still free after them."""
    first = max(next_slot, now)
    gap = 1.0 / rate
    slots = [first + timedelta(seconds=gap * turn) for turn in range(count)]
    return slots, first + timedelta(seconds=gap * count)


def share(free: int, demands: Sequence[Demand]) -> Mapping[UUID, int]:
    """How many of the `free` lines each campaign gets, so that lines in use stand as its weight does.

    One line at a time goes to the campaign that is furthest below its weight, so that none starves and nobody
    waits for a share that another cannot use.
    """
    given = dict.fromkeys((demand.campaign_id for demand in demands), 0)
    for _ in range(free):
        hungry = [
            demand for demand in demands if demand.cap is None or demand.held + given[demand.campaign_id] < demand.cap
        ]
        if not hungry:
            break
        poorest = min(
            hungry,
            key=lambda demand: ((demand.held + given[demand.campaign_id] + 1) / demand.weight, demand.campaign_id),
        )
        given[poorest.campaign_id] += 1
    return given


Due = TypeVar("Due")


def turns(count: int, *, recent: Sequence[bool], share: float) -> list[bool]:
    """Whose turn each of the next `count` lines is: True, of somebody who is called again; False, of somebody new.

    `recent` says the same of the latest calls, the latest first; those before the last `TURNS` count no more, so that
    whoever was not due for a while has nothing to make up for. Of any `TURNS` calls in a row `share` are made again.
    """
    latest = list(recent[: TURNS - 1])
    whose: list[bool] = []
    for _ in range(count):
        again = sum(latest) < share * (len(latest) + 1)
        whose.append(again)
        latest = [again, *latest[: TURNS - 2]]
    return whose


def in_turn(whose: Sequence[bool], again: Sequence[Due], new: Sequence[Due]) -> list[Due]:
    """Both kinds of people in the order of their turns; a turn that one kind does not need is the other's."""
    olds, news = list(again)[::-1], list(new)[::-1]
    order: list[Due] = []
    for turn in [*whose, *([True] * len(again)), *([False] * len(new))]:
        rest = (olds if turn else news) or (news if turn else olds)
        if rest:
            order.append(rest.pop())
    return order


def together(slots: Sequence[datetime]) -> list[range]:
    """The positions of ascending `slots` in lots that are prepared together: each within `TOGETHER` of its first."""
    lots: list[range] = []
    for place, slot in enumerate(slots):
        if lots and slot - slots[lots[-1].start] < TOGETHER and len(lots[-1]) < MOST_TOGETHER:
            lots[-1] = range(lots[-1].start, place + 1)
        else:
            lots.append(range(place, place + 1))
    return lots
