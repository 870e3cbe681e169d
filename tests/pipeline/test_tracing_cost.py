"""What a story costs: pages of the database, which are the same on every machine, and not seconds."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from campaigns import db, ledger
from campaigns.pipeline import tracing
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.plans import nodes, pages, plans_of

CROWD = 20_000  # rows of each kind: a scan over one kind reads hundreds of pages
PAGES = 400  # a few for each look into an index
NUMBER = "+12125550101"

_CROWD = (
    "INSERT INTO people (number, created_at) SELECT '+1999' || turn, :now FROM generate_series(1, :crowd) AS turn",
    """INSERT INTO prospects (campaign_id, person_id, import_id, line, state, external_id, created_at, changed_at)
       SELECT p.campaign_id, people.id, p.import_id, 2, 'completed', 'E-' || people.id, :now, :now
         FROM people, prospects AS p WHERE people.number LIKE '+1999%' AND p.external_id = 'C-1'""",
    """INSERT INTO calls (id, account_id, campaign_id, prospect_id, person_id, phone_number_id, state, slot_at,
                          claimed_at, intent_at, changed_at)
       SELECT gen_random_uuid(), account_id, c.campaign_id, prospects.id, prospects.person_id, phone_number_id, c.state,
              :now, :now, :now, :now FROM prospects, calls AS c WHERE prospects.external_id LIKE 'E-%'""",
    """INSERT INTO events (account_id, call_id, learned, type, dedupe_key, body, received_at, applied_at)
       SELECT account_id, id, 'pushed', 'hang', id::text, '{}', :now, :now FROM calls""",
    """INSERT INTO outcomes (call_id, campaign_id, prospect_id, outcome, learned, complete, created_at, changed_at)
       SELECT id, campaign_id, prospect_id, 'busy', 'pushed', true, :now, :now FROM calls""",
    "INSERT INTO rulings (prospect_id, at, state) SELECT id, :now, 'waiting' FROM prospects",
    """INSERT INTO corrections (prospect_id, at, before, after)
       SELECT id, :now, jsonb_build_object('import_id', import_id, 'line', 2),
              jsonb_build_object('import_id', import_id, 'line', 3) FROM prospects""",
    """INSERT INTO changes (at, who, what, subject) SELECT :now, 'ada', 'decide', 'call:' || id FROM calls""",
    """INSERT INTO suppressions (person_id, reason, created_at, lifted_at) SELECT id, 'r', :now, :now FROM people""",
    "INSERT INTO consents (person_id, source, created_at) SELECT id, 'form', :now FROM people",
)


def test_a_story_costs_the_same_however_many_others_have_one(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        someone = factories.prospect(session, campaign, now, e164=NUMBER, external_id="C-1")
        factories.call(session, someone, now, state=CallState.ENDED)
        ledger.set_state(someone, ProspectState.WAITING, now=now, due_at=now, why="again after busy")
    with db.transaction(database) as session:
        for statement in _CROWD:
            session.execute(text(statement), {"now": now, "crowd": CROWD} if ":now" in statement else {})
    with db.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")

    def look(session: Session) -> None:
        by_number = tracing.find_person(session, NUMBER, number=NUMBER)
        assert tracing.find_person(session, "C-1", number=None) is by_number
        story = tracing.trace(session, by_number, now=now).stories
        told = {moment.what for moment in story}
        assert {"imported", "updated", "Vapi said", "decide by ada", "do not call", "decided: waiting"} <= told

    plans = plans_of(database, look)
    assert len(plans) >= 14, "the queries of a story were noted"
    assert pages(plans) < PAGES, json.dumps([(pages([plan]), plan["Node Type"]) for plan in plans])
    scanned = {node["Relation Name"] for plan in plans for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
    assert scanned <= {
        "accounts",
        "campaigns",
        "imports",
        "phone_numbers",
        "rule_overrides",
        "spending",
    }  # a handful of rows each
