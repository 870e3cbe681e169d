"""Dates as files write them: one by one, or from the first to the last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from campaigns.errors import InvalidDefinition

MOST_DATES: Final = 731  # two years of them: whoever needs more means something else
_FORM: Final = "write dates such as 2026-12-24, or from the first to the last such as 2026-12-31..2027-01-02"


def read_dates(written: Iterable[object]) -> frozenset[date]:
    """Every date that is named. Raises `InvalidDefinition` that quotes what is none."""
    found: set[date] = set()
    for each in written:
        first, _, last = str(each).partition("..")
        try:
            start = date.fromisoformat(first.strip())
            end = date.fromisoformat(last.strip()) if last else start
        except ValueError:
            raise InvalidDefinition(f"{str(each)!r} is not a date: {_FORM}") from None
        if end < start:
            raise InvalidDefinition(f"{each} ends before it begins: {_FORM}")
        if (end - start).days + len(found) >= MOST_DATES:
            raise InvalidDefinition(f"{each} makes it more than {MOST_DATES} dates: leave the campaign paused instead")
        found.update(start + timedelta(days=day) for day in range((end - start).days + 1))
    return frozenset(found)
