"""People that are put into a campaign by SQL are as good as imported ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from campaigns import db
from campaigns.models import Campaign
from campaigns.pipeline import dispatching
from tests import factories
from tests.benchmarks.bench_growth import bare_tables
from tests.benchmarks.running import connect, fill
from tests.pipeline.lists import assert_tallies_equal_rows, people
from tests.pipeline.placing import TIMING


def tables(connection: Connection[Any]) -> list[tuple[Any, ...]]:
    """Every constraint and index there is."""
    return connection.execute(
        """SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
           UNION ALL SELECT indexname, tablename, indexdef FROM pg_indexes ORDER BY 1, 2, 3"""
    ).fetchall()


def test_people_who_were_filled_in_are_due_are_counted_and_can_be_claimed(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign_id = factories.campaign(session, now).id
    with connect(database) as connection:
        fill(connection, "spring", 20, first=5, now=now)
    with db.transaction(database) as session:
        campaign = session.get_one(Campaign, campaign_id)
        assert min(people(session, campaign)) == "+12120000005"
        assert len(people(session, campaign)) == 20
        assert_tallies_equal_rows(session, campaign)
        claimed = dispatching.claim_due(
            session, campaign.account_id, now=now, real=factories.LONG_AGO + timedelta(seconds=1), timing=TIMING
        )
        assert len(claimed) == 10


def test_tables_that_were_bare_while_they_were_filled_have_all_their_rules_again(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        factories.campaign(session, now)
    with connect(database) as connection:
        before = tables(connection)
        with bare_tables(connection, "people", "prospects"):
            assert len(tables(connection)) < len(before) - 5
            fill(connection, "spring", 20, first=0, now=now)
        assert tables(connection) == before
