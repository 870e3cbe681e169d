"""One row for every prospect, those never reached included, page by page in a stable order of columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TextIO
from uuid import UUID

from sqlalchemy import func, select, true
from sqlalchemy.orm import Session

from campaigns.models import Call, Import, Outcome, Person, Prospect

PAGE = 1_000  # rows to a page: constant memory, few round trips, some 20 ms to a transaction

COLUMNS = (
    "phone",
    "extension",
    "name",
    "external_id",
    "state",
    "reason",
    "outcome",
    "answered",
    "attempts",
    "calls",
    "last_call_id",
    "last_call_at",
    "ended_reason",
    "duration_seconds",
    "cost_usd",
    "summary",
    "success",
    "recording",
    "country",
    "zones",
    "due_at",
    "source",
    "line",
    "variables",
    "answers",
)
"""The columns of an export, in their order. New ones are only ever added at the end."""


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of an export."""

    rows: list[dict[str, Any]]
    last: int | None
    """From where to ask for the next page; None: this was the last one."""


def page(session: Session, campaign_id: UUID, *, after: int = 0, limit: int = PAGE) -> Page:
    """The next prospects of the campaign in the order of import, each with its latest call and that call's outcome.

    Read page by page, everybody is there exactly once, and no transaction waits for whoever reads the export.
    """
    # Limited before anything is joined, so that a page costs the same however many people there are.
    wanted = (
        select(*(getattr(Prospect, name) for name in _OF_THE_PROSPECT))
        .where(Prospect.campaign_id == campaign_id, Prospect.id > after)
        .order_by(Prospect.id)
        .limit(limit)
        .subquery()
    )
    # A request that proved not placed is no call: it must not hide the outcome of the one before.
    latest = (
        select(Call.id, Call.claimed_at, Call.ended_reason)
        .where(Call.prospect_id == wanted.c.id, Call.counted)
        .order_by(Call.claimed_at.desc(), Call.id)
        .limit(1)
        .lateral()
    )
    query = (
        select(
            *wanted.c,
            Person.number,
            Import.source,
            latest.c.id.label("last_call_id"),
            latest.c.claimed_at,
            func.coalesce(Outcome.ended_reason, latest.c.ended_reason).label("ended_reason"),
            *(getattr(Outcome, name) for name in _OF_THE_OUTCOME),
        )
        .select_from(wanted)
        .join(Person, Person.id == wanted.c.person_id)
        .join(Import, Import.id == wanted.c.import_id)
        .outerjoin(latest, true())
        .outerjoin(Outcome, Outcome.call_id == latest.c.id)
        .order_by(wanted.c.id)
    )
    found = session.execute(query).all()
    return Page([_record(row) for row in found], found[-1].id if len(found) == limit else None)


_OF_THE_PROSPECT = (
    *("id", "person_id", "import_id", "line", "extension", "name", "external_id", "country", "zones", "variables"),
    *("state", "state_why", "due_at", "attempts", "calls"),
)
_OF_THE_OUTCOME = ("outcome", "answered", "duration_seconds", "cost", "summary", "success", "recording", "structured")


def _record(row: Any) -> dict[str, Any]:
    return {
        "phone": row.number,
        "extension": row.extension or None,
        "name": row.name,
        "external_id": row.external_id,
        "state": row.state,
        "reason": row.state_why,
        "outcome": row.outcome,
        "answered": row.answered,
        "attempts": row.attempts,
        "calls": row.calls,
        "last_call_id": row.last_call_id,
        "last_call_at": row.claimed_at,
        "ended_reason": row.ended_reason,
        "duration_seconds": row.duration_seconds,
        "cost_usd": row.cost,
        "summary": row.summary,
        "success": row.success,
        "recording": row.recording,
        "country": row.country,
        "zones": row.zones,
        "due_at": row.due_at,
        "source": row.source,
        "line": row.line,
        "variables": row.variables,
        "answers": row.structured or {},
    }


def write_csv(records: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """Write CSV that no spreadsheet takes for formulas; returns how many rows."""
    written = 0
    out = csv.writer(file, lineterminator="\r\n")
    out.writerow(COLUMNS)
    for record in records:
        out.writerow([_cell(name, record[name]) for name in COLUMNS])
        written += 1
    return written


_LINE_ENDS = {ord(letter): f"\\u{ord(letter):04x}" for letter in "\x85\u2028\u2029"}
"""Characters that JSON leaves as they are and that some readers of lines take for the end of one."""


def write_jsonl(records: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """Write one JSON object on each line; returns how many."""
    written = 0
    for record in records:
        line = json.dumps({name: _plain(record[name]) for name in COLUMNS}, ensure_ascii=False)
        file.write(line.translate(_LINE_ENDS) + "\n")
        written += 1
    return written


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Decimal():
            return float(value)
        case UUID():
            return str(value)
        case _:
            return value


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False) if value else ""
    elif isinstance(value, list):
        text = " ".join(value)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, Decimal):
        text = f"{value:f}"  # never 1E-6
    else:
        text = str(_plain(value))
    return text if name == "phone" else harmless(text)


_RUNS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a cell begins with that a spreadsheet would run; the last four are = + - @ of full width."""


def harmless(text: str) -> str:
    """`text` as a cell that a spreadsheet shows instead of running."""
    return f"'{text}" if text[:1] in _RUNS else text
