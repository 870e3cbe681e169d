"""What follows an ended call: another try at a later time, or the end of the matter."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from campaigns.rules.definition import RetryPlan
from campaigns.rules.definition.trying import Later
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.wishes import Callback

PROMISED: Final = 101  # the priority of somebody who is to be called back: above all that a list may give
APART: Final = timedelta(hours=1)  # a part of the day that begins sooner is, to the person, the same one

_PARTS: Final = (0, 12, 17)
"""The hours at which the morning, the afternoon and the evening begin."""


@dataclass(frozen=True, slots=True)
class Again:
    """Call again, not before `not_before` (a wish: the calling window decides)."""

    not_before: datetime
    why: str | None = None
    """What is known of the time, where it is the person's own."""
    promised: bool = False
    """Whether the person asked for it: then they come before everybody else who is due."""


@dataclass(frozen=True, slots=True)
class Done:
    """Never again in this campaign."""

    state: ProspectState
    reason: str


CLOSING = {
    OutcomeClass.COMPLETED: Done(ProspectState.COMPLETED, "reached"),
    OutcomeClass.OPTED_OUT: Done(ProspectState.SUPPRESSED, "asked not to be called"),
    OutcomeClass.CUSTOMER_SIDE: Done(ProspectState.REFUSED, "the number cannot be called"),
    OutcomeClass.CANCELLED: Done(ProspectState.CANCELLED, "the call was cancelled"),
}
"""Classes after which nobody is called again, whatever the plan says."""


def closing(outcome: OutcomeClass, plan: RetryPlan) -> Done | None:
    """What the class alone decides for good; None where it does not."""
    if outcome in plan.never_again and outcome not in CLOSING:
        return Done(ProspectState.EXHAUSTED, f"the campaign never calls again after {outcome}")
    return CLOSING.get(outcome)


def after(
    outcome: OutcomeClass,
    *,
    attempts: int,
    calls: int,
    plan: RetryPlan,
    ended_at: datetime,
    capacity_wait: timedelta,
    zones: Collection[str] = (),
    draw: float = 0.0,
    callback: Callback | None = None,
    promised: bool = False,
    ends_at: datetime | None = None,
) -> Again | Done:
    """What follows `outcome`.

    `attempts` and `calls` include the call that just ended. A call that the account's own limits ended never rang:
    it costs no attempt and comes again after `capacity_wait`, unless `max_calls` is used up. Who asked to be called
    back gets that call even with no attempts left (`promised`: it was to be the one that just ended), and at the time
    that they named. `draw`, from 0 to 1, is how much of the jitter is added.
    """
    final = closing(outcome, plan)
    if final is not None:
        return final
    if calls >= plan.max_calls:
        return Done(ProspectState.EXHAUSTED, f"{calls} calls made, which is the most this campaign makes")
    if outcome is OutcomeClass.CAPACITY:
        return Again(ended_at + capacity_wait)
    wanted = outcome is OutcomeClass.CALLBACK
    if wanted and callback is not None and callback.at is not None:
        if ends_at is not None and callback.at >= ends_at:
            return Done(ProspectState.EXPIRED, f"{callback.why}, when the campaign is over")
        return Again(callback.at, callback.why, promised=True)
    kept = promised and outcome in TECHNICAL and outcome not in plan.counts  # nobody was called back by that
    if attempts >= plan.max_attempts and not wanted and not kept:
        return Done(ProspectState.EXHAUSTED, f"{attempts} attempts made, which is the most this campaign makes")
    if wanted:
        turn = calls
    elif outcome in TECHNICAL and outcome not in plan.counts:
        turn = calls - attempts
    else:
        turn = attempts if outcome in plan.counts else calls
    delay = _rung(plan.ladder(outcome), turn)
    if delay is None:
        return Done(ProspectState.EXHAUSTED, f"the campaign does not call again after {outcome}")
    moment = _later(delay, ended_at, zones) + plan.jitter * draw
    return Again(moment, callback.why if wanted and callback is not None else None, promised=wanted)


def draw_of(call_id: UUID) -> float:
    """From 0 to below 1, for each call another, and for a call always the same."""
    return (call_id.int >> 80) / 2**48


def _rung(ladder: Sequence[timedelta | Later], turn: int) -> timedelta | Later | None:
    """The delay after the `turn`-th call (from 1); the last one repeats; None where the ladder is empty."""
    if not ladder:
        return None
    return ladder[min(max(turn, 1), len(ladder)) - 1]


def _later(delay: timedelta | Later, ended_at: datetime, zones: Collection[str]) -> datetime:
    """The moment that lies `delay` after the call by the clock of every zone that the person may be in."""
    clocks = [ZoneInfo(zone) for zone in sorted(zones)] or [ZoneInfo("UTC")]
    match delay:
        case timedelta():
            return ended_at + delay
        case Later.NEXT_DAY:
            return max(_boundary(ended_at, clock, days=1, hour=0) for clock in clocks)
        case Later.OTHER_PART:
            return next(_other_parts(ended_at, clocks), ended_at + timedelta(days=1))


def _other_parts(ended_at: datetime, clocks: Sequence[ZoneInfo]) -> Iterator[datetime]:
    """The beginnings of what is another part of the day on every clock, the earliest first."""
    least = ended_at + APART
    begins = {_boundary(ended_at, clock, days, hour) for clock in clocks for days in (0, 1, 2) for hour in _PARTS}
    for moment in sorted({least} | {each for each in begins if each > least}):
        if all(_part(moment, clock) != _part(ended_at, clock) for clock in clocks):
            yield moment


def _boundary(moment: datetime, clock: ZoneInfo, days: int, hour: int) -> datetime:
    day = moment.astimezone(clock).date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, hour, tzinfo=clock).astimezone(UTC)


def _part(moment: datetime, clock: ZoneInfo) -> int:
    return sum(moment.astimezone(clock).hour >= hour for hour in _PARTS)
