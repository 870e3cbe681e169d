"""How long `outbound campaign preflight` takes for a million people, and how much memory, beside ten thousand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from campaigns import clock, db
from campaigns.cli.database import upgrade
from campaigns.cli.processes import python
from campaigns.embedded import Servers
from campaigns.pipeline import defining
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from tests import databases
from tests.benchmarks.bench_growth import bare_tables
from tests.benchmarks.results import Result
from tests.benchmarks.running import ROOT, connect, fill
from tests.factories import ACCOUNT, CAMPAIGN
from tests.harness import ORIGIN

SMALL, LARGE = 10_000, 1_000_000  # people
LIMIT_SECONDS = 60.0
FLAT = 0.8  # of the small one's memory to the large one's: what is known of a thousand groups, not of a million people
SAID: dict[str, Any] = {
    # Said with every call, so that nobody has to be asked about it.
    "assistant_id": None,
    "assistant": {"firstMessage": "Hello {{first_name}}, this is Ada of Northwind about your {{plan}} plan."},
}
_MIXED = """
    UPDATE prospects SET country = place.country, states = place.states, zones = place.zones,
           attempts = CASE WHEN prospects.id %% 5 = 0 THEN 1 ELSE 0 END,
           calls = CASE WHEN prospects.id %% 5 = 0 THEN 1 ELSE 0 END,
           not_before = CASE WHEN prospects.id %% 5 = 0
                             THEN %(now)s::timestamptz + prospects.id %% 86400 * interval '1 s' END
      FROM (VALUES (0, 'US', '{US-NY}'::text[], '{America/New_York}'::text[]),
                   (1, 'US', '{US-TX}', '{America/Chicago,America/Denver}'),
                   (2, 'US', '{US-CA}', '{America/Los_Angeles}'),
                   (3, 'US', '{US-FL,US-GA}', '{America/New_York,America/Chicago}'),
                   (4, 'US', '{US-WA}', '{America/Los_Angeles}'),
                   (5, 'FR', '{}', '{Europe/Paris}'), (6, 'GB', '{}', '{Europe/London}'), (7, 'US', '{}', '{}'),
                   (8, 'ZW', '{}', '{Africa/Harare}'), (9, 'US', '{US-CO}', '{America/Denver}'))
           AS place (turn, country, states, zones)
     WHERE prospects.id %% 10 = place.turn"""
_WISHES = (
    """INSERT INTO suppressions (person_id, reason, created_at)
       SELECT id, 'asked', now() FROM people WHERE id % 100 = 1""",
    "INSERT INTO consents (person_id, source, created_at) SELECT id, 'form', now() FROM people WHERE id % 10 = 1",
)


def measure(servers: Servers) -> list[Result]:
    """Seconds and megabytes of the whole command; `PEOPLE=100000` in the environment makes it another size."""
    large = int(os.environ.get("PEOPLE", LARGE))
    title = f"preflight of {large:,} people".replace(",", " ")
    with ExitStack() as stack:
        small, big = (stack.enter_context(databases.database(servers.database_url)) for _ in range(2))
        _, little = _run(_populated(small, SMALL))
        seconds, much = _run(_populated(big, large))
    beside = f"of {SMALL:,}".replace(",", " ")
    return [
        Result(title, "s", "at_most", seconds, {"limit": LIMIT_SECONDS}, 1.0),
        Result(f"{title}: memory", "MB", "at_most", much, {beside: little}, FLAT),
    ]


def _populated(url: str, people: int) -> str:
    upgrade(url)
    with db.transaction(url) as session:
        account = AccountDefinition.model_validate(ACCOUNT | {"concurrency": 200, "calls_per_second": 20.0})
        defining.apply_account(session, account, who="bench", now=ORIGIN, real=datetime.now(UTC))
        defining.apply_campaign(session, CampaignDefinition.model_validate(CAMPAIGN | SAID), who="bench", now=ORIGIN)
        clock.rehearse(session, origin_at=ORIGIN, speed=1.0)
    with connect(url) as connection:
        connection.execute("SET synchronous_commit = off")  # of the filling alone
        with bare_tables(connection, "people", "prospects"):
            fill(connection, CAMPAIGN["name"], people, first=0, now=ORIGIN)
            connection.execute(_MIXED, {"now": ORIGIN})
        for statement in _WISHES:
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
    db.engine(url).dispose()
    return url


def _run(url: str) -> tuple[float, float]:
    """The seconds that the command takes, and the most megabytes that it has."""
    with TemporaryDirectory() as folder:
        began = time.monotonic()
        with Path(folder, "said").open("w") as said:
            process = subprocess.Popen(
                python("campaigns.cli.outbound", "campaign", "preflight", CAMPAIGN["name"]),
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": url, "VAPI_API_KEY": "a-key"},
                cwd=folder,
                stdout=said,
            )
            _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        sys.stderr.write("".join(Path(folder, "said").read_text().splitlines(keepends=True)[:32]))
    sys.stderr.write(f"{seconds:.1f} s, of which {usage.ru_utime + usage.ru_stime:.1f} s on the processor by itself\n")
    return seconds, usage.ru_maxrss / 1024
