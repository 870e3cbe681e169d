"""The same people in any format: each row is accounted for, and the format changes nobody."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from sqlalchemy.orm import Session

from campaigns.models import Campaign
from tests import factories
from tests.pipeline.lists import bring, people

HEADER = ("phone", "name", "external id", "zone", "priority", "note")
# Letters, signs that separate cells, quotation marks, line breaks, and what Postgres or COPY reads specially.
TEXT = st.text(st.sampled_from("aä9;,|\t\"'\\N.\n\r\u2028𝄞 {}"), max_size=8)
CELLS = (
    st.sampled_from(["+12125550101", "2125550102", "+12125550103 x5", "2125550103", "+376712345", "4.41E+11", "0", ""]),
    TEXT,
    st.sampled_from(["", "1", "2", "\\N"]),
    st.sampled_from(["", "America/Denver", "Mars/Base"]),
    st.sampled_from(["", "5", "many"]),
    TEXT,
)
Rows = Sequence[Sequence[str]]


def as_csv(rows: Rows, **form: Any) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, **form).writerows([HEADER, *rows])
    return written.getvalue()


def as_xlsx(rows: Rows) -> bytes:
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (HEADER, *rows):
        sheet.append([ILLEGAL_CHARACTERS_RE.sub("", cell) for cell in row])
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def as_jsonl(rows: Rows) -> bytes:
    return "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in rows).encode()


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "semicolons, everything quoted": lambda rows: as_csv(rows, delimiter=";", quoting=csv.QUOTE_ALL).encode(),
    "tabs in UTF-16": lambda rows: as_csv(rows, dialect="excel-tab").encode("utf-16"),
    "byte order mark": lambda rows: as_csv(rows).encode("utf-8-sig"),
    "gzip": lambda rows: gzip.compress(as_csv(rows).encode()),
    "xlsx": as_xlsx,
    "jsonl": as_jsonl,
}


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*CELLS), min_size=1, max_size=8))
def test_each_row_is_accounted_for_and_the_format_changes_nobody(
    session: Session, campaign: Campaign, now: datetime, form: str, rows: list[tuple[str, ...]]
) -> None:
    # A row without anything is a blank line to each format; here each row is somebody, or rejected.
    rows = [(phone or "12", *rest) for phone, *rest in rows]
    if form == "xlsx":  # XML has one sort of line break
        rows = [tuple(cell.replace("\r", "\n") for cell in row) for row in rows]
    found = []
    for content in (as_csv(rows).encode(), FORMATS[form](rows)):
        with session.begin_nested() as example:
            report, rejected = bring(session, campaign, content, now)
            there = {
                number: (who.name, who.external_id, who.zones, who.priority, who.variables)
                for number, who in people(session, campaign).items()
            }
            found.append((report, [(row["phone"], row["rejected_reason"]) for row in rejected], there))
            example.rollback()
    assert found[0] == found[1]
    assert found[0][0].rows == len(rows)
