"""Calls placed and settled per second, webhooks and all, beside a bare Celery task that makes the same POST.

Calls take less than a second, so that neither lines nor people limit them. Everything shares this machine's cores: the
product, its servers, the stand-in. `PROFILE=1` in the environment says where the time goes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import redis
from celery import Celery
from sqlalchemy import func, select

from campaigns.cli.processes import python
from campaigns.cli.up import WORKERS, worker_command
from campaigns.embedded import Servers
from campaigns.models import Call
from campaigns.rules.campaign_state import Command
from tests.benchmarks import usage
from tests.benchmarks.celery_peer import TABLE
from tests.benchmarks.ledgers import moments, per_second
from tests.benchmarks.results import Result
from tests.benchmarks.running import BRIEF, Whole, connect, judged, until
from tests.processes import KEY, Process, Provider

LINES = 200  # twice what a hundred calls of a second and their webhooks hold at a time
RATE = 200.0  # a second: more than is reached, so that the pace does not limit
PEOPLE = 10_000  # enough for the whole run at that rate
WARM_UP, SECONDS = 8.0, 40.0  # of steady state are counted
TASKS, NO_OPS = 1_500, 4_000  # some ten seconds of each
PATIENCE = 120.0  # seconds for the first call of ours, and for all of the peers'
LIMIT = 50.0  # calls a second: 1,000 lines with calls of 20 s


def measure(servers: Servers) -> list[Result]:
    """The rate of ours between two rounds of the peers, which tell how the machine was before and after."""
    with tempfile.TemporaryDirectory() as folder, Whole(servers, Path(folder)) as system:
        before = _peers(system, "before")
        system.start()
        ours = _ours(system)
        system.stop()
        after = _peers(system, "after")
    calls, no_ops = (mean(pair) for pair in zip(before, after, strict=True))
    say(
        f"the peer: {before[0]:.1f} calls a second before, {after[0]:.1f} after; no-ops {before[1]:.0f}, {after[1]:.0f}"
    )
    beside = {"a bare Celery task": calls, "a no-op task": no_ops, "the stand-in alone": ours.stand_in}
    return [
        Result("throughput", "calls a second", "at_least", ours.rate, beside, 0.6),
        Result("throughput sustained", "calls a second", "at_least", ours.rate, {"limit": LIMIT}, 1.0),
    ]


@dataclass(frozen=True, slots=True)
class _Ours:
    rate: float
    """Calls a second that were placed, or settled, whichever is lower."""
    stand_in: float
    """Calls a second with which the stand-in would fill a core of its own: it must not be what limits us."""


def _ours(system: Whole) -> _Ours:
    provider = system.provider("stand-in", concurrency=LINES, **BRIEF)
    system.account(provider, concurrency=LINES, calls_per_second=RATE)
    system.campaign(retry={"max_attempts": 1, "max_calls": 1})
    system.fill("spring", PEOPLE)
    servers = usage.servers(system.database_url, system.redis_url)

    def look() -> tuple[float, int, int, usage.Look, usage.Look]:
        with system.session() as session:
            settled = session.scalar(select(func.count()).where(Call.settled_at.is_not(None))) or 0
        done = usage.work(system.database_url, system.redis_url)
        busy = usage.processors(system["up"].pid, provider.pid, *servers)
        return time.monotonic(), provider.posts(), settled, busy, done

    system.command(Command.START)
    if not until(lambda: provider.posts() > 0, seconds=PATIENCE):
        raise SystemExit(f"nobody was called within {PATIENCE:g} s:\n{system.said()[-2000:]}")
    time.sleep(WARM_UP)
    first = look()
    time.sleep(SECONDS)
    last = look()
    judged(provider)
    system.command(Command.CANCEL)
    seconds, posts, settled = last[0] - first[0], last[1] - first[1], last[2] - first[2]
    calls = min(posts, settled)
    if calls == 0:
        raise SystemExit("nothing was placed and settled in the time that counts")
    say(f"in {seconds:.0f} s {posts} calls were placed and {settled} were settled")
    busy, done = usage.per_call(first[3], last[3], calls), usage.per_call(first[4], last[4], calls)
    if os.environ.get("PROFILE"):
        say(*usage.table("processor time a call", busy, "ms", scale=1000))
        say(f"  {'there was':<32}{1000 * seconds * (os.cpu_count() or 1) / calls:9.2f} ms")
        say(*usage.table("work a call", done, "", total=False))
    return _Ours(calls / seconds, posts / (calls * busy["stand-in"]))


def _peers(system: Whole, when: str) -> tuple[float, float]:
    """Bare calls and no-ops a second, on as many worker processes as place calls in `outbound up`."""
    with connect(system.database_url) as connection:
        connection.execute(TABLE)
    stand_in = python("campaigns.simulator", "--port", "0")
    provider = Provider(f"stand-in-{when}", stand_in, system.environment, system.folder)
    worker: Process | None = None
    try:
        provider.connect(concurrency=TASKS, **BRIEF)
        command = [
            "tests.benchmarks.celery_peer" if word == "workers.app" else word
            for word in worker_command("peer", WORKERS["calls"])
        ]
        settings = system.environment | {"PEER_URL": provider.url, "PEER_KEY": KEY}
        worker = Process(f"peer-{when}", command, settings, system.folder)
        worker.until_it_says("ready.")
        _send(system, "peer.call", TASKS)
        if not until(lambda: provider.posts() >= TASKS, seconds=PATIENCE):
            raise SystemExit(f"the peer did not place its calls within {PATIENCE:g} s:\n{worker.said()[-2000:]}")
        calls = per_second(moments(judged(provider)["calls"], "accepted"))
        began = time.monotonic()
        _send(system, "peer.noop", NO_OPS)
        with redis.Redis.from_url(system.redis_url) as client:
            if not until(lambda: client.llen("peer") == 0, seconds=PATIENCE, every=0.02):
                raise SystemExit(f"the peer did not do its no-ops within {PATIENCE:g} s")
        return calls, NO_OPS / (time.monotonic() - began)
    finally:
        provider.end()
        if worker is not None:
            worker.end()


def _send(system: Whole, task: str, count: int) -> None:
    """Send the hints while they are being worked on, as a producer does."""
    sender = Celery(broker=system.redis_url, set_as_current=False)
    with sender.connection_for_write() as connection:
        for turn in range(count):
            sender.send_task(task, args=[f"+1{2120000000 + turn}"], queue="peer", connection=connection)
    sender.close()


def say(*lines: str) -> None:
    """To stderr: stdout is for the results."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
