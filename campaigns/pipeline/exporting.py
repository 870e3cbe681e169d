"""One row for every prospect, those never reached included, streamed in a stable order of columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TextIO
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from campaigns.models import Call, Import, Outcome, Person, Prospect

CHUNK = 1_000  # rows fetched at once: constant memory, few round trips

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


def rows(session: Session, campaign_id: UUID) -> Iterator[dict[str, Any]]:
    """Every prospect of the campaign in the order of import, each with its latest call and that call's outcome."""
    latest = (
        select(Call.id, Call.claimed_at, Call.ended_reason)
        .where(Call.prospect_id == Prospect.id, Call.intent_at.is_not(None))
        .order_by(Call.claimed_at.desc(), Call.id)
        .limit(1)
        .lateral()
    )
    call = aliased(latest)
    query = (
        select(
            Person.number,
            Prospect,
            Import.source,
            call.c.id.label("last_call_id"),
            call.c.claimed_at,
            func.coalesce(Outcome.ended_reason, call.c.ended_reason).label("ended_reason"),
            Outcome,
        )
        .join(Person, Person.id == Prospect.person_id)
        .join(Import, Import.id == Prospect.import_id)
        .outerjoin(call, call.c.id.is_not(None))
        .outerjoin(Outcome, Outcome.call_id == call.c.id)
        .where(Prospect.campaign_id == campaign_id)
        .order_by(Prospect.id)
        .execution_options(yield_per=CHUNK)
    )
    for row in session.execute(query):
        prospect: Prospect = row.Prospect
        outcome: Outcome | None = row.Outcome
        yield {
            "phone": row.number,
            "extension": prospect.extension or None,
            "name": prospect.name,
            "external_id": prospect.external_id,
            "state": prospect.state,
            "reason": prospect.state_why,
            "outcome": outcome and outcome.outcome,
            "answered": outcome and outcome.answered,
            "attempts": prospect.attempts,
            "calls": prospect.calls,
            "last_call_id": row.last_call_id,
            "last_call_at": row.claimed_at,
            "ended_reason": row.ended_reason,
            "duration_seconds": outcome and outcome.duration_seconds,
            "cost_usd": outcome and outcome.cost,
            "summary": outcome and outcome.summary,
            "success": outcome and outcome.success,
            "recording": outcome and outcome.recording,
            "country": prospect.country,
            "zones": prospect.zones,
            "due_at": prospect.due_at,
            "source": row.source,
            "line": prospect.line,
            "variables": prospect.variables,
            "answers": outcome.structured if outcome is not None else {},
        }
        session.expunge(prospect)
        if outcome is not None:
            session.expunge(outcome)


def write_csv(records: Iterator[Mapping[str, Any]], file: TextIO) -> int:
    """Write CSV that no spreadsheet takes for formulas; returns how many rows."""
    written = 0
    out = csv.writer(file, lineterminator="\r\n")
    out.writerow(COLUMNS)
    for record in records:
        out.writerow([_cell(name, record[name]) for name in COLUMNS])
        written += 1
    return written


def write_jsonl(records: Iterator[Mapping[str, Any]], file: TextIO) -> int:
    """Write one JSON object on each line; returns how many."""
    written = 0
    for record in records:
        file.write(json.dumps({name: _plain(record[name]) for name in COLUMNS}, ensure_ascii=False) + "\n")
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
    else:
        text = str(_plain(value))
    return text if name == "phone" else harmless(text)


def harmless(text: str) -> str:
    """`text` as a cell that a spreadsheet shows instead of running: formulas begin with one of these characters."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
