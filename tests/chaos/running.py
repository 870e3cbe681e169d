"""One case of the matrix: a whole system on servers of its own, a campaign, a fault, and the wait until all is at rest.

Two accounts with lines of their own talk to one stand-in, and some of the people are in a campaign of each, so that the
claims of one account race with those of the other for the same persons.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from campaigns.models import Call, Campaign, Person
from campaigns.pipeline import scheduling, suppressing
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from tests.chaos.overhearing import Overhearing
from tests.chaos.people import split
from tests.chaos.servers import Servers
from tests.chaos.watching import Watch
from tests.chaos.witnessing import waking
from tests.harness import System
from tests.processes import Provider, descendants

SPEED = 30.0  # ten thousand people are called within the eleven hours of the day's window, at eight a second too
LINES = {"main": 39, "second": 18}  # of calls of a second: as many as two cores can keep busy
FEW_LINES = {"main": 4, "second": 2}  # for what shows only while they are scarce, on a slow machine too
RATES = {"main": 40.0, "second": 20.0}  # calls per second
CAMPAIGNS = {"spring": "main", "autumn": "second"}
WINDOWS = "Mon-Sun 09:00-20:00"
RETRY = {"no_answer": ["2m"], "busy": ["1m"], "voicemail": [], "technical": ["1m"]}
MONEY: dict[str, Any] = {
    # Enough for everybody: that the sums are those of the calls is judged after every case.
    "prices": {"platform": 0.1},
    "budget": {"total": 1_000_000.0, "per_day": 900_000.0},
}
OUTCOMES = {"answered": 70, "no_answer": 12, "voicemail": 8, "busy": 5, "failed": 3, "pipeline_error": 2}

AWAKE = 2.0  # seconds in which whoever was asleep to the end has said what came of its calls
STALL = 100.0  # real seconds without any change after which a run counts as stuck; an outage of 60 is part of one case
ENOUGH = 6  # times that a process kills or stops itself in a case, at least
SABOTAGED = Path(__file__).with_name("sabotaged.py")


def of_a_number(lines: int) -> int:
    """The most calls at once from one of an account's two caller numbers: more than half, fewer than all."""
    return math.ceil(0.6 * lines)


@dataclass(frozen=True)
class Case:
    """One row of the matrix. `fault` is what is done meanwhile; the rest is how the system and the stand-in are set."""

    name: str
    fault: Callable[[Run], None] = lambda _run: None
    large: bool = False
    """Whether it is one of those that run with ten times as many people."""
    share: float = 1.0
    """Part of the usual number of people, for what is slow by its nature."""
    lines: Mapping[str, int] = field(default_factory=lambda: LINES)
    """By account."""
    shared: float = 0.1
    """Part of the people who are in both campaigns."""
    provider: Mapping[str, Any] = field(default_factory=dict)
    extra: Sequence[str] = ()
    """More processes than there are ordinarily."""
    points: Sequence[Mapping[str, Any]] = ()
    guards: Sequence[str] = ()
    repeat: int = 0
    clocks: Sequence[str] = ()
    """Processes whose clocks the run may set; `all` for all."""
    schema: Sequence[str] = ()
    """SQL that is executed before the start."""
    full_lines: bool = False
    """Whether the provider has fewer lines than the accounts say, so that requests meet full lines."""
    seen: Callable[[Run], object] = lambda _run: False
    """Whether what the run is for has shown, so that it need not go on: where a guard is missing."""
    patience: float = STALL
    longest: float = math.inf
    """Seconds from the start after which it is judged as it stands: where a guard is missing it may never rest."""

    @property
    def sabotages(self) -> bool:
        return bool(self.points or self.guards or self.repeat or self.clocks)


@dataclass(frozen=True)
class Stop:
    """A command that stops dialling, from its return until it was taken back."""

    what: str
    returned: datetime
    until: datetime
    named: frozenset[str]
    """The calls that it said were in flight."""
    campaign: str | None = None
    number: str | None = None


class Run:
    """A case that is going on. Its faults run in the thread that started the servers."""

    def __init__(self, case: Case, servers: Servers, system: System, *, prospects: int, seed: int) -> None:
        self.case, self.servers, self.system = case, servers, system
        self.prospects = prospects
        self.dice = random.Random(f"{seed}-{case.name}")  # noqa: S311 - dice
        self.seed = seed
        self.stops: list[Stop] = []
        self.missed = 0
        """Faults for which the run was over too soon."""
        self.orphaned = 0
        """Calls that were between their intent and their answer when a process, or its database, went away."""
        self.people: dict[str, list[dict[str, str]]] = split(prospects, shared=case.shared)
        self.watch = Watch(system, case.lines)
        self.heard = Overhearing(servers, system.folder / "hints")
        self.deadline = math.inf
        self.provider: Provider

    @property
    def witness(self) -> Path:
        return self.system.folder / "witness"

    @property
    def clock_file(self) -> Path:
        return self.system.folder / "clock"

    def through(self, command: list[str]) -> list[str]:
        """Our command, run with what the case has ordered."""
        kind = next((part for part in command if part in {"beat", "uvicorn"}), None)
        kind = kind or command[command.index("--queues") + 1]
        clocks = self.case.clocks if kind in self.case.clocks or "all" in self.case.clocks else ()
        ordered = self.case.points or self.case.guards or self.case.repeat or clocks
        if ordered and (not self.case.clocks or clocks):
            command = [sys.executable, str(SABOTAGED), *command[2:]]
        return command

    def orders(self) -> str:
        case = self.case
        # However few the people are, what is ordered happens a few times.
        points = [{**point, "chance": max(point["chance"], ENOUGH / self.prospects)} for point in case.points]
        orders: dict[str, Any] = {"witness": str(self.witness), "seed": self.seed, "points": points}
        orders |= {"guards": list(case.guards), "repeat": case.repeat}
        orders |= {"clock": str(self.clock_file)} if case.clocks else {}
        return json.dumps(orders)

    def set_up(self) -> None:
        """Everything runs, and everybody is imported."""
        self.shift_clocks(0)
        self.witness.touch()
        self.system.environment["CHAOS"] = self.orders()
        self.system.through = self.through
        for statement in self.case.schema:
            self.sql(statement)
        self.system.start()
        if self.case.extra:
            self.system.start(*self.case.extra)
        lines = {"concurrency": sum(self.case.lines.values()), "seed": self.seed, "outcomes": OUTCOMES}
        self.provider = self.system.provider(speed=SPEED, **{**lines, **self.case.provider})
        for account, limit in self.case.lines.items():
            limits = {
                "concurrency": limit,
                "number_concurrency": of_a_number(limit),
                "calls_per_second": RATES[account],
            }
            self.system.account(self.provider, account, **limits)
        for campaign, account in CAMPAIGNS.items():
            self.system.campaign(campaign, account=account, windows=WINDOWS, retry=RETRY, **MONEY)
            self.system.import_people(self.people[campaign], campaign=campaign)

    def until_at_rest(self) -> None:
        """Return when nothing moves any more; whoever waits behind a call in review is given up by a cancel."""
        seen, since = self._progress(), time.monotonic()
        while not self.is_at_rest():
            time.sleep(0.5)
            self.look_after()
            if (now := self._progress()) != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > self.case.patience:
                self.note_standstill("before it was at rest")
                return  # the judge says what is left
            if time.monotonic() > self.deadline or self.case.seen(self):
                return
        with self.system.session() as session:
            left = session.scalars(select(Campaign.name).where(Campaign.state == CampaignState.RUNNING)).all()
        for name in left:
            if any(self.system.progress(name).prospects.get(state) for state in ("waiting", "held")):
                self.system.command(Command.CANCEL, campaign=name)

    def is_at_rest(self) -> bool:
        """Nobody is in a call, and whoever waits, waits for a person whose call is in review."""
        query = """
            SELECT (SELECT count(*) FROM prospects p WHERE state IN ('in_call', 'settling')
                      OR state = 'waiting' AND NOT EXISTS
                        (SELECT FROM calls c WHERE c.person_id = p.person_id AND c.state = 'review'))
                 + (SELECT count(*) FROM calls WHERE state NOT IN ('ended', 'not_placed', 'review'))
                 + (SELECT count(*) FROM events WHERE retry_at IS NOT NULL)
        """
        try:
            return self.sql(query)[0][0] == 0
        except DBAPIError:
            return False

    def look_after(self) -> None:
        """Start again what ended unasked, as `outbound up` and Compose do: Celery may leave when Redis goes away."""
        for name in ("web", *self.system.workers, "beat", *self.case.extra):
            if (code := self.system[name].exit_code) is not None:
                with (self.system.folder / "restarted").open("a") as file:
                    file.write(f"{datetime.now(UTC)} {name} had ended with {code}\n")
                self.note_orphans()
                self.system.start(name)

    def note_standstill(self, when: str) -> None:
        """Keep how everything stood when nothing moved any more."""
        lines = [f"{datetime.now(UTC)} {when}, {self.provider.posts()} posts"]
        for table in ("campaigns", "pace"):
            lines += [str(row[0]) for row in self.sql(f"SELECT to_jsonb(t) - 'definition' FROM {table} t")]  # noqa: S608
        for table in ("prospects", "calls"):
            by_state = f"SELECT state, state_why, count(*) FROM {table} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20"  # noqa: S608
            lines += [f"{table}: {row}" for row in self.sql(by_state)]
        with (self.system.folder / "standstill").open("a") as file:
            file.write("\n".join(lines) + "\n")

    def _progress(self) -> object:
        try:
            return self.sql("SELECT state, count(*) FROM prospects GROUP BY 1 ORDER BY 1"), self.provider.posts()
        except DBAPIError:
            return None

    # What faults use

    def until(self, share: float) -> bool:
        """Return when that share of the calls was made; False where everything was over before."""
        wanted = share * self.prospects
        since, posts = time.monotonic(), -1
        while posts < wanted:
            self.look_after()
            now = self.provider.posts()
            if now != posts:
                since, posts = time.monotonic(), now
            elif time.monotonic() - since > self.case.patience or self.is_at_rest():
                self.missed += 1
                self.note_standstill(f"while {wanted:g} posts were waited for")
                return False
            time.sleep(0.3)
        return True

    def going_on(self, until: float = 0.95) -> Iterator[None]:
        """Again and again while calls are made."""
        wanted = until * self.prospects
        while self.provider.posts() < wanted and not self.is_at_rest() and time.monotonic() < self.deadline:
            yield

    def kill_child(self) -> None:
        """End one pool process of a random worker without a word, the busiest kind more often."""
        name = self.dice.choice([*self.system.workers, "calls"])
        if children := descendants(self.system[name].pid):
            with suppress(ProcessLookupError):  # it ended by itself since
                os.kill(self.dice.choice(children), signal.SIGKILL)
            self.note_orphans()

    def kill(self, name: str, *, children: bool = True) -> None:
        """End a whole process without a word, and start it again."""
        self.system[name].kill(children=children)
        self.note_orphans()
        self.system.start(name)

    def note_orphans(self) -> None:
        """Count the calls whose process may just have gone away between the intent and the answer."""
        self.orphaned += self.sql("SELECT count(*) FROM calls WHERE state = 'placing'")[0][0]

    def shift_clocks(self, seconds: float) -> None:
        """Let the clocks of the case's processes be wrong by so much."""
        if not self.clock_file.exists():
            self.clock_file.write_bytes(struct.pack("d", seconds))
        with self.clock_file.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    def sql(self, statement: str) -> Sequence[Any]:
        """The rows of a statement, committed."""
        with self.system.session() as session:
            result = session.execute(text(statement))
            return result.all() if result.returns_rows else ()

    def in_flight(self, campaign: str | None = None) -> frozenset[str]:
        """What a stop of the campaign, or of everything, says is in flight."""
        with self.system.session() as session:
            campaign_id = None if campaign is None else scheduling.find(session, campaign).id
            return frozenset(str(call) for call, _ in scheduling.still_in_flight(session, campaign_id))

    def pause(self, campaign: str, seconds: float) -> None:
        """Pause, wait, resume."""
        self.system.command(Command.PAUSE, campaign=campaign)
        returned = datetime.now(UTC)
        named = self.in_flight(campaign)
        time.sleep(seconds)
        self.stops.append(Stop("pause", returned, datetime.now(UTC), named, campaign=campaign))
        self.system.command(Command.RESUME, campaign=campaign)

    def freeze(self, seconds: float) -> None:
        """Freeze, wait, unfreeze."""
        self._set_frozen(frozen=True)
        returned = datetime.now(UTC)
        named = self.in_flight()
        time.sleep(seconds)
        self.stops.append(Stop("freeze", returned, datetime.now(UTC), named))
        self._set_frozen(frozen=False)

    def _set_frozen(self, *, frozen: bool) -> None:
        with self.system.session() as session:
            scheduling.set_frozen(session, frozen=frozen, who="chaos", now=datetime.now(UTC), why="chaos")

    def suppress_somebody(self) -> None:
        """Put a person on the do-not-call list whose call is claimed or was just sent, for ever."""
        with self.system.session() as session:
            calls = select(Person.number).join(Call, Person.id == Call.person_id)
            soon = calls.where(Call.state.in_([CallState.CLAIMED, CallState.PLACING]), Person.suppressed_at.is_(None))
            found = session.scalars(soon.order_by(func.random()).limit(1)).all()
        if not found:
            return  # nobody is about to be called
        with self.system.session() as session:
            now = datetime.now(UTC)
            suppressing.suppress(session, found[0], campaign_id=None, reason="asked", who="chaos", now=now)
        returned = datetime.now(UTC)
        named = self.in_flight()
        self.stops.append(Stop("suppress", returned, datetime.max.replace(tzinfo=UTC), named, number=found[0]))


@contextmanager
def running(case: Case, servers: Servers, folder: Path, *, prospects: int, seed: int) -> Iterator[Run]:
    """The case from its start until it is at rest; nothing of it runs after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url = stack.enter_context(servers.database())
        system = stack.enter_context(System(url, servers.redis_url, folder))
        run = Run(case, servers, system, prospects=prospects, seed=seed)
        try:
            run.set_up()
            run.deadline = time.monotonic() + case.longest
            with run.heard, run.watch:
                with waking(run.witness, case.points):
                    for campaign in CAMPAIGNS:
                        system.command(Command.START, campaign=campaign)
                    case.fault(run)
                    run.until_at_rest()
                if case.points:
                    time.sleep(AWAKE)
                    run.until_at_rest()
            yield run
        finally:
            for server in (servers.postgres, servers.valkey):
                servers.start(server)
