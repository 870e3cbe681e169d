"""When somebody may be called: weekly hours by the wall clock, what remains of them on special days, and the moments at
which several such rules are open.

All searching is done on spans of UTC, so that a change of the clocks needs no case of its own: each UTC day of a zone
is cut where its offset changes, and the wall-clock hours are laid over each piece. An hour that is skipped is never
there to be open, an hour that comes twice is open twice.

A date is the one on that wall: of hours past midnight, those before it belong to the one date and those after it to the
next. So a holiday takes from midnight to midnight, and what began on its eve ends there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from campaigns.errors import InvalidDefinition, InvalidInput

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FULL_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAILY: Final = "daily"
_CLOSED: Final = "closed"
_ALLOWED: Final = 'write days and hours such as "Mon-Fri 09:00-12:00, 13:00-20:00; Sat 10:00-16:00", or "Sun closed"'
_MINUTES_IN_DAY: Final = 24 * 60

HORIZON: Final = timedelta(days=36)
"""How far `next_opening` looks, single closed dates not counted. Weekly hours repeat after seven days; a single weekly
slot may fall on holidays for some weeks, as on Christmas and New Year's Day, or into an hour or a day that a zone
skips; the last day covers the difference between zones."""


class Interval(NamedTuple):
    """Minutes of the day, 0 to 1440, `end` exclusive. Given to a window, `start` after `end` passes midnight."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class CallingWindow:
    """The hours of each weekday, Monday first. A day without intervals has no calls.

    What is given is brought into one form: hours past midnight go to the next day, intervals that touch become one.
    """

    days: tuple[tuple[Interval, ...], ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.days) != len(DAYS):
            raise InvalidDefinition(f"calling hours need {len(DAYS)} days, Monday first; got {len(self.days)}")
        days = _one_form(self.days)
        object.__setattr__(self, "days", days)
        # Cached spans are looked up by window: hashing seven nested tuples each time would cost most of a search.
        object.__setattr__(self, "_hash", hash(days))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def parse(cls, text: str | Mapping[str, str | list[str]]) -> CallingWindow:
        """The window that `text` describes: clauses by day, or a mapping from days to hours.

        Raises InvalidDefinition, which quotes the part that is wrong and says what is allowed.
        """
        days: list[list[Interval]] = [[] for _ in DAYS]
        for named, hours in _clauses(text):
            intervals = parse_hours(hours)
            for day in _days(named):
                days[day].extend(intervals)
        return cls(tuple(tuple(day) for day in days))

    def describe(self) -> str:
        """The window as text that `parse` reads back to the same window."""
        clauses = []
        for intervals, group in groupby(range(len(DAYS)), key=lambda day: self.days[day]):
            if not intervals:
                continue
            members = list(group)
            first, last = DAYS[members[0]], DAYS[members[-1]]
            named = first if first == last else f"{first}-{last}"
            clauses.append(f"{named} {describe_hours(intervals)}")
        return "; ".join(clauses) or f"{_DAILY} {_CLOSED}"


class SpecialDays(Protocol):
    """What is different on some dates. Compared and hashed for every decision: both must be cheap."""

    @property
    def dates(self) -> int:
        """How many single dates may be closed, besides holidays that come each year."""

    def name_of(self, day: date, /) -> str | None:
        """What makes the date another one; None for a day like others."""

    def remaining(self, day: date, /) -> tuple[Interval, ...] | None:
        """The hours of the date outside of which a window is closed; None: nothing is different."""


class ZonedWindow(NamedTuple):
    """Hours by the clocks of one zone."""

    window: CallingWindow
    zone: ZoneInfo
    days: SpecialDays | None = None
    """Dates on which less of the hours remains."""


class Together(tuple[ZonedWindow, ...]):
    """Rules that must all be open at once, made once for many people of one place.

    It equals itself alone: what its rules come to on a day is found without comparing them.
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name; InvalidInput where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a directory such as "America" is an OSError
        raise InvalidInput(f"no time zone {name!r}: use an IANA name such as America/Chicago") from None


def is_open(rules: Sequence[ZonedWindow], at: datetime, *, closing: timedelta) -> bool:
    """Whether every rule is open at `at` and none closes within `closing` of it. Without rules nothing is open."""
    moment = _microseconds(at)
    return _opening(tuple(rules), moment, _margin(closing), moment + 1) == moment


def horizon(rules: Iterable[ZonedWindow]) -> timedelta:
    """How far ahead `next_opening` looks: a blackout of a month does not end the search."""
    return HORIZON + timedelta(days=sum(rule.days.dates for rule in rules if rule.days is not None))


def next_opening(
    rules: Sequence[ZonedWindow], after: datetime, *, closing: timedelta, until: datetime | None = None
) -> datetime | None:
    """The first moment at or after `after`, in UTC, at which `is_open`; None if there is none before `until`.

    Looks `horizon` ahead at most: None also stands for rules that are next open together in another season.
    """
    moment, margin = _microseconds(after), _margin(closing)
    rules = rules if isinstance(rules, tuple) else tuple(rules)
    # Most are open within a week: how far to look is worked out for the others.
    for ahead in (_WEEK, None):
        limit = moment + (horizon(rules) // _MICROSECOND if ahead is None else ahead)
        if until is not None:
            limit = min(limit, _microseconds(until))
        opening = _opening(rules, moment, margin, limit)
        if opening is not None:
            return _EPOCH + timedelta(microseconds=opening)
    return None


# --- reading ---------------------------------------------------------------------------------------------------------


def parse_hours(hours: str) -> tuple[Interval, ...]:
    """The intervals of text such as "09:00-12:00, 13:00-20:00"; none for "closed"."""
    if hours.strip().lower() == _CLOSED:
        return ()
    return tuple(_interval(part) for part in hours.split(","))


def overlap(hours: Collection[Interval], others: Collection[Interval]) -> tuple[Interval, ...]:
    """The minutes of a day that are in both."""
    both = ((max(one.start, other.start), min(one.end, other.end)) for one in hours for other in others)
    return tuple(Interval(start, end) for start, end in _joined(span for span in both if span[0] < span[1]))


def describe_hours(hours: Iterable[Interval]) -> str:
    """The hours of a day as text that `parse_hours` reads back."""
    return ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in hours) or _CLOSED


def _clauses(text: str | Mapping[str, str | list[str]]) -> Iterator[tuple[str, str]]:
    if not isinstance(text, str):
        for days, hours in text.items():
            yield days, hours if isinstance(hours, str) else ", ".join(hours) or _CLOSED
        return
    clauses = [clause for clause in text.split(";") if clause.strip()]
    for clause in clauses or [""]:
        # The days end where the first hour begins.
        found = re.fullmatch(rf"\s*(\D*?)\s*(\d.*|{_CLOSED})\s*", clause, flags=re.IGNORECASE | re.DOTALL)
        if found is None or not found[1]:
            raise InvalidDefinition(f"calling hours {clause.strip()!r} cannot be read: {_ALLOWED}")
        yield found[1].removesuffix(":"), found[2]


def _days(named: str) -> Iterator[int]:
    for part in named.split(","):
        first, dash, last = _plain_dashes(part).partition("-")
        if first.strip().lower() == _DAILY and not dash:
            yield from range(len(DAYS))
            continue
        start = _day(first)
        count = (_day(last) - start) % len(DAYS) + 1 if dash else 1
        yield from ((start + offset) % len(DAYS) for offset in range(count))


def _day(name: str) -> int:
    wanted = name.strip().lower().removesuffix(".")
    for day, (short, full) in enumerate(zip(DAYS, _FULL_NAMES, strict=True)):
        if wanted in {short.lower(), full}:
            return day
    raise InvalidDefinition(
        f"{name.strip()!r} is not a day: use {', '.join(DAYS)}, a range such as Mon-Fri, or {_DAILY}"
    )


def _interval(text: str) -> Interval:
    found = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*", _plain_dashes(text))
    if found is None:
        raise InvalidDefinition(f"hours {text.strip()!r} cannot be read: use 24-hour times such as 09:00-20:00")
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if int(found[2]) > 59 or int(found[4]) > 59 or max(start, end) > _MINUTES_IN_DAY:
        raise InvalidDefinition(f"hours {text.strip()!r} are not times of a day: use 00:00 to 24:00")
    if start == end:
        raise InvalidDefinition(
            f"hours {text.strip()!r} have no length: the whole day is 00:00-24:00, none is {_CLOSED}"
        )
    return Interval(start, end)


def _plain_dashes(text: str) -> str:
    return re.sub("[\u2010-\u2015\u2212]", "-", text)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _one_form(days: tuple[tuple[Interval, ...], ...]) -> tuple[tuple[Interval, ...], ...]:
    """The same hours with nothing past midnight, in order, and joined where they touch within a day."""
    split: list[list[tuple[int, int]]] = [[] for _ in DAYS]
    for day, intervals in enumerate(days):
        for start, end in intervals:
            if not (0 <= start <= _MINUTES_IN_DAY and 0 <= end <= _MINUTES_IN_DAY) or start == end:
                raise InvalidDefinition(
                    f"{start}-{end} are not minutes of a day: use two different ones from 0 to 1440"
                )
            if start < end:
                split[day].append((start, end))
                continue
            if start < _MINUTES_IN_DAY:
                split[day].append((start, _MINUTES_IN_DAY))
            if end > 0:
                split[(day + 1) % len(DAYS)].append((0, end))
    return tuple(tuple(Interval(start, end) for start, end in _joined(intervals)) for intervals in split)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


# --- searching, in whole microseconds since 1970 in UTC --------------------------------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY: Final = 3  # a Thursday
_MICROSECOND: Final = timedelta(microseconds=1)
_MINUTE: Final = timedelta(minutes=1) // _MICROSECOND
_DAY: Final = timedelta(days=1) // _MICROSECOND
_SECOND: Final = timedelta(seconds=1) // _MICROSECOND
_WEEK: Final = 7 * _DAY
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()


def _microseconds(moment: datetime) -> int:
    if moment.utcoffset() is None:
        raise ValueError(f"{moment!r} has no time zone: times are always aware")
    return (moment - _EPOCH) // _MICROSECOND


def _margin(closing: timedelta) -> int:
    if closing < timedelta(0):
        raise ValueError(f"closing is {closing}: a margin before the end cannot be negative")
    return closing // _MICROSECOND


def _opening(rules: tuple[ZonedWindow, ...], moment: int, margin: int, limit: int) -> int | None:
    """The first moment from `moment` and before `limit` at which the rules are open for longer than `margin`."""
    day = moment // _DAY
    while day * _DAY < limit:
        for start, end in _spans(rules, day):
            opening = max(start, moment)
            if opening < _open_until(rules, day, end, opening + margin) - margin:
                return opening if opening < limit else None
        day += 1
    return None


def _open_until(rules: tuple[ZonedWindow, ...], day: int, end: int, enough: int) -> int:
    """Where the span that ends at `end` on `day` really closes: it may go on after midnight. Stops past `enough`."""
    while end <= enough:
        day += 1
        following = _spans(rules, day) if end == day * _DAY else ()
        if not following or following[0][0] != end:
            break
        end = following[0][1]
    return end


@lru_cache(maxsize=32_768)  # two weeks of some two thousand places, about 10 MB
def _spans(rules: tuple[ZonedWindow, ...], day: int) -> tuple[tuple[int, int], ...]:
    """The spans of one UTC day in which all rules are open, in order and apart from each other."""
    together = _spans_of(rules[0], day) if rules else ()
    for rule in rules[1:]:
        if not together:
            break
        both = ((max(a, c), min(b, d)) for a, b in together for c, d in _spans_of(rule, day))
        together = tuple(span for span in both if span[0] < span[1])
    return together


@lru_cache(maxsize=16_384)  # two weeks of a thousand rules, each in a zone, about 8 MB
def _spans_of(rule: ZonedWindow, day: int) -> tuple[tuple[int, int], ...]:
    """The open spans of one UTC day, in order and apart from each other."""
    window, zone, special = rule
    spans: list[tuple[int, int]] = []
    for piece_start, piece_end, offset in _pieces(zone, day):
        first, last = (piece_start + offset) // _DAY, (piece_end - 1 + offset) // _DAY
        for local_day in range(first, last + 1):
            midnight = local_day * _DAY - offset
            hours = window.days[(local_day + _EPOCH_WEEKDAY) % len(DAYS)]
            if special is not None and hours:
                remaining = special.remaining(date.fromordinal(local_day + _EPOCH_ORDINAL))
                hours = hours if remaining is None else overlap(hours, remaining)
            for start, end in hours:
                opens, closes = max(midnight + start * _MINUTE, piece_start), min(midnight + end * _MINUTE, piece_end)
                if opens < closes:
                    spans.append((opens, closes))
    return tuple(_joined(spans))


def _pieces(zone: ZoneInfo, day: int) -> Iterator[tuple[int, int, int]]:
    """One UTC day cut where the zone's offset changes: start, end, offset. No zone has ever changed twice in a day."""
    start, end = day * _DAY, (day + 1) * _DAY
    before, after = _offset(zone, start), _offset(zone, end - _SECOND)
    if before == after:
        yield start, end, before
        return
    low, high = 0, _DAY // _SECOND - 1  # seconds of the day: the old offset holds at `low`, the new one at `high`
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, start + middle * _SECOND) == before:
            low = middle
        else:
            high = middle
    change = start + high * _SECOND
    yield start, change, before
    yield change, end, after


def _offset(zone: ZoneInfo, moment: int) -> int:
    offset = (_EPOCH + timedelta(microseconds=moment)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND
