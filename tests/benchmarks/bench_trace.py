"""What one person's whole story costs with ten million calls stored, each with its events, outcome and decision."""

from __future__ import annotations

import os
import random
import sys
import time
from datetime import UTC, datetime
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.cli.database import upgrade
from campaigns.embedded import Servers
from campaigns.models import Person
from campaigns.pipeline import defining, tracing
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from tests import databases
from tests.benchmarks.bench_growth import bare_tables
from tests.benchmarks.results import Result
from tests.benchmarks.running import connect, fill
from tests.factories import ACCOUNT, CAMPAIGN
from tests.harness import ORIGIN

CALLS = 10_000_000  # filling that many takes a quarter of an hour and 25 GB of disk
EACH = 5  # calls to a person
WARM_UP, REPETITIONS = 20, 200
LIMIT = 100.0  # milliseconds: whoever asks on the phone should not notice a wait
TABLES = ("people", "prospects", "calls", "events", "outcomes", "rulings")

# As short as they may be: what is measured is finding the few rows among the many.
_CALLS = (
    """INSERT INTO calls (id, account_id, campaign_id, prospect_id, person_id, phone_number_id, state, provider_id,
                           slot_at, claimed_at, intent_at, started_at, ended_at, ended_reason, counted, settled_at,
                           changed_at)
       SELECT gen_random_uuid(), campaigns.account_id, campaigns.id, prospects.id, person_id, phone_numbers.id, 'ended',
              prospects.id || ':' || turn, at, at, at, at, at + interval '20 s', 'customer-busy', true, at, at
         FROM prospects, campaigns, phone_numbers, generate_series(1, %(each)s) AS turn,
              LATERAL (SELECT %(now)s - turn * interval '1 day' AS at) AS moment""",
    """INSERT INTO events (account_id, call_id, learned, type, dedupe_key, body, received_at, applied_at, effect)
       SELECT account_id, id, 'pushed', type, id || type, '{"message": {"status": "ended"}}', claimed_at, claimed_at,
              'move to ended'
         FROM calls, unnest(ARRAY['status-update', 'end-of-call-report']) AS type""",
    """INSERT INTO outcomes (call_id, campaign_id, prospect_id, outcome, ended_reason, answered, learned, complete,
                              created_at, changed_at)
       SELECT id, campaign_id, prospect_id, 'busy', 'customer-busy', false, 'pushed', true, claimed_at, claimed_at
         FROM calls""",
    """INSERT INTO rulings (prospect_id, at, state, why, due_at)
       SELECT prospect_id, claimed_at, 'waiting', 'again after busy', claimed_at + interval '20 min' FROM calls""",
    "UPDATE prospects SET calls = %(each)s, attempts = 1, not_before = %(now)s, state_why = 'again after busy'",
)


def measure(servers: Servers) -> list[Result]:
    """The median over many people, nobody of whom was looked at before; `CALLS=1000000` makes it another number."""
    calls = int(os.environ.get("CALLS", CALLS))
    with databases.database(servers.database_url) as url:
        upgrade(url)
        _populate(url, calls)
        with db.transaction(url) as session:
            numbers = session.scalars(select(Person.number).order_by(Person.id).limit(1_000_000)).all()
            dice = random.Random(1)  # noqa: S311 - decides who is looked at
            took = [_trace(session, number) for number in dice.sample(numbers, WARM_UP + REPETITIONS)]
        db.engine(url).dispose()
        title = f"trace among {calls:,} calls".replace(",", " ")
        slow = sorted(took[WARM_UP:])[int(REPETITIONS * 0.95)]
        sys.stderr.write(f"95 of 100 traces took at most {slow:.1f} ms\n")
        return [Result(title, "ms", "at_most", median(took[WARM_UP:]), {"the limit": LIMIT}, 1.0)]


def _trace(session: Session, number: str) -> float:
    """Milliseconds of one story, from the number to its last word."""
    session.expunge_all()
    began = time.perf_counter()
    person = tracing.find_person(session, number, number=number)
    story = tracing.trace(session, person, now=clock.read(session).now)
    took = (time.perf_counter() - began) * 1000
    if len(story.stories) < EACH * 6:
        raise SystemExit(f"a story of {len(story.stories)} moments lacks something")
    return took


def _populate(url: str, calls: int) -> None:
    began = time.monotonic()
    with db.transaction(url) as session:
        account = AccountDefinition.model_validate(ACCOUNT)
        defining.apply_account(session, account, who="bench", now=ORIGIN, real=datetime.now(UTC))
        defining.apply_campaign(session, CampaignDefinition.model_validate(CAMPAIGN), who="bench", now=ORIGIN)
        clock.rehearse(session, origin_at=ORIGIN, speed=1.0)
    with connect(url) as connection:
        connection.execute("SET synchronous_commit = off")  # of the filling alone
        connection.execute("SET work_mem = '256MB'")
        connection.execute("SET maintenance_work_mem = '512MB'")
        with bare_tables(connection, *TABLES):
            fill(connection, CAMPAIGN["name"], calls // EACH, first=0, now=ORIGIN)
            for statement in _CALLS:
                connection.execute(statement, {"each": EACH, "now": ORIGIN} if "%(" in statement else None)
                sys.stderr.write(f"{statement.split()[2]}: {time.monotonic() - began:.0f} s\n")
        connection.execute("VACUUM ANALYZE")
    sys.stderr.write(f"{calls:,} calls in {time.monotonic() - began:.0f} s\n")
