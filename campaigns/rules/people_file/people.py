"""From a row to somebody to call, or to why not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from campaigns.errors import InvalidInput
from campaigns.rules.address import NOWHERE, Address, locate
from campaigns.rules.consent import ConsentLevel
from campaigns.rules.people_file.columns import Columns, Role
from campaigns.rules.people_file.json_values import UnusableJson, read_json, stored
from campaigns.rules.people_file.rows import Row, as_text
from campaigns.rules.phone import InvalidPhone, PhoneNumber, Places, parse_and_place

LONGEST_TEXT: Final = 200  # characters of a name, an id or a source: what is longer is in the wrong column
LONGEST_PROOF: Final = 500
PRIORITIES: Final = range(-100, 101)
YEARS: Final = range(1970, 2200)  # of a moment: a year outside is a slip, and some the database cannot hold

_ZONES: Final = {name.casefold(): name for name in available_timezones() if "/" in name and not name.startswith("Etc/")}
"""Zones of places. EST and its like are the same all year round, which no clock on a wall there is."""
_ALIASES: Final = {"UK": "GB", "USA": "US"}
_EXTENSION: Final = re.compile("[0-9]{1,10}")
_PRIORITY: Final = re.compile("[+-]?[0-9]{1,3}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_EMPTY: Final = (None, "")
_NO: Final = frozenset({"no", "false", "0", "n", "none", "nein", "non"})
_ADDRESS: Final = frozenset({Role.REGION, Role.POSTAL_CODE})
_CONSENT: Final = frozenset(
    {Role.CONSENT_SOURCE, Role.CONSENT_AT, Role.CONSENT_PROOF, Role.CONSENT_LEVEL, Role.CONSENT_EXPIRES}
)
_LEVELS: Final[Mapping[str, ConsentLevel]] = {
    "written": "written",
    "express written": "written",
    "prior express written": "written",
    "signed": "written",
    "express": "express",
    "prior express": "express",
    "oral": "express",
    "verbal": "express",
}
_WISHES: Final = _CONSENT | {Role.LANGUAGE, Role.PRIORITY, Role.NOT_BEFORE, Role.OVERRIDES}
_NEIGHBOURS: Final = ("US", "CA")  # no state of the one is called as one of the other, by code or name
_NO_COUNTRY: Final = "is not a two-letter country code such as US or DE"
_NO_MOMENT: Final = "is not a moment such as 2026-03-02 or 2026-03-02T09:30"


class Candidate(NamedTuple):
    """Somebody to call, as far as the row tells."""

    line: int
    number: str
    kind: str
    extension: str
    country: str | None
    states: frozenset[str]
    zones: frozenset[str]
    name: str | None
    external_id: str | None
    variables: Mapping[str, Any]
    row: Row
    language: str | None = None
    priority: int = 0
    not_before: datetime | None = None
    consent: OwnConsent | None = None
    overrides: Mapping[str, Any] | None = None


class OwnConsent(NamedTuple):
    """What the row brought of the person's own consent."""

    source: str
    obtained_at: datetime | None
    proof: str | None
    level: ConsentLevel | None = None
    """None: what the campaign declares; none: the row says that there is no consent."""
    expires_at: datetime | None = None


class Rejection(NamedTuple):
    """A row that cannot be used, and why."""

    row: Row
    column: str | None
    value: str | None
    reason: str

    def sentence(self) -> str:
        """What is wrong, in words that need no row beside them."""
        return sentence(self.column, self.reason)


def sentence(column: str | None, reason: str) -> str:
    """What is wrong with a column of a row."""
    return reason if column is None else f"{column}: {reason}"


class _Unusable(Exception):
    def __init__(self, role: Role | int, reason: str) -> None:
        super().__init__(reason)
        self.where = role
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reader:
    """What turns the rows of one list into people."""

    columns: Columns
    default_region: str | None
    required: Mapping[str, int] = field(default_factory=dict)
    """Variables that no row may lack → their columns."""
    overridable: frozenset[str] = frozenset()
    """What of an assistant a row may override."""

    def read(self, row: Row) -> Candidate | Rejection:
        """The person in the row, or why there is none."""
        if row.problem is not None:
            return Rejection(row, None, row.text, row.problem)
        try:
            return self._candidate(row)
        except _Unusable as problem:
            return self.reject(row, problem.where, problem.reason)

    def reject(self, row: Row, where: Role | int, reason: str) -> Rejection:
        """The row as one that cannot be used for what one of its cells says."""
        place = where if isinstance(where, int) else self.columns.roles[where]
        return Rejection(row, self.columns.header[place], as_text(row.cells[place]), reason)

    def _candidate(self, row: Row) -> Candidate:
        cells = row.cells
        said: dict[Role, str] = {}
        for role, place in self.columns.roles.items():
            cell = cells[place]
            text = cell if isinstance(cell, str) else as_text(cell)
            if text:
                said[role] = text
        number, where = self._number(said)
        country, states, zones = where.country, where.states, where.zones
        if not _ADDRESS.isdisjoint(said):
            country, address = _address(said, country)
            states, zones = states | address.states, address.zones or zones
        if Role.ZONE in said:
            zone = _ZONES.get(said[Role.ZONE].casefold())
            if zone is None:
                raise _Unusable(Role.ZONE, "is not the time zone of a place, such as America/New_York")
            zones = frozenset({zone})
        for variable, place in self.required.items():
            if cells[place] in _EMPTY:
                why = f"is empty, but the assistant says {{{{{variable}}}}}: fill it in, or give it in [variables]"
                raise _Unusable(place, why)
        who = Candidate(
            row.line,
            number.e164,
            number.kind,
            number.extension,
            country,
            states,
            zones,
            _short(said, Role.NAME),
            _short(said, Role.EXTERNAL_ID),
            {name: cells[place] for name, place in self.columns.variables.items() if cells[place] not in _EMPTY},
            row,
        )
        if _WISHES.isdisjoint(said):
            return who
        return who._replace(
            language=_language(said),
            priority=_priority(said),
            not_before=_not_before(said, zones),
            consent=None if _CONSENT.isdisjoint(said) else _consent(said),
            overrides=self._overrides(cells),
        )

    def _number(self, said: dict[Role, str]) -> tuple[PhoneNumber, Places]:
        country = said.get(Role.COUNTRY)
        if country is not None and country.upper() in _ALIASES:
            country = said[Role.COUNTRY] = _ALIASES[country.upper()]
        extension = said.get(Role.EXTENSION)
        if extension is not None and not _EXTENSION.fullmatch(extension):
            raise _Unusable(Role.EXTENSION, "is not an extension of up to 10 digits")
        if country is not None and not (len(country) == 2 and country.isascii() and country.isalpha()):
            raise _Unusable(Role.COUNTRY, _NO_COUNTRY)
        try:
            number, where = parse_and_place(said.get(Role.PHONE, ""), default_region=country or self.default_region)
        except InvalidPhone as problem:
            raise _Unusable(Role.PHONE, str(problem)) from None
        except InvalidInput:
            raise _Unusable(Role.COUNTRY, _NO_COUNTRY) from None
        if extension is not None:
            number = number._replace(extension=extension)
        if where.country is None and country is not None:
            where = replace(where, country=country.upper())  # a toll-free number lives nowhere; the row knows better
        return number, where

    def _overrides(self, cells: Sequence[Any]) -> Mapping[str, Any] | None:
        place = self.columns.roles.get(Role.OVERRIDES)
        if place is None or cells[place] in _EMPTY:
            return None
        try:
            found = stored(read_json(cells[place])) if isinstance(cells[place], str) else cells[place]
        except UnusableJson as problem:
            raise _Unusable(Role.OVERRIDES, str(problem)) from None
        if not isinstance(found, dict):
            raise _Unusable(Role.OVERRIDES, "is not a JSON object of assistant overrides")
        foreign = sorted(found.keys() - self.overridable)
        if foreign:
            raise _Unusable(Role.OVERRIDES, f"{foreign[0]!r} cannot be overridden by a row")
        return found


def _address(said: Mapping[Role, str], country_of_number: str | None) -> tuple[str | None, Address]:
    """The country of the row's address, and what the address tells. People move, and keep their numbers."""
    region, postal_code = said.get(Role.REGION), said.get(Role.POSTAL_CODE)
    country = said.get(Role.COUNTRY, "").upper() or country_of_number
    candidates = [country]
    if Role.COUNTRY not in said and country in _NEIGHBOURS:
        candidates += (each for each in _NEIGHBOURS if each != country)
    found = [(each, locate(each, region, postal_code)) for each in candidates]
    if all(address is None for _, address in found):
        where = " or ".join(each or "" for each in candidates)
        raise _Unusable(Role.REGION, f"is no state of {where}: write its name or code, such as TX")
    told = ((each, address) for each, address in found if address is not None and address.states)
    return next(told, (country_of_number, NOWHERE))


def _short(said: Mapping[Role, str], role: Role) -> str | None:
    text = said.get(role)
    if text is not None and len(text) > LONGEST_TEXT:
        raise _Unusable(role, f"is longer than {LONGEST_TEXT} characters: is it in the right column?")
    return text


def _language(said: Mapping[Role, str]) -> str | None:
    text = said.get(Role.LANGUAGE)
    if text is not None and not _LANGUAGE.fullmatch(text):
        raise _Unusable(Role.LANGUAGE, "is not a language such as en or pt-BR")
    return text and text.replace("_", "-")


def _priority(said: Mapping[Role, str]) -> int:
    text = said.get(Role.PRIORITY)
    if text is None:
        return 0
    if not _PRIORITY.fullmatch(text) or int(text) not in PRIORITIES:
        raise _Unusable(Role.PRIORITY, "is not a whole number from -100 to 100: the higher, the sooner")
    return int(text)


def _not_before(said: Mapping[Role, str], zones: frozenset[str]) -> datetime | None:
    moment = _moment(said, Role.NOT_BEFORE)
    if moment is None or moment.tzinfo is not None:
        return moment and _in_utc(moment, Role.NOT_BEFORE)
    # By the person's own clock; of several that it may be, the latest. In autumn a clock shows an hour twice.
    return max(
        _in_utc(moment.replace(tzinfo=ZoneInfo(zone), fold=fold), Role.NOT_BEFORE)
        for zone in zones or ("UTC",)
        for fold in (0, 1)
    )


def _consent(said: Mapping[Role, str]) -> OwnConsent:
    source, proof = _short(said, Role.CONSENT_SOURCE), said.get(Role.CONSENT_PROOF)
    level = _consent_level(said)
    obtained_at, expires_at = (_moment_in_utc(said, role) for role in (Role.CONSENT_AT, Role.CONSENT_EXPIRES))
    if source is not None and source.lower() in _NO:
        source, level = None, "none"
    return OwnConsent(source or "the list", obtained_at, proof and proof[:LONGEST_PROOF], level, expires_at)


def _consent_level(said: Mapping[Role, str]) -> ConsentLevel | None:
    text = said.get(Role.CONSENT_LEVEL)
    if text is None:
        return None
    word = " ".join(text.lower().replace("_", " ").replace("-", " ").removesuffix("consent").split())
    if word in _NO:
        return "none"
    if word not in _LEVELS:
        raise _Unusable(Role.CONSENT_LEVEL, "is not a level of consent: write express, written or none")
    return _LEVELS[word]


def _moment_in_utc(said: Mapping[Role, str], role: Role) -> datetime | None:
    moment = _moment(said, role)
    if moment is None:
        return None
    return _in_utc(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC), role)


def _moment(said: Mapping[Role, str], role: Role) -> datetime | None:
    text = said.get(role)
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise _Unusable(role, _NO_MOMENT) from None


def _in_utc(moment: datetime, role: Role) -> datetime:
    """The same moment; the database knows fewer offsets than ISO 8601 can write."""
    found = moment.astimezone(UTC) if moment.year in YEARS else moment
    if found.year not in YEARS:
        raise _Unusable(role, _NO_MOMENT)
    return found


class Lot(NamedTuple):
    """Rows of a list that were read together, each person once."""

    rows: int
    people: Sequence[Candidate]
    rejections: Sequence[Rejection]
    repeated: Sequence[Candidate]
    """Those whom an earlier row of the lot brought."""


def read_lot(reader: Reader, rows: Sequence[Row]) -> Lot:
    """The people in these rows, and the rows that hold none."""
    people: dict[tuple[str, str], Candidate] = {}
    owners: dict[str, Candidate] = {}
    rejections: list[Rejection] = []
    repeated: list[Candidate] = []
    for row in rows:
        found = reader.read(row)
        if isinstance(found, Rejection):
            rejections.append(found)
            continue
        key = (found.number, found.extension)
        if key in people:
            repeated.append(found)
        elif found.external_id is not None and owners.setdefault(found.external_id, found) is not found:
            rejections.append(reader.reject(row, Role.EXTERNAL_ID, "is the id of another number further up"))
        else:
            people[key] = found
    return Lot(len(rows), list(people.values()), rejections, repeated)
