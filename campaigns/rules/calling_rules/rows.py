"""What law and codes say about calling people of a place: a row of `data/united_states.toml` or `countries.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, cast, get_args
from zoneinfo import ZoneInfo

from campaigns.errors import InvalidDefinition, OutboundError
from campaigns.rules.calling_rules.calendars import regions_among
from campaigns.rules.calling_rules.special_days import Dates, HolidayHours
from campaigns.rules.consent import ConsentLevel, Purpose
from campaigns.rules.dates import read_dates
from campaigns.rules.windows import CallingWindow, Interval, parse_hours, zone_named

Basis = Literal["statute", "recommended", "operator", "none"]
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
    closed: frozenset[date] = frozenset()
    """Dates without calls, whatever the calendar says."""
    open: frozenset[date] = frozenset()
    """Dates that are as other days, whatever the calendar says."""
    note: str = ""

    @property
    def left(self) -> tuple[Interval, ...]:
        """The hours that remain on a holiday. `discouraged` closes as `banned` does, `restricted` without hours too."""
        return (self.hours or ()) if self.policy == "restricted" else ()

    def dates(self, states: Collection[str]) -> Dates | None:
        """What remains of the hours on which dates, for somebody in one of these states; None: nothing is special.

        Of regional holidays those of the person's own regions are kept, as far as any is known; else those of all: a
        day that is no holiday where the person lives is only a call later, the other mistake is a call on a holiday.
        """
        if self.policy == "allowed" or self.calendar is None:
            return Dates((), self.closed, self.open) if self.closed else None
        regions = regions_among(self.calendar, states) if self.regional and states else None
        kept = HolidayHours(
            calendar=self.calendar,
            regions=regions if self.regional else frozenset(),
            hours=self.left,
            eve_hours=self.eve_hours,
        )
        return Dates((kept,), self.closed, self.open)


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
    """Whether `window` comes from a rule, statute or code (see `force`), is only recommended, or an operator's own."""
    zone: ZoneInfo | None
    """A zone in which the rule states its hours: it binds besides the person's own."""
    consent: ConsentLevel
    """What a sales call by artificial voice needs beforehand."""
    consent_otherwise: ConsentLevel
    """What a call by artificial voice for another purpose needs."""
    consent_valid: timedelta | None
    """How long consent lasts; None: until it is withdrawn."""
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

    def consent_for(self, purpose: Purpose) -> ConsentLevel:
        """What a call for this purpose needs beforehand."""
        return self.consent if purpose == "sales" else self.consent_otherwise


# --- loading ---------------------------------------------------------------------------------------------------------

_FILES: Final = ("united_states.toml", "countries.toml")
_KEYS: Final = frozenset(
    {"name", "parent", "force", "hours", "automated", "recommended", "zone", "artificial_voice"}
    | {"consent", "consent_otherwise", "consent_valid_days"}
    | {"area_code_presumes_residence", "holidays", "caps", "verification", "effective", "citations", "sources", "note"}
)


def shipped() -> Mapping[str, Jurisdiction]:
    """The rows that come with this version, by their codes."""
    return _rows()


def shipped_row(code: str) -> Mapping[str, Any]:
    """A row as its file has it; empty where it is not listed."""
    return _files().get(code, {})


@cache
def _rows() -> Mapping[str, Jurisdiction]:
    rows = {code: read_row(code, row) for code, row in _files().items()}
    for row in rows.values():
        if row.parent is not None and row.parent not in rows:
            raise InvalidDefinition(f"calling rules {row.code}: parent {row.parent} is not listed")
    return rows


@cache
def _files() -> Mapping[str, Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {}
    for file in _FILES:
        text = (resources.files("campaigns.rules") / "data" / file).read_text(encoding="utf-8")
        for code, row in tomllib.loads(text).items():
            if code in rows:
                raise InvalidDefinition(f"calling rules {code}: listed twice")
            rows[code] = row
    return rows


def read_row(
    code: str,
    row: Mapping[str, Any],
    *,
    own_hours: bool = False,
    closed: Iterable[str] = (),
    opened: Iterable[str] = (),
) -> Jurisdiction:
    """One row, checked: a row that cannot be read must stop the product, not open a window.

    `own_hours`, and the dates that are `closed` and `opened`, are what an operator made of it.
    """
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
            basis="operator" if own_hours else "statute" if own else "recommended" if window else "none",
            zone=zone_named(row["zone"]) if "zone" in row else None,
            consent=cast("ConsentLevel", _one_of(ConsentLevel, row["consent"])),
            consent_otherwise=cast("ConsentLevel", _one_of(ConsentLevel, row.get("consent_otherwise", row["consent"]))),
            consent_valid=_days(row.get("consent_valid_days")),
            artificial_voice_blocked=voice == "blocked",
            area_code_presumes_residence=row.get("area_code_presumes_residence", False),
            holidays=_holidays(row.get("holidays", {"policy": "allowed"}), closed, opened),
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


def _holidays(given: Mapping[str, Any], closed: Iterable[str], opened: Iterable[str]) -> Holidays:
    _only(given, frozenset({"policy", "calendar", "regional", "hours", "eve_hours", "note"}))
    policy = cast("HolidayPolicy", _one_of(HolidayPolicy, given["policy"]))
    if policy != "allowed" and "calendar" not in given:
        raise InvalidDefinition(f"holidays are {policy}, but there is no calendar")
    return Holidays(
        policy=policy,
        calendar=given.get("calendar"),
        regional=given.get("regional", False),
        hours=_hours_of_a_day(given["hours"]) if "hours" in given else None,
        eve_hours=_hours_of_a_day(given["eve_hours"]) if "eve_hours" in given else None,
        closed=read_dates(closed),
        open=read_dates(opened),
        note=given.get("note", ""),
    )


def _hours_of_a_day(text: str) -> tuple[Interval, ...]:
    hours = parse_hours(text)
    if any(start >= end for start, end in hours):
        raise InvalidDefinition(f"hours {text!r} of a holiday end by midnight: the next day has hours of its own")
    return hours


def _days(given: object) -> timedelta | None:
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InvalidDefinition(f"consent_valid_days {given!r} is not a number of days")
    return timedelta(days=given)


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
