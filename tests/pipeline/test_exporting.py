"""One row for everybody, in columns that stay, in cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from campaigns.models import Call, Campaign, Outcome, Person, Prospect
from campaigns.pipeline import exporting
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from tests import factories

PUBLISHED = [
    *("phone", "extension", "name", "external_id", "state", "reason", "outcome", "answered", "attempts", "calls"),
    *("last_call_id", "last_call_at", "ended_reason", "duration_seconds", "cost_usd", "summary", "success"),
    *("recording", "country", "zones", "due_at", "source", "line", "variables", "answers"),
]
"""What earlier exports had: whoever reads them by position must not be surprised."""


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


def ended(session: Session, prospect: Prospect, at: datetime, outcome: OutcomeClass, **facts: Any) -> Call:
    call = factories.call(session, prospect, at, state=CallState.ENDED, ended_at=at, ended_reason="from the call")
    values: dict[str, Any] = {"learned": "pushed", "complete": True, "created_at": at, "changed_at": at}
    place = {"call_id": call.id, "campaign_id": call.campaign_id, "prospect_id": prospect.id}
    session.add(Outcome(**(values | place | {"outcome": outcome} | facts)))
    session.flush()
    return call


def rows(session: Session, campaign: Campaign) -> list[dict[str, Any]]:
    return exporting.page(session, campaign.id).rows


def as_csv(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    out = io.StringIO(newline="")
    assert exporting.write_csv(records, out) == len(records)
    return list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def test_the_published_columns_stay_where_they_are(session: Session, campaign: Campaign, now: datetime) -> None:
    factories.prospect(session, campaign, now)
    assert list(exporting.COLUMNS[: len(PUBLISHED)]) == PUBLISHED
    (record,) = rows(session, campaign)
    assert list(record) == list(exporting.COLUMNS)
    out = io.StringIO(newline="")
    exporting.write_csv([], out)
    assert out.getvalue() == ",".join(exporting.COLUMNS) + "\r\n"


def test_everybody_of_the_campaign_is_in_it_and_nobody_else(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    for state in ProspectState:
        factories.prospect(session, campaign, now, state=state)
    other = factories.campaign(session, now, name="other")
    factories.prospect(session, other, now)
    assert [row["state"] for row in rows(session, campaign)] == list(ProspectState)


def test_the_latest_call_speaks_for_the_person(session: Session, campaign: Campaign, now: datetime) -> None:
    prospect = factories.prospect(session, campaign, now)
    ended(session, prospect, now - timedelta(hours=5), OutcomeClass.NO_ANSWER)
    latest = ended(
        session,
        prospect,
        now - timedelta(hours=1),
        OutcomeClass.COMPLETED,
        ended_reason="customer-ended-call",
        answered=True,
        duration_seconds=Decimal("61.25"),
        cost=Decimal("0.000001"),
        structured={"interested": True},
    )
    ended(session, prospect, now - timedelta(hours=3), OutcomeClass.BUSY)
    (record,) = rows(session, campaign)
    assert record["last_call_id"] == latest.id
    assert (record["outcome"], record["answered"]) == (OutcomeClass.COMPLETED, True)
    assert (record["ended_reason"], record["answers"]) == ("customer-ended-call", {"interested": True})
    (cells,) = as_csv([record])
    assert (cells["cost_usd"], cells["duration_seconds"], cells["answered"]) == ("0.000001", "61.250", "true")
    assert cells["last_call_id"] == str(latest.id)


def test_a_request_that_was_no_call_does_not_hide_the_call_before_it(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    prospect = factories.prospect(session, campaign, now)
    call = ended(session, prospect, now - timedelta(hours=1), OutcomeClass.VOICEMAIL)
    factories.call(session, prospect, now, state=CallState.NOT_PLACED, counted=False)
    (record,) = rows(session, campaign)
    assert (record["last_call_id"], record["outcome"]) == (call.id, OutcomeClass.VOICEMAIL)


def test_who_was_never_called_has_empty_cells(session: Session, campaign: Campaign, now: datetime) -> None:
    factories.prospect(session, campaign, now, state=ProspectState.HELD, state_why="no_rule: x", variables={})
    (cells,) = as_csv(rows(session, campaign))
    empty = {name for name, cell in cells.items() if not cell}
    assert {"outcome", "answered", "last_call_id", "last_call_at", "ended_reason", "cost_usd", "due_at"} <= empty
    assert {"variables", "answers", "summary"} <= empty
    assert (cells["attempts"], cells["reason"]) == ("0", "no_rule: x")


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"],
)
def test_no_cell_is_run_by_a_spreadsheet(session: Session, campaign: Campaign, now: datetime, text: str) -> None:
    prospect = factories.prospect(session, campaign, now, name=text, external_id=text, variables={"x": text})
    ended(session, prospect, now, OutcomeClass.COMPLETED, summary=text, structured={"y": text}, recording=text)
    (cells,) = as_csv(rows(session, campaign))
    for name in ("name", "external_id", "summary", "recording"):
        assert cells[name] == f"'{text}"
    assert json.loads(cells["variables"]) == {"x": text}
    assert cells["phone"].startswith("+1")  # digits alone: nothing to run, and still a number to import again
    assert not any(cell[0] in "=@-\t\r\n" for name, cell in cells.items() if cell and name != "phone")


def test_json_lines_keep_types_and_are_one_line_each(session: Session, campaign: Campaign, now: datetime) -> None:
    name = "Bö\u2028\u2029\x85\n=1"
    prospect = factories.prospect(session, campaign, now, name=name, variables={"n": 3, "t": "x"})
    call = ended(session, prospect, now, OutcomeClass.COMPLETED, answered=False, cost=Decimal("0.078100"))
    out = io.StringIO(newline="")
    assert exporting.write_jsonl(rows(session, campaign), out) == 1
    (line,) = out.getvalue().splitlines()
    assert "Bö" in line
    record = json.loads(line)
    assert list(record) == list(exporting.COLUMNS)
    assert record["name"] == name
    assert (record["attempts"], record["answered"], record["cost_usd"]) == (0, False, 0.0781)
    assert record["zones"] == ["America/New_York"]
    assert record["variables"] == {"n": 3, "t": "x"}
    assert (record["extension"], record["success"]) == (None, None)
    assert UUID(record["last_call_id"]) == call.id
    assert datetime.fromisoformat(record["last_call_at"]) == now


def test_thousands_pass_a_page_at_a_time(session: Session, campaign: Campaign, now: datetime) -> None:
    first = factories.prospect(session, campaign, now)
    numbers = [{"number": f"+1646{turn:07}", "created_at": now} for turn in range(4_999)]
    people = session.scalars(insert(Person).returning(Person.id), numbers).all()
    columns = ("campaign_id", "import_id", "line", "state", "due_at", "created_at", "changed_at")
    shared = {name: getattr(first, name) for name in columns}
    session.execute(insert(Prospect), [{**shared, "person_id": person} for person in people])
    session.execute(text("ANALYZE people, prospects"))  # which the server does for itself where rows are committed
    session.expunge_all()
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = exporting.page(session, campaign.id, after=after)
        assert len(page.rows) <= exporting.PAGE
        assert len(session.identity_map) == 0
        seen += [row["phone"] for row in page.rows]
        after = page.last
    assert len(seen) == len(set(seen)) == 5_000
