"""How a campaign would go: its calls played through by the clock, with the answers that it expects.

Every line takes the person who has been due longest and may be called now, and is busy for as long as such a call
takes; who was not reached comes back when the retry plan says. Of many people a line takes several one after the
other, so that a million of them take seconds; none of them is called outside their hours for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate
from math import ceil
from random import Random
from typing import Final

from campaigns.rules.definition.forecast import Expected
from campaigns.rules.definition.trying import RetryPlan
from campaigns.rules.eligibility import Facts, Refused, when_due
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.retry import Done, after

BRIEF = timedelta(seconds=3)  # from the POST until a line is known to be busy or not to connect
SPREAD = 0.15  # how far the answers and the durations may be from what is expected: the range of a forecast
TURNS = 10_000  # that a line is given somebody: more are no more exact, and take longer than anybody waits
LONGEST_TURN = timedelta(hours=1)  # of several people one after the other: retries know the time no better
AT_LEAST_EACH = 10  # turns for each line: with fewer, the last ones of a large turn would leave the other lines idle
CAPACITY_WAIT = timedelta(minutes=1)
_DAY: Final = 24 * 3600.0
_STEP: Final = 1800.0  # seconds: no break between calling hours is shorter
_LONGEST_SPAN: Final = 12 * 3600.0  # seconds that are looked ahead for the closing hour


@dataclass(frozen=True, slots=True)
class Crowd:
    """People about whom the same is known, and who may be called."""

    facts: Facts
    zones: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to call with."""

    lines: int
    calls_per_second: float
    turnaround: timedelta
    """From the end of one call to the next on the same line."""
    per_day: int | None = None
    """The most calls in any 24 hours, from all caller numbers together; None: as many as there is time for."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a campaign went, once played through."""

    finished_at: datetime
    """When the last call is over."""
    calls: int
    reached: int
    """People with whom the assistant talked."""
    exhausted: int
    """Those who were called as often as the campaign calls."""
    expired: int
    """Those to whom no call came before the campaign's end."""
    stuck: int
    """Those for whom no hour is left at which they may be called."""
    minutes: float
    """Of calls in which somebody or something talked: what is paid for."""
    first_and_last: Mapping[tuple[str, ...], tuple[datetime, datetime]]
    """The starts of the first and the last call to the people of the same zones."""
    minutes_by_hour: Sequence[tuple[datetime, float]]
    """The hours in which somebody talked, in order, and for how many minutes."""


def varied(expected: Expected, by: float) -> Expected:
    """The same with so much more answered, and that much longer talks; with `by` below zero less and shorter."""
    answered = min(1.0, expected.answered * (1 + by))
    others = 1 - expected.answered
    scale = (1 - answered) / others if others else 0.0
    return expected.model_copy(
        update={
            "answered": answered if others else expected.answered,
            **{
                name: getattr(expected, name) * scale for name in ("no_answer", "voicemail", "busy", "failed") if others
            },
            **{name: getattr(expected, name) * (1 + by) for name in ("talk", "voicemail_takes", "no_answer_takes")},
        }
    )


def play(
    crowds: Sequence[Crowd], *, means: Means, expected: Expected, plan: RetryPlan, now: datetime, random: Random
) -> Course:
    """One course of the campaign from `now` on. The same `random` gives the same course."""
    return _Play(crowds, means, expected, plan, now, random).course()


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way in which a call may go."""

    outcome: OutcomeClass
    silent: float
    """Seconds that the line is busy and nobody talks."""
    talk: float


def _kinds(expected: Expected) -> tuple[list[_Kind], list[float]]:
    ring, brief = expected.ring.total_seconds(), BRIEF.total_seconds()
    talk, machine = expected.talk.total_seconds(), expected.voicemail_takes.total_seconds()
    ways = [
        (_Kind(OutcomeClass.COMPLETED, ring, talk), expected.answered),
        (_Kind(OutcomeClass.NO_ANSWER, expected.no_answer_takes.total_seconds(), 0.0), expected.no_answer),
        (_Kind(OutcomeClass.VOICEMAIL, ring, machine), expected.voicemail),
        (_Kind(OutcomeClass.BUSY, brief, 0.0), expected.busy),
        (_Kind(OutcomeClass.TRANSPORT_ERROR, brief, 0.0), expected.failed),
    ]
    return [kind for kind, _ in ways], list(accumulate(share for _, share in ways))


class _Hours:
    """When people of whom the same is known may be called, by the one decision; asked in seconds since 1970."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._asked, self._open, self._until = 0.0, 0.0, 0.0
        self.becomes: ProspectState = ProspectState.HELD

    def opening(self, at: float) -> float | None:
        """The first moment at or after `at` at which a call may start; None where there is none, see `becomes`."""
        if self._open <= at < self._until:
            return at
        if self._asked <= at < self._open:
            return self._open
        found = when_due(self.facts, _moment(at))
        if isinstance(found, Refused):
            self.becomes = found.becomes
            return None
        self._asked, self._open = at, max(at, found.timestamp())
        self._until = self._closing(self._open)
        return self._open

    def left(self, at: float) -> float:
        """For how many seconds calls may still start, when they may at `at`."""
        return self._until - at

    def _closing(self, opening: float) -> float:
        low = opening
        while low - opening < _LONGEST_SPAN:
            if not self._is_open(low + _STEP):
                break
            low += _STEP
        else:
            return low
        high = low + _STEP
        while high - low > 1.0:
            middle = (low + high) / 2
            low, high = (middle, high) if self._is_open(middle) else (low, middle)
        return high

    def _is_open(self, at: float) -> bool:
        moment = _moment(at)
        return when_due(self.facts, moment) == moment


_Key = tuple[float, int, int, int]
"""When due, which people, attempts, calls."""


@dataclass(slots=True)
class _Queue:
    """Who is due when; who is due within the same `grain` of seconds with the same past is one entry."""

    grain: float
    counts: dict[_Key, int] = field(default_factory=dict)
    heap: list[_Key] = field(default_factory=list)

    def add(self, due: float, people: int, attempts: int, calls: int, count: int) -> None:
        key = (-(-due // self.grain) * self.grain, people, attempts, calls)
        if key not in self.counts:
            heappush(self.heap, key)
        self.counts[key] = self.counts.get(key, 0) + count

    def take(self, most: int) -> int:
        """Take up to `most` of those who have been due longest."""
        key = self.heap[0]
        taken = min(most, self.counts[key])
        if taken == self.counts[key]:
            heappop(self.heap)
            del self.counts[key]
        else:
            self.counts[key] -= taken
        return taken


class _Play:
    def __init__(
        self, crowds: Sequence[Crowd], means: Means, expected: Expected, plan: RetryPlan, now: datetime, random: Random
    ) -> None:
        self._means, self._plan, self._random = means, plan, random
        self._kinds, self._shares = _kinds(expected)
        total = sum(crowd.count for crowd in crowds)
        mean = sum(
            (kind.silent + kind.talk) * (share - before)
            for kind, share, before in zip(self._kinds, self._shares, [0.0, *self._shares], strict=False)
        )
        self._each = max(1.0, mean + means.turnaround.total_seconds())
        turn = min(
            total // TURNS, total // (AT_LEAST_EACH * means.lines), int(LONGEST_TURN.total_seconds() / self._each)
        )
        self._together = max(1, turn)
        # Of one after the other the pace is kept by as many lines as it keeps busy, or a turn would use it up at once.
        rate = means.calls_per_second
        self._lines = means.lines if turn <= 1 else max(1, min(means.lines, ceil(rate * self._each)))
        self._slowest = 0.0 if turn <= 1 else self._lines / rate
        self._start = now.timestamp()
        self._queue = _Queue(grain=1.0 if self._together == 1 else self._together * self._each / 4)
        self._hours: list[_Hours] = []
        self._zones: list[tuple[str, ...]] = []
        self._line_up(crowds)
        self._first: dict[tuple[str, ...], float] = {}
        self._last: dict[tuple[str, ...], float] = {}
        self._talked: dict[int, float] = {}
        self._finished = self._start
        self._calls = 0
        self._became = dict.fromkeys(ProspectState, 0)
        self._made: deque[tuple[float, int]] = deque()
        self._made_in_a_day = 0

    def _line_up(self, crowds: Sequence[Crowd]) -> None:
        people: dict[tuple[Facts, tuple[str, ...]], int] = {}
        for crowd in crowds:
            # How often somebody was called stands in the queue: what is left is where and when they may be.
            facts = replace(crowd.facts, attempts=0, calls=0, not_before=None, person_in_call=False)
            index = people.setdefault((facts, crowd.zones), len(people))
            if index == len(self._hours):
                self._hours.append(_Hours(facts))
                self._zones.append(crowd.zones)
            wish = crowd.facts.not_before
            due = self._start if wish is None else max(self._start, wish.timestamp())
            self._queue.add(due, index, crowd.facts.attempts, crowd.facts.calls, crowd.count)

    def course(self) -> Course:
        queue, next_slot = self._queue, self._start
        lines = [self._start] * self._lines
        heapify(lines)
        while queue.heap:
            due, people, attempts, calls = queue.heap[0]
            at = max(due, lines[0], next_slot)
            hours = self._hours[people]
            opening = hours.opening(at)
            if opening is None:
                self._became[hours.becomes] += queue.take(queue.counts[queue.heap[0]])
                continue
            if opening > at:
                queue.add(opening, people, attempts, calls, queue.take(queue.counts[queue.heap[0]]))
                continue
            most = min(self._together, max(1, int(hours.left(at) / self._each)), self._room(at))
            if most <= 0:
                next_slot = self._made[0][0] + _DAY
                continue
            count = queue.take(most)
            over = self._call(at, people, attempts, calls, count)
            heapreplace(lines, over)
            next_slot = at + 1 / self._means.calls_per_second
        return self._summary()

    def _room(self, at: float) -> int:
        """How many calls the numbers may still make in the 24 hours that end at `at`."""
        while self._made and self._made[0][0] <= at - _DAY:
            self._made_in_a_day -= self._made.popleft()[1]
        return TURNS if self._means.per_day is None else self._means.per_day - self._made_in_a_day

    def _call(self, at: float, people: int, attempts: int, calls: int, count: int) -> float:
        """Call so many people one after the other; returns when the line is free again."""
        turnaround = self._means.turnaround.total_seconds()
        taken, talked = count * turnaround, 0.0
        found = list(self._draw(count))
        for kind, number in found:
            # People differ; on average it is what is expected.
            talk = kind.talk * number * (1 + (self._random.random() - 0.5) / number**0.5)
            taken += number * kind.silent + talk
            talked += talk
        taken = max(taken, count * self._slowest)
        hour = int(at // 3600)
        self._talked[hour] = self._talked.get(hour, 0.0) + talked / 60
        self._finished = max(self._finished, at + taken - turnaround)
        self._calls += count
        if self._means.per_day is not None:
            self._made.append((at, count))
            self._made_in_a_day += count
        zones = self._zones[people]
        self._first[zones] = min(self._first.get(zones, at), at)
        self._last[zones] = max(self._last.get(zones, at), at + taken * (count - 1) / count)
        for kind, number in found:
            self._follow(kind.outcome, people, attempts, calls + 1, number, at + taken - turnaround)
        return at + taken

    def _follow(self, outcome: OutcomeClass, people: int, attempts: int, calls: int, count: int, ended: float) -> None:
        attempts += outcome in self._plan.counts
        match after(
            outcome,
            attempts=attempts,
            calls=calls,
            plan=self._plan,
            ended_at=_moment(ended),
            capacity_wait=CAPACITY_WAIT,
        ):
            case Done(state):
                self._became[state] += count
            case again:
                due = max(again.not_before.timestamp(), self._capped_until(people, calls, ended))
                self._queue.add(due, people, attempts, calls, count)

    def _capped_until(self, people: int, calls: int, ended: float) -> float:
        """When a cap permits the next call. After each `calls` of them it is waited for from the last one on: when the
        others were is not known of a group, and a retry plan that is so quick is rare.
        """
        facts = self._hours[people].facts
        caps = (cap for cap in facts.caps if cap.after is None and cap.period is not None and calls % cap.calls == 0)
        binding = (cap for cap in caps if cap.binds(consented=True, debt_collection=facts.debt_collection))
        return max((ended + cap.period.total_seconds() for cap in binding if cap.period is not None), default=ended)

    def _draw(self, count: int) -> Iterator[tuple[_Kind, int]]:
        """How so many calls go, as exactly in their shares as whole numbers permit: one roll for all of them."""
        roll, before = self._random.random(), 0
        for kind, share in zip(self._kinds, self._shares, strict=True):
            upto = int(count * share / self._shares[-1] + roll)
            if upto > before:
                yield kind, upto - before
            before = upto

    def _summary(self) -> Course:
        return Course(
            finished_at=_moment(self._finished),
            calls=self._calls,
            reached=self._became[ProspectState.COMPLETED],
            exhausted=self._became[ProspectState.EXHAUSTED],
            expired=self._became[ProspectState.EXPIRED],
            stuck=self._became[ProspectState.HELD],
            minutes=sum(self._talked.values()),
            first_and_last={
                zones: (_moment(first), _moment(self._last[zones])) for zones, first in self._first.items()
            },
            minutes_by_hour=[(_moment(hour * 3600.0), self._talked[hour]) for hour in sorted(self._talked)],
        )


def spent_until(course: Course, minutes: float) -> datetime | None:
    """The hour in which so many minutes are talked; None where it is never reached."""
    for hour, talked in _running(course.minutes_by_hour):
        if talked >= minutes:
            return hour
    return None


def _running(by_hour: Sequence[tuple[datetime, float]]) -> Iterator[tuple[datetime, float]]:
    total = 0.0
    for hour, minutes in by_hour:
        total += minutes
        yield hour, total


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
