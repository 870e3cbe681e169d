"""People of a lot as the server takes them, made wherever the list is read: what is left is who they are and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from campaigns.rules.people_file.people import Candidate, Lot, OwnConsent, Rejection
from campaigns.rules.people_file.rows import Row

_ESCAPED: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL: Final = "\\N"


class Situation(NamedTuple):
    """What decides when somebody may be called, as far as the list tells."""

    country: str | None
    states: frozenset[str]
    zones: frozenset[str]
    not_before: datetime | None


class Prepared(NamedTuple):
    """Somebody to call."""

    number: str
    kind: str
    extension: str
    external_id: str | None
    situation: int
    """Which of the lot's."""
    consent: OwnConsent | None
    fields: str
    """`OWN_FIELDS`, as COPY takes them."""
    line: int
    cells: bytes
    """The row as JSON, for the few who must be looked at more closely."""

    def row(self) -> Row:
        """The row that said so."""
        return Row(self.line, orjson.loads(self.cells))


class PreparedLot(NamedTuple):
    """A lot of rows that were read, and nothing else that takes long."""

    rows: int
    people: Sequence[Prepared]
    situations: Sequence[Situation]
    rejections: Sequence[Rejection]
    repeated: Sequence[Prepared]
    """Those whom an earlier row of the lot brought."""


OWN_FIELDS: Final = "line, extension, name, external_id, language, priority, overrides, variables"


def prepare(lot: Lot) -> PreparedLot:
    """The lot's people, ready to be stored."""
    situations: dict[Situation, int] = {}
    people, repeated = ([_prepared(each, situations) for each in each_of] for each_of in (lot.people, lot.repeated))
    return PreparedLot(lot.rows, people, list(situations), lot.rejections, repeated)


def _prepared(who: Candidate, situations: dict[Situation, int]) -> Prepared:
    situation = Situation(who.country, who.states, who.zones, who.not_before)
    return Prepared(
        who.number,
        who.kind,
        who.extension,
        who.external_id,
        situations.setdefault(situation, len(situations)),
        who.consent,
        _fields(who),
        who.line,
        orjson.dumps(who.row.cells),
    )


def _fields(who: Candidate) -> str:
    return (
        f"{who.line}\t{who.extension}\t{as_copied(who.name)}\t{as_copied(who.external_id)}\t{as_copied(who.language)}\t"
        f"{who.priority}\t{_json(who.overrides)}\t{_json(who.variables)}"
    )


def as_copied(value: str | None) -> str:
    """A text as COPY takes it."""
    if value is None:
        return _NULL
    return value if value.isalnum() else value.translate(_ESCAPED)


def moment_as_copied(value: datetime | None) -> str:
    """A moment as COPY takes it."""
    return _NULL if value is None else value.isoformat()


def _json(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return _NULL
    return orjson.dumps(value).decode().replace("\\", "\\\\")  # JSON has no other character that COPY reads specially
