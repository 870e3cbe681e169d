"""A list of people who are not to be called: a column of numbers and, where there is one, of reasons and of dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from campaigns.errors import InvalidInput
from campaigns.rules.definition import Mapping_
from campaigns.rules.people_file.columns import Role, choose, find
from campaigns.rules.people_file.people import YEARS, Reader, Rejection
from campaigns.rules.people_file.rows import Row, as_text

LONGEST_REASON: Final = 500  # characters; what is longer is kept as far as that
COLUMNS: Final[Mapping[str, str]] = {
    "phone": "",  # as in any list
    "country": "",
    "reason": "reason, why, grund, motif, motivo, suppression reason, opt out reason, comment, note, notes",
    "since": (
        "since, date, opted out at, opt out date, opted out, suppressed at, suppression date, date added, added at, "
        "created at, unsubscribed at, datum, fecha, data"
    ),
}
"""What a column may be, with the headings that are understood without being told."""


class Stop(NamedTuple):
    """A number that is not to be called."""

    number: str
    """E.164."""
    kind: str
    reason: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class StopReader:
    """What turns the rows of such a list into numbers."""

    reader: Reader
    places: Mapping[str, int]
    """Which column is what."""

    def read(self, row: Row) -> Stop | Rejection:
        """The number in the row, or why there is none. A date that cannot be read costs nobody their wish."""
        who = self.reader.read(row)
        if isinstance(who, Rejection):
            return who
        reason = self._cell(row, "reason")
        return Stop(who.number, who.kind, reason[:LONGEST_REASON] or None, _moment(self._cell(row, "since")))

    def _cell(self, row: Row, name: str) -> str:
        place = self.places.get(name)
        return "" if place is None else as_text(row.cells[place]).strip()


def choose_stops(
    header: Sequence[str], said: Mapping[str, str], *, sample: Sequence[Sequence[Any]], default_region: str | None
) -> StopReader:
    """The reader of a list with this header, whatever other columns it has.

    Raises `InvalidList` where a column that was named is not there, or the numbers are not found.
    """
    blank = dict.fromkeys(Role, "")
    mapping = Mapping_.model_validate(blank | {"phone": said.get("phone"), "country": said.get("country")})
    found = choose(header, mapping, sample=sample, default_region=default_region, with_variables=False)
    places = {str(role): place for role, place in found.roles.items()}
    for name in ("reason", "since"):
        place = find(header, COLUMNS[name], said.get(name), f"--column {name}")
        if place is not None and place not in places.values():
            places[name] = place
    return StopReader(Reader(found, default_region), places)


def columns_said(columns: Sequence[str]) -> dict[str, str]:
    """What was said of the columns as ROLE=HEADING. Raises `InvalidInput`."""
    said: dict[str, str] = {}
    for each in columns:
        name, equals, heading = each.partition("=")
        if not equals or name not in COLUMNS:
            raise InvalidInput(f"--column {each!r}: say ROLE=HEADING; a role is one of {', '.join(COLUMNS)}")
        said[name] = heading
    return said


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in YEARS else None
