"""Several imports into one campaign at the same moment."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import text

from campaigns import db
from campaigns.facts import about_campaigns
from campaigns.models import Campaign, Person
from campaigns.pipeline import importing
from campaigns.pipeline.importing import Report
from campaigns.rules.people_file import Columns, Row, read_rows
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, counts, people


def test_two_imports_at_once_bring_each_person_once(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 15)  # many small transactions, so that they meet
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
    numbers = [f"+1212555{turn:04}" for turn in range(100, 200)]
    orders = [numbers[:80], numbers[:19:-1], numbers[50:] + numbers[:50]]

    def bring_in(order: list[str]) -> Report:
        content = "\n".join(["phone", *order]).encode()
        with db.transaction(database) as session:
            definition = about_campaigns(session, [campaign.id])[campaign.id].definition
            columns, rows = read_rows(io.BytesIO(content), definition)
            import_id = importing.begin(session, campaign.id, source="list.csv", columns=columns, now=now)
        report = Report()
        for lot in importing.batches(rows):
            with db.transaction(database) as session:
                importing.store(session, import_id, lot, columns, report, now=now)
        return report

    with ThreadPoolExecutor(len(orders)) as pool:
        reports = list(pool.map(bring_in, orders))
    assert [report.rows for report in reports] == [80, 80, 100]
    assert sum(report.new for report in reports) == 100
    assert all(report.new + report.already_there == report.rows for report in reports)
    with db.transaction(database) as session:
        assert sorted(people(session, session.get_one(Campaign, campaign.id))) == numbers
        assert_tallies_equal_rows(session, campaign)


@pytest.mark.parametrize("numbers_are", ["new", "known"])
def test_two_imports_that_overlap_wait_for_each_other_in_one_order(
    database: str, now: datetime, numbers_are: str
) -> None:
    low, high = Row(2, {"phone": "+12125550101"}), Row(3, {"phone": "+12125550102"})
    columns = Columns(("phone",), "phone")
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        if numbers_are == "known":
            session.add_all(Person(number=row.cells["phone"], created_at=now) for row in (low, high))
        import_id, other_id = (
            importing.begin(session, campaign.id, source=name, columns=columns, now=now) for name in ("a", "b")
        )
    report, other = Report(), Report()

    def bring_both() -> None:
        with db.transaction(database) as session:
            importing.store(session, other_id, [high, low], columns, other, now=now)

    with ThreadPoolExecutor(1) as pool:
        with db.transaction(database) as session:
            importing.store(session, import_id, [low], columns, report, now=now)
            waiting = pool.submit(bring_both)
            wait_for_a_lock(database)
            # Had it taken the higher one before it began to wait, this would be a deadlock.
            importing.store(session, import_id, [high], columns, report, now=now)
        waiting.result(30)
    assert (counts(report), counts(other)) == ((2, 0, 0), (0, 2, 0))


def wait_for_a_lock(database: str) -> None:
    """Return when somebody in the database waits for somebody else."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(1000):
        with db.engine(database).connect() as connection:
            if connection.execute(waiting).scalar_one():
                return
        time.sleep(0.01)
    raise AssertionError("nobody came to wait")
