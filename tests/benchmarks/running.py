"""The whole product beside a stand-in, for a benchmark: `outbound up` itself, with its own processes and waits.

    with Whole(servers, folder) as system:
        system.start()                                     # returns when `outbound up` says that it is ready
        provider = system.provider(concurrency=50)         # as in `tests.harness`, and so is everything else
        system.account(provider, concurrency=50)
        system.campaign()
        system.fill("spring", 1_000)
        system.command(Command.START)

What is measured is read from the stand-in's ledger; our own rows are only held against it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from campaigns import clock
from campaigns.cli.processes import python
from campaigns.embedded import Servers
from campaigns.rules.prospect_state import ProspectState
from tests.harness import WAITS, System
from tests.processes import Process, Provider, descendants, free_port

UP = python("campaigns.cli.outbound", "up")
ROOT = Path(__file__).parents[2]

BRIEF: dict[str, Any] = {
    # Calls of less than a second that all go the same way, where it is not the lines that are measured.
    "outcomes": {"answered": 1},
    "durations": {"dial": [0.1, 0.2], "ring": [0.2, 0.4], "talk": [0.2, 0.6], "processing": [0.1, 0.3]},
    "webhooks": {"hang": 0},
}

_FILL = (
    """CREATE TEMPORARY TABLE list AS
       SELECT turn, '+1' || (2120000000 + turn) AS number FROM generate_series(%(first)s::bigint, %(last)s) AS turn""",
    "INSERT INTO people (number, created_at) SELECT number, %(now)s FROM list ON CONFLICT DO NOTHING",
    """INSERT INTO imports (id, campaign_id, source, columns, rows, new, already_there, rejected, created_at)
       SELECT gen_random_uuid(), id, 'list.csv', '{phone}', %(count)s, %(count)s, 0, 0, %(now)s
         FROM campaigns WHERE name = %(campaign)s""",
    """INSERT INTO prospects (campaign_id, person_id, import_id, line, name, country, states, zones, variables, state,
                              due_at, created_at, changed_at)
       SELECT campaigns.id, people.id, imports.id, turn - %(first)s + 2, 'Dana Whitfield', 'US', '{US-NY}',
              '{America/New_York}', '{"first_name": "Dana", "plan": "Gold Care"}', 'waiting',
              %(now)s - interval '1 day' + (turn - %(first)s) * interval '1 ms', %(now)s, %(now)s
         FROM list JOIN people USING (number), campaigns JOIN imports ON imports.campaign_id = campaigns.id
        WHERE campaigns.name = %(campaign)s""",
    """INSERT INTO tallies (campaign_id, name, slot, count)
       SELECT id, 'prospect:waiting', 0, %(count)s FROM campaigns WHERE name = %(campaign)s""",
    "DROP TABLE list",
)


class Whole(System):
    """The harness of the tests, with `outbound up` in place of the few processes and the hasty waits of a test."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        super().__init__(servers.database_url, servers.redis_url, folder)
        for name in WAITS:
            del self.environment[name]
        self.environment |= {"OUTBOUND_PORT": str(self.web_port), "PYTHONPATH": str(ROOT)}
        self._filled = 0

    def __exit__(self, *what: object) -> None:
        self.stop()
        super().__exit__(*what)

    def start(self, *_: str) -> None:
        """Start `outbound up`; returns when it is ready."""
        self.begin()
        self["up"].until_it_says("ready; Ctrl-C stops everything")

    def begin(self) -> None:
        """Start `outbound up` and wait for nothing."""
        settings = self.environment | {"OUTBOUND_FLOWER_PORT": str(free_port())}
        self._run(Process("up", UP, settings, self.folder))

    def stop(self) -> None:
        """End `outbound up` as Ctrl-C does."""
        up = self._running.pop("up", None)
        if up is not None and up.exit_code is None:
            up.interrupt()
            up.wait()

    def kill_everything(self) -> None:
        """`kill -9` of `outbound up` and all that it started, at once; databases and stand-ins stay."""
        up = self._running.pop("up")
        os.kill(up.pid, signal.SIGSTOP)  # or it would start anew what ends, and its own end would warn the others
        for pid in descendants(up.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        up.kill()

    def fill(self, campaign: str, count: int) -> None:
        """Give the campaign `count` people who are due, by SQL: importing them is not what is measured.

        Nobody has these numbers: in North America no number goes on with 0 or 1 after the area code.
        """
        with self.session() as session:
            now = clock.read(session).now
        with connect(self.database_url) as connection:
            fill(connection, campaign, count, first=self._filled, now=now)
        self._filled += count

    def waiting(self, campaign: str) -> int:
        """How many people of the campaign wait for their call."""
        return self.progress(campaign).prospects.get(ProspectState.WAITING, 0)


def fill(connection: psycopg.Connection[Any], campaign: str, count: int, *, first: int, now: datetime) -> None:
    """`count` people who are due, with the numbers from the `first` on."""
    values = {"campaign": campaign, "count": count, "first": first, "last": first + count - 1, "now": now}
    with connection.transaction():
        for statement in _FILL:
            connection.execute(statement, values)


def connect(database_url: str) -> psycopg.Connection[Any]:
    """A connection of its own that commits each statement and has no time limits."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True)


def until(ready: Callable[[], bool], *, seconds: float, every: float = 0.2) -> bool:
    """Wait until `ready` is true, for `seconds` at most; returns whether it became so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def judged(provider: Provider) -> dict[str, Any]:
    """The stand-in's ledger. A benchmark in which anybody was called twice has no result."""
    ledger = provider.ledger()
    for wrong in ("repeated_names", "overlapping_calls"):
        if ledger["totals"][wrong]:
            raise SystemExit(f"the stand-in's ledger has {wrong}: {ledger['totals'][wrong]}")
    return ledger
