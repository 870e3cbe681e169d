"""Several imports into one campaign at the same moment."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

import psycopg
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import NotAllowed
from campaigns.facts import about_campaigns
from campaigns.lists.bringing import bring
from campaigns.lists.opening import Wishes, open_list
from campaigns.lists.reading import Size
from campaigns.models import Campaign, Person
from campaigns.pipeline.importing import storing
from campaigns.pipeline.importing.sorting import Options
from campaigns.pipeline.importing.storing import Report
from campaigns.rules.campaign_state import CampaignState
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, begin_phones, counts, people, store_phones
from tests.pipeline.waiting import alone, held_up

MANY = Size(rows=15)
"""Many small transactions, so that they meet."""


def test_two_imports_at_once_bring_each_person_once(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
    numbers = [f"+1212555{turn:04}" for turn in range(100, 200)]
    orders = [numbers[:80], numbers[:19:-1], numbers[50:] + numbers[:50]]

    def bring_in(order: list[str]) -> Report:
        content = "\n".join(["phone", *order]).encode()
        with db.transaction(database) as session:
            definition = about_campaigns(session, [campaign.id])[campaign.id].definition
        opened = open_list(io.BytesIO(content), definition)
        return bring(database, campaign.id, opened, source="list.csv", size=MANY)[1]

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
    low, high = "+12125550101", "+12125550102"
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        if numbers_are == "known":
            session.add_all(Person(number=number, created_at=now) for number in (low, high))
        ours, theirs = (begin_phones(session, campaign, name, now) for name in ("a", "b"))

    def bring_both() -> None:
        with pytest.raises(psycopg.errors.UniqueViolation), db.transaction(database) as session:
            store_phones(session, theirs, high, low, now=now)
        with db.transaction(database) as session:
            store_phones(session, theirs, high, low, now=now)

    with db.transaction(database) as session:
        store_phones(session, ours, low, now=now)
        with held_up(database, bring_both) as brought:
            # Had it taken the higher one before it began to wait, this would be a deadlock.
            store_phones(session, ours, high, now=now, after=1)
            session.commit()
        brought.result()
    with db.transaction(database) as session:
        found = [counts(storing.report(session, import_id)) for import_id in (ours, theirs)]
    assert found == [(2, 0, 0), (0, 2, 0)]


def test_an_update_waits_for_whoever_is_about_to_call_and_then_changes_nothing(database: str, now: datetime) -> None:
    def bring_in(content: bytes) -> Report:
        with db.transaction(database) as session:
            definition = about_campaigns(session, [campaign.id])[campaign.id].definition
        opened = open_list(io.BytesIO(content), definition, Wishes(options=Options(update=True)))
        return bring(database, campaign.id, opened, source="list.csv")[1]

    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
    bring_in(b"phone,name\n+12125550101,Ana\n")
    with db.transaction(database) as session:
        (called,) = people(session, session.get_one(Campaign, campaign.id)).values()
        called.calls = 1
        session.flush()
        with held_up(database, partial(bring_in, b"phone,name\n+12125550101,Ann\n")) as report:
            session.commit()
        assert (report.result().updated, report.result().already_there) == (0, 1)


def test_of_the_same_import_only_one_lot_is_stored_at_a_time(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        import_id = begin_phones(session, campaign, "a", now)

    def store(session: Session) -> None:
        store_phones(session, import_id, "12", now=now)  # a row that meets nobody else's in any table

    with db.transaction(database) as session:
        store(session)
        with held_up(database, partial(alone, database, store)) as second:
            session.commit()
        with pytest.raises(NotAllowed, match="imported by another process"):
            second.result()
    with db.transaction(database) as session:
        assert counts(storing.report(session, import_id)) == (0, 0, 1)


def test_a_campaign_is_not_closed_under_a_lot_by_whatever_hand(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        import_id = begin_phones(session, campaign, "a", now)

    def cancel(session: Session) -> None:
        session.execute(update(Campaign).values(state=CampaignState.CANCELLED))

    with db.transaction(database) as session:
        store_phones(session, import_id, "12", now=now)
        with held_up(database, partial(alone, database, cancel)) as cancelled:
            session.commit()
        cancelled.result()
