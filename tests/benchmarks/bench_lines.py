"""How much of the permitted line time is used while anybody is due, beside what people use in place of an engine.

Calls run in real time, 20 s on average, from 2 s to 40. The stand-in says when each was on a line.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from campaigns.cli.processes import python
from campaigns.embedded import Servers
from campaigns.rules.campaign_state import Command
from tests.benchmarks.ledgers import Use, use
from tests.benchmarks.results import Result
from tests.benchmarks.running import Whole, judged, until
from tests.processes import KEY, Process, Provider

SIZES = (10, 50, 200)  # lines
MEAN, LONGEST = 20.0, 40.0  # seconds of a call, as the mix below makes them
MIX: dict[str, Any] = {
    "outcomes": {"answered": 60, "voicemail": 20, "no_answer": 15, "busy": 5},
    "durations": {
        "dial": [0.5, 1.5],
        "ring": [2, 6],
        "talk": [8, 32],
        "voicemail": [6, 14],
        "no_answer": [8, 14],
        "busy": [1, 3],
    },
}
PACE = 4  # times as many calls a second as calls end: at twice, ten lines lose 2.5 % by waiting for the next slot
SECONDS = 50.0  # of full lines: two and a half calls on each
PATIENCE = 2.5 * SECONDS  # of filling the lines and calling everybody; what was not called by then is not waited for
PEERS = {"loop": "a loop that sleeps 2 s", "batches": "batches of as many"}
PEER_SECONDS = 2 * LONGEST + 10  # two whole batches, and the beginning of a third


def measure(servers: Servers) -> list[Result]:
    """For each number of lines: the share of them in use, and the most calls that were open at once."""
    with tempfile.TemporaryDirectory() as folder, Whole(servers, Path(folder)) as system:
        beside = _peers(system)
        system.start()
        return [result for lines in SIZES for result in _with(system, lines, beside[lines])]


def _with(system: Whole, lines: int, beside: dict[str, tuple[Use, int]]) -> list[Result]:
    name = f"lines-{lines}"
    provider = system.provider(name, concurrency=lines, **MIX)
    rate = PACE * lines / MEAN
    system.account(provider, name=name, concurrency=lines, calls_per_second=rate)
    system.campaign(name, account=name, retry={"max_attempts": 1, "max_calls": 1})
    people = int(lines * (1 + SECONDS / MEAN))
    system.fill(name, people)
    system.command(Command.START, campaign=name)
    dry = until(lambda: provider.posts() >= people, seconds=PATIENCE)
    end = None if dry else datetime.now(UTC)
    ledger = judged(provider)
    system.command(Command.CANCEL, campaign=name)
    ours = use(ledger["calls"], lines, until=end, longest=timedelta(seconds=LONGEST))
    if not ours.filled:
        sys.stderr.write(f"{lines} lines were never all in use: calls ended faster than new ones were placed\n")
    if lines != SIZES[-1]:
        until(lambda: _is_quiet(provider), seconds=2 * LONGEST)  # these calls must not ring out into the next run
    shares = {PEERS[kind]: 100 * found.share for kind, (found, _) in beside.items()}
    most = {PEERS[kind]: float(count) for kind, (_, count) in beside.items()}
    return [
        Result(f"{lines} lines", "% in use", "at_least", 100 * ours.share, {"permitted": 100, **shares}, 0.97),
        Result(
            f"{lines} lines: most calls at once",
            "calls",
            "at_most",
            ledger["totals"]["max_open_calls"],
            {"limit": lines, **most},
            1.0,
        ),
    ]


def _is_quiet(provider: Provider) -> bool:
    totals = provider.ledger()["totals"]
    return bool(sum(totals["ended"].values()) == totals["accepted"])


def _peers(system: Whole) -> dict[int, dict[str, tuple[Use, int]]]:
    """All of them at the same time, each against a stand-in of its own: together they place a few calls a second."""
    running: list[tuple[str, int, Provider, Process]] = []
    with ExitStack() as stack:
        for kind in PEERS:
            for lines in SIZES:
                name = f"{kind}-{lines}"
                provider = Provider(
                    f"stand-in-{name}", python("campaigns.simulator", "--port", "0"), system.environment, system.folder
                )
                stack.callback(provider.end)
                provider.connect(concurrency=lines, **MIX)
                command = python("tests.benchmarks.callers", kind, provider.url, KEY, str(lines))
                peer = Process(name, command, system.environment, system.folder)
                stack.callback(peer.end)
                running.append((kind, lines, provider, peer))
        time.sleep(PEER_SECONDS)
        found: dict[int, dict[str, tuple[Use, int]]] = {lines: {} for lines in SIZES}
        for kind, lines, provider, peer in running:
            if peer.exit_code is not None:
                raise SystemExit(f"{peer.name} failed:\n{peer.said()[-2000:]}")
            ledger = judged(provider)
            found[lines][kind] = (
                use(ledger["calls"], lines, until=None, longest=timedelta(seconds=LONGEST)),
                ledger["totals"]["max_open_calls"],
            )
        return found
