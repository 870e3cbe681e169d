"""What the rules and a campaign say together about calling people of one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from campaigns.rules.calling_rules import Applicable, Rulebook, lookup, named_windows
from campaigns.rules.calling_rules.special_days import Dates, HolidayHours
from campaigns.rules.caps import Cap
from campaigns.rules.consent import ConsentNeed, Purpose
from campaigns.rules.dates import read_dates
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.windows import CallingWindow, Together, ZonedWindow, zone_named

_PROSPECT_PLACES: Final = 4096  # as many as a large campaign has combinations of states and zones


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What of a campaign decides when and whether people of a place are called. Made once, and equal to itself."""

    window: CallingWindow | None = None
    """None: no campaign's, the rules alone."""
    days: Dates | None = None
    purpose: Purpose = "sales"
    fallback_zones: tuple[str, ...] = ()
    fallback_country: str | None = None


RULES_ALONE: Final = Terms()


@dataclass(frozen=True, slots=True)
class Place:
    """What applies to people of a place."""

    applicable: Applicable
    zones: tuple[str, ...]
    """Where they may be, or are taken to be; empty: unknown."""
    windows: Together
    says: Mapping[ZonedWindow, Sequence[str]]
    """Whose each of the windows is: the campaign's, a state's, a country's."""
    voice_blocked: str | None
    consent_needs: tuple[ConsentNeed, ...]
    caps: tuple[Cap, ...]


def terms_of(definition: CampaignDefinition) -> Terms:
    """The terms of a campaign."""
    fallback = definition.fallback
    return Terms(
        window=definition.windows,
        days=_days(definition.closed_on, read_dates(definition.blackout)),
        purpose=definition.purpose,
        fallback_zones=fallback.zones if fallback else (),
        fallback_country=fallback.country if fallback else None,
    )


@lru_cache(maxsize=_PROSPECT_PLACES)
def place(terms: Terms, book: Rulebook, country: str | None, states: tuple[str, ...], zones: tuple[str, ...]) -> Place:
    """What applies to people who may be in any of these states and on any of these clocks."""
    rules = book.applicable(country or terms.fallback_country, states)
    zones = zones or terms.fallback_zones
    says: dict[ZonedWindow, list[str]] = {}
    if terms.window is not None:
        says = {ZonedWindow(terms.window, zone_named(zone), terms.days): ["the campaign"] for zone in zones}
    for window, names in named_windows(rules, zones).items():
        says.setdefault(window, []).extend(names)
    blocked = (row.code for row in rules.jurisdictions if row.artificial_voice_blocked and terms.purpose == "sales")
    needs = (ConsentNeed(row.consent_for(terms.purpose), row.code, row.consent_valid) for row in rules.jurisdictions)
    return Place(
        applicable=rules,
        zones=zones,
        windows=Together(says),
        says=says,
        voice_blocked=next(blocked, None),
        consent_needs=tuple(need for need in needs if need.level != "none"),
        caps=tuple(
            Cap(cap.calls, cap.period, row.code, cap.counts, cap.after)
            for row in rules.jurisdictions
            for cap in row.caps
        ),
    )


def _days(calendars: tuple[str, ...], blackout: frozenset[date]) -> Dates | None:
    """The holidays of these calendars and the blackout. Of a country whose regions have their own, all of theirs."""
    if not calendars and not blackout:
        return None
    rows = {code: lookup(code) for code in calendars}
    kept = (
        HolidayHours(code, regions=None if row is not None and row.holidays.regional else frozenset())
        for code, row in rows.items()
    )
    return Dates(tuple(kept), blackout)
