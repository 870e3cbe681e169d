"""What an operator makes of the rules by a file: stricter freely, looser only with the reason, which is kept.

A row of the file holds what shall be other than it is shipped. Whether that is looser is found by comparing the two
rows, minute for minute; the operator's word is not asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Final

import orjson
from phonenumbers import SUPPORTED_REGIONS

from campaigns.errors import InvalidDefinition
from campaigns.rules.calling_rules.book import SHIPPED, Rulebook
from campaigns.rules.calling_rules.calendars import is_calendar
from campaigns.rules.calling_rules.rows import AttemptCap, Holidays, Jurisdiction, read_row, shipped_row
from campaigns.rules.consent import is_lower
from campaigns.rules.windows import Interval, describe_hours, overlap

_CODE: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_ABOUT_THE_ROW: Final = frozenset(
    {"hours", "zone", "consent", "consent_otherwise", "consent_valid_days"}
    | {"artificial_voice", "holidays", "caps", "note"}
)
_OF_THE_OPERATOR: Final = frozenset({"closed", "open", "why"})
_OF_A_NEW_ROW: Final = frozenset({"name", "parent", "sources"})
LONGEST_WHY: Final = 2000


def read_overrides(values: Mapping[str, Any], *, source: str) -> dict[str, dict[str, Any]]:
    """Code → row, as they are stored. Raises `InvalidDefinition` that names the file, the row and what is wrong."""
    if not values:
        raise InvalidDefinition(f"{source}: holds no rows: write a section for each place, such as [US-TX]")
    found = {}
    for code, row in values.items():
        where = f"{source}: {code}"
        if not _CODE.fullmatch(code) or not isinstance(row, Mapping):
            raise InvalidDefinition(f"{where}: write a section whose name is a country or state, such as [US-TX]")
        country = code.partition("-")[0]
        if country not in SUPPORTED_REGIONS and country != "EU":
            hint = ": the United Kingdom is GB" if country == "UK" else ""
            raise InvalidDefinition(f"{where}: no country has the code {country}{hint}")
        try:
            stored = _plain(row)
            _refuse_strange(code, stored)
            made = overridden(code, stored)
            _require_calendar(made.holidays.calendar)
        except InvalidDefinition as wrong:
            raise InvalidDefinition(f"{where}: {wrong}") from wrong
        except (TypeError, ValueError, AttributeError) as wrong:
            raise InvalidDefinition(f"{where}: a value is not of its kind: {wrong}") from wrong
        if (in_what := looser(made)) and not stored.get("why"):
            raise InvalidDefinition(
                f'{where}: {in_what[0]}: that is looser than the rule, so add why = "..." with the reason; it is kept'
            )
        found[code] = stored
    return found


def overridden(code: str, own: Mapping[str, Any]) -> Jurisdiction:
    """The shipped row with what the operator's says in its place; a row of its own where none is shipped."""
    base: dict[str, Any] = dict(shipped_row(code))
    if not base:
        base = {"name": code, "force": "law", "verification": "unverified", "sources": ["the operator"]}
        if "-" in code:
            base |= {"parent": code.partition("-")[0], "consent": "none"}
    row = base | {key: value for key, value in own.items() if key not in _OF_THE_OPERATOR}
    if "holidays" in own:
        row["holidays"] = {**base.get("holidays", {}), **own["holidays"]}
    if "hours" in own:
        row.pop("automated", None)
        row.pop("recommended", None)
    return read_row(code, row, own_hours="hours" in own, closed=own.get("closed", ()), opened=own.get("open", ()))


def looser(row: Jurisdiction) -> list[str]:
    """In what the row permits more than the one that is shipped; nothing where it only forbids more."""
    before = SHIPPED.lookup(row.code)
    if before is None:
        known = "-" in row.code and SHIPPED.lookup(row.code.partition("-")[0]) is not None
        # Beside a country's row that of a state only takes away.
        return [] if known else ["the place is not listed, so that nobody is called there"]
    return list(_looser(before, row))


@lru_cache(maxsize=16)
def rulebook(stored: str | None) -> Rulebook:
    """The rules with an operator's rows, given as JSON from code to row; the same one for the same text."""
    if not stored:
        return SHIPPED
    return Rulebook({code: overridden(code, row) for code, row in orjson.loads(stored).items()})


def _looser(before: Jurisdiction, after: Jurisdiction) -> Iterator[str]:
    if after.window is not None and before.window is None:
        yield f"hours {after.window.describe()} where none are known"
    elif after.window is not None and before.window is not None:
        days = zip(after.window.days, before.window.days, strict=True)
        if any(not _within(hours, allowed) for hours, allowed in days):
            yield f"hours {after.window.describe()} go beyond {before.window.describe()}"
    if before.zone is not None and after.zone != before.zone:
        yield f"the hours are by the clocks of {before.zone.key}, too"
    for less, more, what in (
        (after.consent, before.consent, "consent"),
        (after.consent_otherwise, before.consent_otherwise, "consent_otherwise"),
    ):
        if is_lower(less, more):
            yield f"{what} {less} is less than {more}"
    if before.consent_valid is not None and (after.consent_valid is None or after.consent_valid > before.consent_valid):
        yield f"consent lasts longer than {before.consent_valid.days} days"
    if before.artificial_voice_blocked and not after.artificial_voice_blocked:
        yield "artificial voices are not blocked"
    yield from _looser_holidays(before.holidays, after.holidays)
    for cap in before.caps:
        if not any(_as_strict(own, cap) for own in after.caps):
            yield f"the cap of {cap.calls} calls is not there, or is higher"


def _looser_holidays(before: Holidays, after: Holidays) -> Iterator[str]:
    if before.policy == "allowed":
        return
    if after.policy == "allowed" or not _within(after.left, before.left):
        left = "all hours" if after.policy == "allowed" else describe_hours(after.left)
        yield f"holidays leave {left} and not {describe_hours(before.left)}"
    elif after.calendar != before.calendar or (before.regional and not after.regional):
        regions = " and its regions" if before.regional else ""
        yield f"holidays are not those of {before.calendar}{regions}"
    elif before.eve_hours is not None and (after.eve_hours is None or not _within(after.eve_hours, before.eve_hours)):
        yield f"the day before a holiday leaves more than {describe_hours(before.eve_hours)}"
    elif after.open:
        yield f"{min(after.open)} is open, whatever the calendar says"


def _within(hours: Collection[Interval], allowed: Collection[Interval]) -> bool:
    return overlap(hours, allowed) == tuple(hours)


def _as_strict(own: AttemptCap, cap: AttemptCap) -> bool:
    as_long = own.period is None or (cap.period is not None and own.period >= cap.period)
    return own.calls <= cap.calls and as_long and own.after == cap.after and own.counts in {cap.counts, "all"}


def _refuse_strange(code: str, row: Mapping[str, Any]) -> None:
    listed = bool(shipped_row(code))
    allowed = _ABOUT_THE_ROW | _OF_THE_OPERATOR | (frozenset() if listed else _OF_A_NEW_ROW)
    strange = sorted(row.keys() - allowed)
    if strange:
        raise InvalidDefinition(f"no such key {strange[0]!r}; allowed here: {', '.join(sorted(allowed))}")
    missing = [key for key in ("hours", "consent") if key not in row]
    if not listed and "-" not in code and missing:
        raise InvalidDefinition(f"the place is not listed: {missing[0]} must be given")
    if row.get("parent") not in {None, "EU"} or ("parent" in row and "-" in code):
        raise InvalidDefinition('parent may be "EU", for a country that is in it')
    for key in ("closed", "open"):
        if not isinstance(row.get(key, []), list):
            raise InvalidDefinition(f'{key}: write a list of dates in brackets, such as ["2026-06-19"]')
    why = row.get("why", "")
    if not isinstance(why, str) or ("why" in row and not why.strip()) or len(why) > LONGEST_WHY:
        raise InvalidDefinition(f"why: write the reason, in up to {LONGEST_WHY} characters")


def _require_calendar(code: str | None) -> None:
    if code is not None and not is_calendar(code):
        raise InvalidDefinition(f"there is no calendar {code!r}: use a code such as US, US-PA or DE-BY")


def _plain(value: Any) -> Any:
    """The values of a file as JSON has them: TOML has dates of its own."""
    match value:
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case date():
            return value.isoformat()
        case _:
            return value
