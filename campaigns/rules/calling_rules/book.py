"""Which rows bind a call to one person, and their hours in every zone where the person may be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from campaigns.rules.calling_rules.rows import Jurisdiction, shipped
from campaigns.rules.windows import CallingWindow, ZonedWindow, zone_named

_FEDERAL: Final = "US"
_ALL_DAY: Final = CallingWindow.parse("daily 00:00-24:00")


@dataclass(frozen=True, slots=True)
class Applicable:
    """The rows that bind a call to one person."""

    jurisdictions: tuple[Jurisdiction, ...]
    federal_only: bool
    """In the United States, but in no state whose own rules are listed. That does not prove that it has none."""
    refusal: str | None
    """Why nobody may be called there; None where calls are possible."""
    states: frozenset[str] = frozenset()
    """Where the person may be, whether listed or not: regions have holidays of their own."""


class Rulebook:
    """All rows: those that are shipped, or those of an operator in their place. It never changes, and equals itself."""

    def __init__(self, own: Mapping[str, Jurisdiction] | None = None) -> None:
        self.own: Mapping[str, Jurisdiction] = own or {}
        """The rows that an operator made other than they are shipped."""

    def lookup(self, code: str) -> Jurisdiction | None:
        """The row of one code; None where it is not listed."""
        return self.own.get(code) or shipped().get(code)

    def rows(self) -> list[Jurisdiction]:
        """Every row, in the order of the codes."""
        return [row for _, row in sorted({**shipped(), **self.own}.items())]

    def applicable(self, country: str | None, states: Collection[str]) -> Applicable:
        """Every row that binds a person in `country` who may be in any of `states`, countries before their states."""
        return _applicable(self, country, frozenset(states))


SHIPPED: Final = Rulebook()


def lookup(code: str) -> Jurisdiction | None:
    """The row of one code as it is shipped; None where it is not listed."""
    return SHIPPED.lookup(code)


def applicable(country: str | None, states: Collection[str]) -> Applicable:
    """Every row, as it is shipped, that binds a person in `country` who may be in any of `states`."""
    return SHIPPED.applicable(country, states)


def zoned_windows(applicable: Applicable, zones: Collection[str]) -> tuple[ZonedWindow, ...]:
    """What `named_windows` says, without the names."""
    return tuple(named_windows(applicable, zones))


def named_windows(applicable: Applicable, zones: Collection[str]) -> dict[ZonedWindow, list[str]]:
    """Every hour rule in every zone where the person may be, each with whose it is: neighbouring states often share
    their hours. Empty, which is never open, where either is unknown.

    A recommended window stands in where there is no rule, so it yields to a member's own rule. InvalidInput for a zone
    that does not exist.
    """
    if applicable.refusal is not None or not zones:
        return {}
    has_member_with_window = {row.parent for row in applicable.jurisdictions if row.window is not None}
    rules: dict[ZonedWindow, list[str]] = {}
    for row in applicable.jurisdictions:
        dates = row.holidays.dates(applicable.states)
        window = row.window
        if window is None or (row.basis == "recommended" and row.code in has_member_with_window):
            if dates is None:
                continue
            window = _ALL_DAY  # its hours yield, its holidays do not
        own = () if row.zone is None else (row.zone,)
        for zone in (*map(zone_named, sorted(zones)), *own):
            rules.setdefault(ZonedWindow(window, zone, dates), []).append(row.name)
    return rules


@lru_cache(maxsize=1024)  # some hundred combinations of states occur; each is asked for once per person
def _applicable(book: Rulebook, country: str | None, states: frozenset[str]) -> Applicable:
    def refused(reason: str) -> Applicable:
        return Applicable(jurisdictions=(), federal_only=False, refusal=reason)

    if country is None:
        return refused("unknown country")
    rows: dict[str, Jurisdiction] = {}
    for code in (country, *sorted(states)):
        found = list(_with_parents(book, code))
        if not found:
            return refused(f"unlisted country {code.partition('-')[0]}: no calling rules are known")
        if all(row.window is None for row in found):
            return refused(f"no window known for {code}")
        rows.update((row.code, row) for row in found)
    in_order = tuple(sorted(rows.values(), key=lambda row: (row.parent is not None, row.code)))
    in_listed_state = any(row.parent == _FEDERAL for row in in_order)
    federal_only = _FEDERAL in rows and not in_listed_state
    return Applicable(in_order, federal_only=federal_only, refusal=None, states=states)


def _with_parents(book: Rulebook, code: str) -> Iterator[Jurisdiction]:
    """The row of `code`, or of its country where the state is unlisted, and all above it."""
    row = book.lookup(code) or book.lookup(code.partition("-")[0])
    while row is not None:
        yield row
        row = book.lookup(row.parent) if row.parent else None
