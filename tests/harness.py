"""A whole running system for a test: the real processes, on a database of the test's own, and nothing else.

    with System(database, redis_url, tmp_path) as system:        # the fixture `system` does this
        system.start()                                           # web, workers, beat; returns when they are ready
        provider = system.provider(speed=60, concurrency=10)     # a simulator process, and the clock it shares with us
        system.account(provider)
        system.campaign(windows="Mon-Sun 09:00-20:00")
        system.import_people([{"phone": "+12125550100", "name": "Dana"}])
        system.command(Command.START)
        system.until_over()
        provider.ledger(); system.session()                      # what really happened; what we believe

What it starts: uvicorn with `workers.asgi`, one Celery worker process for each entry of `WORKERS` with the very
command of `outbound up`, Celery beat, and one `campaigns.simulator` for each `provider`. All of them listen on
loopback, and all output of each goes to a file (`system.said()`). PostgreSQL and Valkey are the run's own (`embedded`);
each system has a database and a Redis database number to itself, so hints of one never reach another.

For tests of faults: `system[name]` is a process with `kill` (`-9`, alone or with its children) and `end`;
`system.start(name)` starts it again; `system.empty_redis()` forgets every hint and `system.hints_repeated()` repeats
them. Every process is ended by its own id
when the block ends. Waits are bounded, and a process that died unasked fails the test with its last words.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import redis
from celery import Celery
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.cli.importing import run_import
from campaigns.cli.processes import python
from campaigns.cli.up import worker_command
from campaigns.models import Call, Event
from campaigns.pipeline import defining, reporting, scheduling
from campaigns.pipeline.importing.storing import Report
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.definition import AccountDefinition, CampaignDefinition, read_definition
from tests.processes import CREDENTIAL, KEY, NOT_OURS, PATIENCE, SECRET, Process, Provider, eventually, free_port

ORIGIN = datetime(2027, 3, 2, 15, tzinfo=UTC)  # a Tuesday in winter: 10:00 in New York

WORKERS = {"calls": 4, "events": 2, "dispatch,upkeep": 2}
"""Queues → pool processes. Fewer workers than `outbound up` has, to be quick; no journey needs `bulk`."""

WAITS = {
    # Seconds instead of minutes until what was lost is asked about. `ANSWER` stays above what a POST takes here.
    "OUTBOUND_LEASE_SECONDS": "2",
    "OUTBOUND_ANSWER_SECONDS": "2",
    "OUTBOUND_ASK_AGAIN_SECONDS": "1",
    "OUTBOUND_SILENCE_SECONDS": "1.5",
    "OUTBOUND_REPORT_GRACE_SECONDS": "1",
    "OUTBOUND_QUIET_SECONDS": "6",
}

_redis_numbers = itertools.cycle(range(1, 16))


class System:
    """The product running on one database."""

    def __init__(self, database_url: str, redis_url: str, folder: Path, **environment: str) -> None:
        self.database_url = database_url
        self.redis_url = f"{redis_url.rpartition('/')[0]}/{next(_redis_numbers)}"
        self.folder = folder
        self.web_port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)},
            **WAITS,
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis_url,
            "JOURNEY_KEY": KEY,
            "JOURNEY_SECRET": SECRET,
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.workers: Mapping[str, int] = WORKERS
        self.speed = 1.0
        self.started_at: datetime | None = None
        self.through: Callable[[list[str]], list[str]] = list
        """What is made of a command of ours before it is started."""
        self._running: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.empty_redis()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.end()
        self.empty_redis()

    def __getitem__(self, name: str) -> Process:
        return self._running[name]

    # Processes

    def start(self, *names: str) -> None:
        """Start these processes, or (without names) all of them; return when they take work.

        `name#2` is a second one of the same kind.
        """
        wanted = names or ("web", *self.workers, "beat")
        for name in wanted:
            self._run(Process(name, self.through(self._command(_kind(name))), self.environment, self.folder))
        for name in wanted:
            if _kind(name) in self.workers:
                self[name].until_it_says("ready.")
        if "web" in wanted:
            eventually(self._web_is_ready, lambda: f"the web process is ready; it said:\n{self['web'].said()}")

    def provider(self, name: str = "simulator", *, speed: float = 1.0, **settings: Any) -> Provider:
        """One more simulator. The first starts the campaign's clock at `ORIGIN`; later ones share it."""
        first = self.started_at is None
        if first:
            self.speed = speed
            self.started_at = datetime.now(UTC) + timedelta(seconds=1.5)  # by then the simulator is there
        assert self.started_at is not None
        clock_options = ("--origin", ORIGIN.isoformat(), "--started", self.started_at.isoformat())
        command = python("campaigns.simulator", "--port", "0", *clock_options, "--speed", str(self.speed))
        provider = Provider(name, command, self.environment, self.folder)
        self._run(provider)
        provider.connect(**settings)
        if first:
            time.sleep(max(0.0, (self.started_at - datetime.now(UTC)).total_seconds()))
            with self.session() as session:
                clock.rehearse(session, origin_at=ORIGIN, speed=self.speed, started_at=self.started_at)
        return provider

    def end_providers(self) -> None:
        """End every simulator, and with it whatever was going on at it."""
        for name in [name for name, process in self._running.items() if isinstance(process, Provider)]:
            self._running.pop(name).end()

    def outbound(self, *arguments: str, fails: bool = False) -> str:
        """What the real command says to stdout; it must succeed, or (with `fails`) must not."""
        done = subprocess.run(
            python("campaigns.cli.outbound", *arguments),
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stdout

    def empty_redis(self) -> None:
        """Forget every hint."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()

    @contextmanager
    def hints_repeated(self) -> Iterator[None]:
        """Inside the block every hint about a call to place or an event to apply comes again, some many times."""
        sender, done = Celery(broker=self.redis_url, set_as_current=False), threading.Event()
        to_place = select(Call.id).where(Call.state.in_(["claimed", "placing"]))
        to_apply = select(Event.id).where(Event.learned == "pushed").order_by(Event.id.desc()).limit(3)

        def repeat() -> None:
            with sender.connection_for_write() as connection:
                while not done.wait(0.1):
                    with self.session() as session:
                        hints: list[tuple[str, str, str | int]] = [
                            ("calls", "calls.place", str(call_id)) for call_id in session.scalars(to_place)
                        ]
                        hints += [("events", "events.apply", event_id) for event_id in session.scalars(to_apply)]
                    for queue, task, row_id in hints:
                        sender.send_task(task, args=[row_id], queue=queue, expires=60, connection=connection)

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            sender.close()

    def said(self) -> str:
        """What all processes of the product have said, simulators apart, those that were killed included."""
        ours = {name for name, process in self._running.items() if not isinstance(process, Provider)}
        return "".join((self.folder / f"{name}.log").read_text(errors="replace") for name in sorted(ours))

    def _run(self, process: Process) -> None:
        self._running[process.name] = process

    def _command(self, name: str) -> list[str]:
        if name == "web":
            port = str(self.web_port)
            return python("uvicorn", "workers.asgi:app", "--port", port, "--no-access-log", "--log-level", "warning")
        if name == "beat":
            return python("celery", "--app", "workers.app", "beat", "--loglevel", "WARNING")
        return worker_command(name, self.workers[name])

    def _web_is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.web_url}/readyz", trust_env=False, timeout=2).is_success
        except httpx.HTTPError:
            return False

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    # The campaign

    def session(self) -> AbstractContextManager[Session]:
        """A session on the database that commits at the end of the block."""
        return db.transaction(self.database_url)

    def account(self, provider: Provider, name: str = "main", **changes: Any) -> None:
        """An account that talks to `provider` and is told by webhooks."""
        values: dict[str, Any] = {
            "name": name,
            "base_url": provider.url,
            "key_env": "JOURNEY_KEY",
            "concurrency": 10,
            "calls_per_second": 100.0,
            "public_url": self.web_url,
            "credential_id": CREDENTIAL,
            "webhook": [{"type": "hmac", "secret_env": ["JOURNEY_SECRET"]}],
        }
        definition = read_definition(AccountDefinition, values | changes, source="the journey's account")
        with self.session() as session:
            moment = clock.read(session)
            defining.apply_account(session, definition, who="journey", now=moment.now, real=moment.real)

    def campaign(self, name: str = "spring", **changes: Any) -> None:
        values: dict[str, Any] = {
            "name": name,
            "account": "main",
            "phone_number_ids": ["number-1", "number-2"],
            "assistant_id": "an-assistant",
            "windows": "Mon-Sun 09:00-20:00",
            "default_region": "US",
            "consent": {"source": "web form", "level": "written"},
            "retry": {"no_answer": ["2m"], "busy": ["1m"], "voicemail": ["2m"], "technical": ["1m"]},
        }
        definition = read_definition(CampaignDefinition, values | changes, source="the journey's campaign")
        with self.session() as session:
            defining.apply_campaign(session, definition, who="journey", now=clock.read(session).now)

    def import_people(self, people: Sequence[Mapping[str, str]], *, campaign: str = "spring") -> Report:
        """Import a list with a column for each key; returns the import's report."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(people[0]))
        writer.writeheader()
        writer.writerows(people)
        file = io.BytesIO(text.getvalue().encode())
        return run_import(self.database_url, campaign, file, source="list.csv")[1]

    def command(self, wanted: Command, *, campaign: str = "spring") -> None:
        with self.session() as session:
            scheduling.command(session, campaign, wanted, who="journey", now=clock.read(session).now)

    def progress(self, campaign: str = "spring") -> reporting.Progress:
        with self.session() as session:
            return reporting.progress(session, scheduling.find(session, campaign), now=clock.read(session).now)

    def until_over(self, *campaigns: str, seconds: float = PATIENCE) -> None:
        """Return when these campaigns are completed. A process that died unasked fails the test."""
        names = campaigns or ("spring",)

        def over() -> bool:
            self.check_processes()
            return all(self.progress(name).state == CampaignState.COMPLETED for name in names)

        eventually(over, lambda: f"completed: {[self.progress(name) for name in names]}", seconds=seconds)

    def check_processes(self) -> None:
        """Fail the test where a process has ended unasked."""
        for process in self._running.values():
            assert process.exit_code is None, f"{process.name} ended:\n{process.said()[-3000:]}"

    @contextmanager
    def overhear_redis(self) -> Iterator[list[str]]:
        """Everything that any process says to Redis inside the block: hints with their arguments, events, results."""
        heard: list[str] = []
        with redis.Redis.from_url(self.redis_url) as client, client.monitor() as monitor:
            yield heard
            client.echo("the end of what was overheard")
            for command in monitor.listen():
                heard.append(command["command"])
                if "the end of what was overheard" in command["command"]:
                    return


def _kind(name: str) -> str:
    return name.partition("#")[0]


def seen_in(heard: Sequence[str]) -> str:
    """What was overheard as one text, message bodies decoded."""
    text = "\n".join(heard)
    bodies = re.findall(r'"body\\*": \\*"([A-Za-z0-9+/=]+)\\*"', text)
    return text + "\n" + "\n".join(base64.b64decode(body).decode(errors="replace") for body in bodies)
