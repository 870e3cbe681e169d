"""How many calls may start now, whose they are, and at which instant each is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

HORIZON = timedelta(seconds=2)  # how far ahead slots are given out: two ticks, so that a worker never waits longer
TOGETHER = timedelta(milliseconds=100)
"""Calls whose slots lie closer than this are prepared together, which a hundred a second need: a worker that dies then
leaves all of them in doubt. Up to ten calls a second it is one."""
MOST_TOGETHER = 10  # calls; more side by side gain nothing on one core


@dataclass(frozen=True, slots=True)
class Demand:
    """One running campaign's claim on the account's free lines."""

    campaign_id: UUID
    weight: int
    held: int
    """Lines that it uses already."""
    cap: int | None
    """The most it may use; None for no limit of its own."""


def free_lines(*, limit: int, ceiling: int | None, reserve: int, held: int) -> int:
    """Lines that may be claimed now: the lower of the account's limit and its learned ceiling, less reserve and use."""
    top = limit if ceiling is None else min(limit, ceiling)
    return max(0, top - reserve - held)


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


def together(slots: Sequence[datetime]) -> list[range]:
    """The positions of ascending `slots` in lots that are prepared together: each within `TOGETHER` of its first."""
    lots: list[range] = []
    for place, slot in enumerate(slots):
        if lots and slot - slots[lots[-1].start] < TOGETHER and len(lots[-1]) < MOST_TOGETHER:
            lots[-1] = range(lots[-1].start, place + 1)
        else:
            lots.append(range(place, place + 1))
    return lots
