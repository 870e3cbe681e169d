"""What holidays and single closed dates leave of the calling hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import reduce

from campaigns.rules.calling_rules.calendars import holidays_of
from campaigns.rules.windows import Interval, overlap

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class HolidayHours:
    """The holidays of one calendar, and the hours that remain."""

    calendar: str
    regions: frozenset[str] | None = frozenset()
    """Of which regions holidays are kept besides; None: of all."""
    hours: tuple[Interval, ...] = ()
    """On a holiday."""
    eve_hours: tuple[Interval, ...] | None = None
    """On the day before one; None: all."""

    def name_of(self, day: date) -> str | None:
        """Which holiday that date is; None for another day."""
        return holidays_of(self.calendar, self.regions, day.year).get(day)

    def remaining(self, day: date) -> tuple[Interval, ...] | None:
        """The hours that remain on that date; None: all."""
        if self.name_of(day) is not None:
            return self.hours
        if self.eve_hours is not None and self.name_of(day + _DAY) is not None:
            return self.eve_hours
        return None


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates on which less remains of a window: see `windows.SpecialDays`."""

    holidays: tuple[HolidayHours, ...] = ()
    closed: frozenset[date] = frozenset()
    open: frozenset[date] = frozenset()
    """Holidays on which the hours are as on other days."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Open spans are cached by rule: hashing some dozens of dates each time would cost most of a search.
        object.__setattr__(self, "_hash", hash((self.holidays, self.closed, self.open)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def dates(self) -> int:
        """How many single dates are closed."""
        return len(self.closed)

    def remaining(self, day: date) -> tuple[Interval, ...] | None:
        """The hours of the date outside of which a window is closed; None: nothing is different."""
        if day in self.closed:
            return ()
        if day in self.open:
            return None
        left = [hours for each in self.holidays if (hours := each.remaining(day)) is not None]
        return reduce(overlap, left) if left else None

    def name_of(self, day: date) -> str | None:
        """Which holiday that date is, or that it is closed, or the day before a holiday; None for another day."""
        if day in self.closed:
            return "a closed date"
        if day in self.open:
            return None
        name = next((found for each in self.holidays if (found := each.name_of(day))), None)
        return name or (None if self.remaining(day) is None else "the day before a holiday")

    def named(self, first: date, days: int) -> Iterator[tuple[date, str]]:
        """Each of so many dates from `first` on that is special, and why."""
        for day in (first + timedelta(days=turn) for turn in range(days)):
            if day in self.closed:
                yield day, "closed"
            elif day not in self.open:
                name = next((found for each in self.holidays if (found := each.name_of(day))), None)
                if name is not None:
                    yield day, name
