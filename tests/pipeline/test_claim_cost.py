"""What a claim costs: pages of the database, which are the same on every machine, and not seconds."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Import
from campaigns.pipeline import dispatching
from campaigns.rules.timing import Timing
from tests import factories
from tests.pipeline.plans import nodes, pages, plans_of

CROWD = 30_000  # rows of each kind: a scan over one kind reads several hundred pages at least
PAGES = 250  # a few for each look into an index, each person and each fact about one

_CROWD = text("""
    WITH numbered AS (
         INSERT INTO people (number, created_at)
         SELECT '+1999' || lpad(turn::text, 7, '0'), :now FROM generate_series(1, 4 * :crowd) AS turn RETURNING id)
    INSERT INTO prospects
           (campaign_id, person_id, import_id, line, state, due_at, priority, calls, created_at, changed_at)
    SELECT :campaign, id, :import, 2,
           CASE WHEN id % 4 = 0 THEN 'completed' ELSE 'waiting' END,
           CASE WHEN id % 4 = 0 THEN NULL ELSE CAST(:now AS timestamptz) + interval '1 hour' + id * interval '1 ms' END,
           id % 4, id / 4 % 2, :now, :now FROM numbered""")
_CALLED = text("""
    INSERT INTO calls (id, account_id, campaign_id, prospect_id, person_id, phone_number_id, state, slot_at, claimed_at,
                       intent_at, ended_at, settled_at, changed_at)
    SELECT gen_random_uuid(), account_id, campaign_id, prospects.id, person_id, phone_numbers.id, 'ended',
           at, at, at, at, at, at
      FROM prospects CROSS JOIN phone_numbers,
           LATERAL (SELECT CAST(:now AS timestamptz) - interval '2 d' - prospects.id * interval '1 ms' AS at) AS called
     WHERE state = 'waiting' AND provider_id = 'a' ORDER BY due_at LIMIT :crowd""")


def test_a_claim_costs_the_same_however_many_people_are_not_due(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        factories.account(session, now, number_per_day=100)
        campaign = factories.campaign(session, now, phone_number_ids=["a", "b"])
        # Three of them in the lowest priority but one, behind everybody of a higher one who is not due yet; and of both
        # kinds there and at the top.
        for priority, calls in ((0, 0), (1, 0), (1, 1), (1, 0), (3, 1)):
            factories.prospect(session, campaign, now, priority=priority, calls=calls)
        source = session.query(Import.id).scalar()
        session.execute(_CROWD, {"now": now, "crowd": CROWD, "campaign": campaign.id, "import": source})
        session.execute(_CALLED, {"now": now, "crowd": CROWD})
    with db.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) prospects, calls")

    def claim(session: Session) -> None:
        account_id = session.scalars(text("SELECT id FROM accounts")).one()
        real = clock.read(session).real
        assert len(dispatching.claim_due(session, account_id, now=now, real=real, timing=Timing())) == 5

    plans = plans_of(database, claim)
    assert len(plans) >= 8, "the queries of a claim were noted"
    assert pages(plans) < PAGES, json.dumps(plans)
    # Only from PostgreSQL 18 on can one scan skip from one priority to the next; before, it reads everybody in between.
    due = [node["Index Cond"] for plan in plans for node in nodes(plan) if node.get("Index Name") == "ix_prospects_due"]
    due = [condition for condition in due if "priority < " not in condition][1:]  # but the look for the highest one
    assert len(due) >= 4
    assert all("priority = " in condition and "LEAST" in condition for condition in due), due
    used = {node.get("Index Name") for plan in plans for node in nodes(plan)}
    assert {"ix_calls_person_intent", "ix_calls_number_intent"} <= used
