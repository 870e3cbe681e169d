"""Which dates are holidays: the library's lists, and what `data/holidays.toml` adds where the law's list is longer.

The library takes a tenth of a second to load and some milliseconds for each year: it is loaded when a rule first asks,
and each year of a calendar is made once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

from campaigns.errors import InvalidDefinition

_KEYS: Final = frozenset({"add", "categories"})


@lru_cache(maxsize=1024)  # calendars and their regions, times three years
def holidays_of(calendar: str, regions: Collection[str] | None, year: int) -> Mapping[date, str]:
    """The holidays of a year with their names, by an ISO 3166 code, and those of its `regions`, which are codes, too.

    None stands for all regions: where nobody knows in which of them somebody lives, each one's holiday is kept.
    """
    found = dict(_listed(calendar, year))
    for region in _regions(calendar) if regions is None else sorted(regions):
        for day, name in _listed(region, year).items():
            found.setdefault(day, name)
    return found


def regions_among(calendar: str, codes: Collection[str]) -> frozenset[str] | None:
    """Those of these ISO 3166-2 codes that are regions of the calendar; None, which is all of them, where none is."""
    return frozenset(codes).intersection(_regions(calendar)) or None


def is_calendar(code: str) -> bool:
    """Whether there is a calendar of that code."""
    country, dash, _ = code.partition("-")
    return code in _regions(country) if dash else country in _countries()


@lru_cache(maxsize=1024)
def _listed(calendar: str, year: int) -> Mapping[date, str]:
    """The holidays of one calendar alone."""
    import holidays  # noqa: PLC0415 - see above

    country, _, region = calendar.partition("-")
    own = _own().get(calendar, {})
    categories = own.get("categories", _own().get(country, {}).get("categories", ["public"]))
    known = holidays.country_holidays(country).supported_categories
    years = (year - 1, year, year + 1)  # what falls on New Year's Day may be observed in the year before
    found = dict(
        holidays.country_holidays(
            country,
            subdiv=region or None,
            years=years,
            expand=False,
            language="en_US",
            categories=tuple(each for each in categories if each in known),
        )
    )
    for entry in own.get("add", ()):
        found |= dict.fromkeys((day for each in years for day in _on(entry, each)), entry["name"])
    return {day: name for day, name in sorted(found.items()) if day.year == year}


@cache
def _regions(country: str) -> tuple[str, ...]:
    import holidays  # noqa: PLC0415 - see above

    return tuple(f"{country}-{region}" for region in holidays.country_holidays(country).subdivisions)


@cache
def _countries() -> Collection[str]:
    import holidays  # noqa: PLC0415 - see above

    return holidays.list_supported_countries(include_aliases=False).keys()


def _on(entry: Mapping[str, str], year: int) -> Iterator[date]:
    """The dates of an entry in a year: one, or none."""
    on = entry["on"]
    if entry.get("years") == "even" and year % 2:
        return
    if on == "election":
        first = date(year, 11, 1)
        yield first + timedelta(days=-first.weekday() % 7 + 1)
    elif on.startswith("easter"):
        yield _easter(year) + timedelta(days=int(on.removeprefix("easter")))
    elif len(on) == len("06-14"):
        yield date.fromisoformat(f"{year}-{on}")
    elif date.fromisoformat(on).year == year:
        yield date.fromisoformat(on)


def _easter(year: int) -> date:
    """Easter Sunday, by the method of Meeus, Jones and Butcher."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    leaps, left = divmod(century, 4)
    moon = (19 * golden + century - leaps - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * left + 2 * (rest // 4) - moon - rest % 4) % 7
    late = (golden + 11 * moon + 22 * weekday) // 451
    month, day = divmod(moon + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


@cache
def _own() -> Mapping[str, Mapping[str, Any]]:
    text = (resources.files("campaigns.rules") / "data" / "holidays.toml").read_text(encoding="utf-8")
    found: dict[str, Mapping[str, Any]] = tomllib.loads(text)
    for calendar, values in found.items():
        strange = sorted(values.keys() - _KEYS)
        wrong = [each for each in values.get("add", ()) if not _readable(each)]
        if strange or wrong:
            raise InvalidDefinition(f"holidays {calendar}: {strange[0] if strange else wrong[0]} cannot be read")
    return found


def _readable(entry: Mapping[str, str]) -> bool:
    forms = r"election|easter[+-]\d+|(?:\d{4}-)?\d{2}-\d{2}"
    return (
        {"name", "on"} <= entry.keys() <= {"name", "on", "years"}
        and re.fullmatch(forms, entry["on"]) is not None
        and entry.get("years", "even") == "even"
    )
