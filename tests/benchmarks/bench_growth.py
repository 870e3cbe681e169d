"""What one dispatch tick and one settled event cost in a table of ten thousand people and in a large one.

Two databases in one server, and on each a process that runs the workers' own tasks, in turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any, Self
from uuid import uuid4

import redis
from psycopg import Connection, sql

from campaigns import clock, db
from campaigns.cli.database import upgrade
from campaigns.embedded import Servers
from campaigns.pipeline import defining, scheduling
from campaigns.rules.campaign_state import Command
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from tests import databases
from tests.benchmarks.results import Result
from tests.benchmarks.running import ROOT, connect, fill
from tests.factories import ACCOUNT, CAMPAIGN
from tests.harness import ORIGIN

SMALL, LARGE = 10_000, 10_000_000  # people; filling the large one takes some minutes and 8 GB of disk
WARM_UP, REPETITIONS = 30, 200
AIM = 0.67  # half as dear again at most: indexes are two levels deeper, and less of them is in memory
REPORT = json.loads((ROOT / "tests" / "recordings" / "report-completed.json").read_text(encoding="utf-8"))


def measure(servers: Servers) -> list[Result]:
    """Medians of both costs; `PEOPLE=1000000` in the environment makes the large table another size."""
    large = int(os.environ.get("PEOPLE", LARGE))
    with ExitStack() as stack:
        sizes = [stack.enter_context(_database(servers, count)) for count in (SMALL, large)]
        for turn in range(WARM_UP + REPETITIONS):
            for size in sizes if turn % 2 else reversed(sizes):
                size.repeat(counted=turn >= WARM_UP)
        small, big = sizes
        title = f"in {large:,} people".replace(",", " ")
        beside = f"in {SMALL:,}".replace(",", " ")
        return [
            Result(f"tick {title}", "ms", "at_most", median(big.ticks), {beside: median(small.ticks)}, AIM),
            Result(f"settling {title}", "ms", "at_most", median(big.events), {beside: median(small.events)}, AIM),
        ]


class _Size:
    """A database with so many people, and a process that runs the tasks on it."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.ticks: list[float] = []
        self.events: list[float] = []
        self._connection = connect(database_url)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.growth_steps"],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._connection.close()

    def repeat(self, *, counted: bool) -> None:
        """Claim the one line that is free, let its call be answered, and settle its report."""
        tick = self._run("tick")
        event = self._run(f"apply {self._reported()}")
        (left,) = self._row("SELECT count(*) FROM calls WHERE settled_at IS NULL")
        if left:
            raise SystemExit("an event was applied and its call not settled: the next tick would find no line")
        if counted:
            self.ticks.append(tick)
            self.events.append(event)

    def _reported(self) -> int:
        """The id of the stored report of the call that was just claimed and, so we say, answered."""
        call_id, account_id = self._row(
            """UPDATE calls SET state = 'in_progress', provider_id = %s, counted = true, intent_at = claimed_at,
                                quiet_at = claimed_at + interval '15 min', line_until = claimed_at + interval '10 min'
                WHERE state = 'claimed' RETURNING id, account_id""",
            str(uuid4()),
        )
        self._connection.execute(
            "UPDATE prospects SET calls = calls + 1 WHERE id = (SELECT prospect_id FROM calls WHERE id = %s)", [call_id]
        )
        body = json.loads(json.dumps(REPORT).replace(REPORT["message"]["call"]["name"], str(call_id)))
        (provider_id,) = self._row("SELECT provider_id FROM calls WHERE id = %s", call_id)
        body["message"]["call"]["id"] = provider_id
        (event_id,) = self._row(
            """INSERT INTO events (account_id, provider_id, learned, type, dedupe_key, body, received_at, retry_at)
               VALUES (%s, %s, 'pushed', 'end-of-call-report', %s, %s, now(), now()) RETURNING id""",
            *(account_id, provider_id, f"report:{provider_id}", json.dumps(body)),
        )
        return int(event_id)

    def _row(self, query: Any, *values: Any) -> tuple[Any, ...]:
        row = self._connection.execute(query, values).fetchone()
        if row is None:
            raise SystemExit("a tick claimed nobody: there is nothing to measure")
        return tuple(row)

    def _run(self, step: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("the process with the tasks ended; its last words are above")
        return float(answer)


@contextmanager
def _database(servers: Servers, people: int) -> Iterator[_Size]:
    """A database of its own in which one campaign with `people` runs and one line may be used."""
    redis_url = f"{servers.redis_url.rpartition('/')[0]}/15"  # hints go there, and nobody takes them
    with databases.database(servers.database_url) as url:
        upgrade(url)
        _populate(url, people)
        db.engine(url).dispose()
        with _Size(url, redis_url) as size:
            yield size
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()


def _populate(url: str, people: int) -> None:
    with db.transaction(url) as session:
        account = AccountDefinition.model_validate(ACCOUNT | {"concurrency": 1})
        defining.apply_account(session, account, who="bench", now=ORIGIN, real=datetime.now(UTC))
        defining.apply_campaign(session, CampaignDefinition.model_validate(CAMPAIGN), who="bench", now=ORIGIN)
        clock.rehearse(session, origin_at=ORIGIN, speed=1.0)
    began = time.monotonic()
    with connect(url) as connection:
        connection.execute("SET synchronous_commit = off")  # of the filling alone
        connection.execute("SET work_mem = '256MB'")
        connection.execute("SET maintenance_work_mem = '512MB'")
        with bare_tables(connection, "people", "prospects"):
            fill(connection, CAMPAIGN["name"], people, first=0, now=ORIGIN)
        connection.execute("VACUUM ANALYZE")
    with db.transaction(url) as session:
        scheduling.command(session, CAMPAIGN["name"], Command.START, who="bench", now=ORIGIN)
    sys.stderr.write(f"{people:,} people in {time.monotonic() - began:.0f} s\n")


@contextmanager
def bare_tables(connection: Connection[Any], *tables: str) -> Iterator[None]:
    """These tables without foreign keys and indexes inside the block; made anew at its end, which is far quicker."""
    constraints = connection.execute(
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid::regclass::text = ANY(%s) AND contype IN ('f', 'u') ORDER BY contype DESC""",
        [list(tables)],
    ).fetchall()
    for table, name, _ in constraints:
        connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(*map(sql.Identifier, (table, name))))
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND indexname !~ '^pk_'", [list(tables)]
    ).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    for _, definition in indexes:
        connection.execute(definition)
    for table, name, definition in constraints:
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                sql.Identifier(table), sql.Identifier(name), sql.SQL(definition)
            )
        )
