"""What law and codes say about calling people of a place: `data/united_states.toml` and `data/countries.toml`.

Rules stack: a person in Texas is under the Texan row and the federal one, a person in France under the French row and
the European one. Where the place is unknown or unlisted there is a refusal with its reason, never a default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final, Literal, cast, get_args
from zoneinfo import ZoneInfo

from campaigns.errors import InvalidDefinition, OutboundError
from campaigns.rules.windows import CallingWindow, Interval, ZonedWindow, parse_hours, zone_named

Basis = Literal["statute", "recommended", "none"]
Consent = Literal["none", "express", "written"]
Force = Literal["law", "industry_code", "voluntary_code"]
HolidayPolicy = Literal["allowed", "discouraged", "restricted", "banned"]
Counts = Literal["all", "artificial_voice", "debt_collection", "without_consent"]
CapEvent = Literal["abandoned_call", "refusal", "hang_up"]
Verification = Literal["primary", "secondary", "unverified"]


@dataclass(frozen=True, slots=True)
class Holidays:
    """Whether people may be called on holidays, and by which calendar."""

    policy: HolidayPolicy = "allowed"
    calendar: str | None = None
    """ISO 3166 code, as holiday libraries use it. Their lists are not the legal ones: see `note`."""
    regional: bool = False
    """Regions add holidays of their own, which the country's calendar lacks."""
    hours: tuple[Interval, ...] | None = None
    """The hours that remain on a holiday, where the rule names them."""
    eve_hours: tuple[Interval, ...] | None = None
    """The hours that remain on the day before a holiday, where the rule names them."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class AttemptCap:
    """At most `calls` calls in any `period`; with `after`, in the period that follows that event."""

    calls: int
    period: timedelta | None
    """None is for good."""
    counts: Counts
    """To which calls the cap applies."""
    after: CapEvent | None
    scope: str


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """One row of the rules."""

    code: str
    """ISO 3166-1 or 3166-2, or EU."""
    name: str
    parent: str | None
    force: Force
    window: CallingWindow | None
    """What binds an artificial voice: the hours for automated calls, else the general ones, else the recommended."""
    basis: Basis
    """Whether `window` comes from a rule, statute or code (see `force`), or is only recommended."""
    zone: ZoneInfo | None
    """A zone in which the rule states its hours: it binds besides the person's own."""
    consent: Consent
    """What a sales call by artificial voice needs beforehand."""
    artificial_voice_blocked: bool
    """The row forbids, or may forbid, sales calls by artificial voice altogether."""
    area_code_presumes_residence: bool
    holidays: Holidays
    caps: tuple[AttemptCap, ...]
    verification: Verification
    effective: str
    citations: tuple[str, ...]
    sources: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Applicable:
    """The rows that bind a call to one person."""

    jurisdictions: tuple[Jurisdiction, ...]
    federal_only: bool
    """In the United States, but in no state whose own rules are listed. That does not prove that it has none."""
    refusal: str | None
    """Why nobody may be called there; None where calls are possible."""


def lookup(code: str) -> Jurisdiction | None:
    """The row of one code; None where it is not listed."""
    return _rows().get(code)


def applicable(country: str | None, states: Collection[str]) -> Applicable:
    """Every row that binds a person in `country` who may be in any of `states`, countries before their states."""
    return _applicable(country, frozenset(states))


def zoned_windows(applicable: Applicable, zones: Collection[str]) -> tuple[ZonedWindow, ...]:
    """Every hour rule in every zone where the person may be. Empty, which is never open, where either is unknown.

    A recommended window stands in where there is no rule, so it yields to a member's own rule. InvalidInput for a zone
    that does not exist.
    """
    if applicable.refusal is not None:
        return ()
    return _zoned_windows(applicable.jurisdictions, frozenset(zones))


@lru_cache(maxsize=1024)  # some hundred combinations of states occur; each is asked for once per person
def _applicable(country: str | None, states: frozenset[str]) -> Applicable:
    def refused(reason: str) -> Applicable:
        return Applicable(jurisdictions=(), federal_only=False, refusal=reason)

    if country is None:
        return refused("unknown country")
    rows: dict[str, Jurisdiction] = {}
    for code in (country, *sorted(states)):
        found = list(_with_parents(code))
        if not found:
            return refused(f"unlisted country {code.partition('-')[0]}: no calling rules are known")
        if all(row.window is None for row in found):
            return refused(f"no window known for {code}")
        rows.update((row.code, row) for row in found)
    in_order = tuple(sorted(rows.values(), key=lambda row: (row.parent is not None, row.code)))
    in_listed_state = any(row.parent == _FEDERAL for row in in_order)
    return Applicable(in_order, federal_only=_FEDERAL in rows and not in_listed_state, refusal=None)


def _with_parents(code: str) -> Iterator[Jurisdiction]:
    """The row of `code`, or of its country where the state is unlisted, and all above it."""
    row = lookup(code) or lookup(code.partition("-")[0])
    while row is not None:
        yield row
        row = lookup(row.parent) if row.parent else None


@lru_cache(maxsize=4096)  # the combinations above, times the sets of zones that numbers have
def _zoned_windows(rows: tuple[Jurisdiction, ...], zones: frozenset[str]) -> tuple[ZonedWindow, ...]:
    if not zones:
        return ()
    has_member_with_window = {row.parent for row in rows if row.window is not None}
    # A dictionary for its order without repetition: neighbouring states often share their hours.
    rules: dict[ZonedWindow, None] = {}
    for row in rows:
        if row.window is None or (row.basis == "recommended" and row.code in has_member_with_window):
            continue
        for zone in sorted(zones):
            rules[ZonedWindow(row.window, zone_named(zone))] = None
        if row.zone is not None:
            rules[ZonedWindow(row.window, row.zone)] = None
    return tuple(rules)


# --- loading ---------------------------------------------------------------------------------------------------------

_FEDERAL: Final = "US"
_FILES: Final = ("united_states.toml", "countries.toml")
_KEYS: Final = frozenset(
    {"name", "parent", "force", "hours", "automated", "recommended", "zone", "consent", "artificial_voice"}
    | {"area_code_presumes_residence", "holidays", "caps", "verification", "effective", "citations", "sources", "note"}
)


@cache
def _rows() -> Mapping[str, Jurisdiction]:
    rows: dict[str, Jurisdiction] = {}
    for file in _FILES:
        text = (resources.files("campaigns.rules") / "data" / file).read_text(encoding="utf-8")
        for code, row in tomllib.loads(text).items():
            if code in rows:
                raise InvalidDefinition(f"calling rules {code}: listed twice")
            rows[code] = _row(code, row)
    for row in rows.values():
        if row.parent is not None and row.parent not in rows:
            raise InvalidDefinition(f"calling rules {row.code}: parent {row.parent} is not listed")
    return rows


def _row(code: str, row: Mapping[str, Any]) -> Jurisdiction:
    """One row of the file, checked: a row that cannot be read must stop the product, not open a window."""
    try:
        _only(row, _KEYS)
        own = row.get("automated") or row.get("hours")
        window = own or row.get("recommended")
        voice = _one_of(Literal["allowed", "blocked"], row.get("artificial_voice", "allowed"))
        if not row["sources"]:
            raise InvalidDefinition("no sources")
        return Jurisdiction(
            code=code,
            name=row["name"],
            parent=row.get("parent"),
            force=cast("Force", _one_of(Force, row["force"])),
            window=CallingWindow.parse(window) if window else None,
            basis="statute" if own else "recommended" if window else "none",
            zone=zone_named(row["zone"]) if "zone" in row else None,
            consent=cast("Consent", _one_of(Consent, row["consent"])),
            artificial_voice_blocked=voice == "blocked",
            area_code_presumes_residence=row.get("area_code_presumes_residence", False),
            holidays=_holidays(row.get("holidays", {"policy": "allowed"})),
            caps=tuple(_cap(cap) for cap in row.get("caps", ())),
            verification=cast("Verification", _one_of(Verification, row["verification"])),
            effective=row.get("effective", ""),
            citations=tuple(row.get("citations", ())),
            sources=tuple(row["sources"]),
            note=row.get("note", ""),
        )
    except KeyError as missing:
        raise InvalidDefinition(f"calling rules {code}: {missing.args[0]} is missing") from None
    except OutboundError as wrong:
        raise InvalidDefinition(f"calling rules {code}: {wrong}") from wrong


def _holidays(given: Mapping[str, Any]) -> Holidays:
    _only(given, frozenset({"policy", "calendar", "regional", "hours", "eve_hours", "note"}))
    policy = cast("HolidayPolicy", _one_of(HolidayPolicy, given["policy"]))
    if policy != "allowed" and "calendar" not in given:
        raise InvalidDefinition(f"holidays are {policy}, but there is no calendar")
    return Holidays(
        policy=policy,
        calendar=given.get("calendar"),
        regional=given.get("regional", False),
        hours=parse_hours(given["hours"]) if "hours" in given else None,
        eve_hours=parse_hours(given["eve_hours"]) if "eve_hours" in given else None,
        note=given.get("note", ""),
    )


def _cap(given: Mapping[str, Any]) -> AttemptCap:
    _only(given, frozenset({"calls", "hours", "days", "counts", "after", "scope"}))
    after = _one_of(CapEvent, given["after"]) if "after" in given else None
    period = timedelta(hours=given.get("hours", 0), days=given.get("days", 0)) or None
    if period is None and after is None:
        raise InvalidDefinition("a cap without an event needs hours or days")
    if given["calls"] < 1 and after is None:
        raise InvalidDefinition("a cap without an event permits at least one call")
    return AttemptCap(
        calls=given["calls"],
        period=period,
        counts=cast("Counts", _one_of(Counts, given["counts"])),
        after=cast("CapEvent | None", after),
        scope=given.get("scope", ""),
    )


def _only(given: Mapping[str, Any], allowed: frozenset[str]) -> None:
    strange = sorted(set(given) - allowed)
    if strange:
        raise InvalidDefinition(f"unknown key {strange[0]}; allowed are {', '.join(sorted(allowed))}")


def _one_of(choices: object, value: object) -> str:
    allowed = get_args(choices)
    if value not in allowed:
        raise InvalidDefinition(f"{value!r} is not one of {', '.join(allowed)}")
    return str(value)
