"""What a lot costs: pages of the database, which are the same on every machine, and not seconds."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.models import Campaign
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.people_file.columns import Columns, Role
from campaigns.rules.people_file.people import Reader, read_lot
from campaigns.rules.people_file.rows import Row
from tests import factories
from tests.pipeline.lists import begin_phones, store
from tests.pipeline.plans import pages, plans_of

CROWD = 20_000  # a scan over them, or over an index of them, reads a hundred pages at least
PAGES = 90  # a few for each look into an index
READER = Reader(Columns(("phone", "id"), {Role.PHONE: 0, Role.EXTERNAL_ID: 1}, {}), None)

_PEOPLE = text("""
    INSERT INTO people (number, created_at)
    SELECT '+1212' || (2000000 + turn), :now FROM generate_series(1, :crowd) AS turn""")
_PROSPECTS = text("""
    INSERT INTO prospects (campaign_id, person_id, import_id, line, state, external_id, created_at, changed_at)
    SELECT :campaign, id, :import, 2, 'held', 'c-' || id, :now, :now FROM people WHERE number LIKE '+12122%'""")


def fill(session: Session, campaign: Campaign, now: datetime) -> None:
    source = factories.prospect(session, campaign, now).import_id
    values = {"now": now, "campaign": campaign.id, "import": source}
    session.execute(_PROSPECTS, values)


def test_a_lot_costs_the_same_in_a_large_campaign_of_which_the_server_has_no_figures_yet(
    database: str, now: datetime
) -> None:
    with db.transaction(database) as session:
        session.execute(_PEOPLE, {"now": now, "crowd": CROWD})
        fill(session, factories.campaign(session, now, name="known"), now)
    with db.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) prospects, people")
    with db.transaction(database) as session:  # since then two more have grown as large
        fill(session, factories.campaign(session, now, name="running", state=CampaignState.RUNNING), now)
        campaign = factories.campaign(session, now, name="growing")
        fill(session, campaign, now)
        import_id = begin_phones(session, campaign, "a", now)

    def store_some(session: Session) -> None:
        numbers = ("+12125550101", "+12125550102", "+12122000007", "+12122000008 x5")
        rows = [Row(line, [number, f"n-{line}"]) for line, number in enumerate(numbers, start=2)]
        store(session, import_id, READER, read_lot(READER, rows), after=0, now=now)

    plans = plans_of(database, store_some)
    assert len(plans) >= 8, "the queries of a lot were noted"
    assert pages(plans) < PAGES, json.dumps(plans)
