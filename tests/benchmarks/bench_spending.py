"""What it costs that no budget is passed: intents a second of one campaign, by several processes, with and without.

Every intent of a campaign with a budget updates the same row, so they commit one after the other. The two kinds take
turns, on the same server and with the same number of processes.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from statistics import median
from typing import Any
from uuid import UUID

from campaigns import clock, db
from campaigns.embedded import Servers
from campaigns.pipeline import calling
from campaigns.rules.call_state import CallState
from campaigns.rules.timing import Timing
from tests import factories
from tests.benchmarks.results import Result
from tests.harness import ORIGIN

PROCESSES = 4  # as `outbound up` starts for calls
INTENTS = 120  # to a round, in transactions of one: the most that a budget can cost
ROUNDS = 5
AIM = 0.7  # of what goes without a budget; a provider that takes a call a second is asked far less often
MONEY: dict[str, Any] = {"prices": {"platform": 0.1}, "budget": {"total": 1_000_000.0, "per_day": 900_000.0}}


def measure(servers: Servers) -> list[Result]:
    """The median of several rounds, of each kind in turns."""
    url = servers.database_url
    with db.transaction(url) as session:
        clock.rehearse(session, origin_at=ORIGIN, speed=1.0)  # ten in the morning, whenever it is measured
    rates: dict[str, list[float]] = {"with": [], "without": []}
    with multiprocessing.get_context("spawn").Pool(PROCESSES, _begin, (url,)) as pool:
        for turn in range(ROUNDS + 1):
            for kind in ("with", "without") if turn % 2 else ("without", "with"):
                calls = _claimed(url, f"{kind}-{turn}", MONEY if kind == "with" else {})
                began = time.perf_counter()
                placed = sum(pool.map(_intend, [calls[start::PROCESSES] for start in range(PROCESSES)], chunksize=1))
                if placed != INTENTS:
                    raise SystemExit(f"{placed} of {INTENTS} intents were committed: there is nothing to compare")
                if turn:  # the first round warms up
                    rates[kind].append(INTENTS / (time.perf_counter() - began))
    ours, peer = median(rates["with"]), median(rates["without"])
    return [Result("intents with a budget", "/s", "at_least", ours, {"without one": peer}, AIM)]


def _claimed(url: str, name: str, terms: dict[str, Any]) -> list[UUID]:
    """A campaign of its own with so many claimed calls."""
    with db.transaction(url) as session:
        moment = clock.read(session)
        campaign = factories.campaign(session, moment.now, name=name, **terms)
        calls = []
        for turn in range(INTENTS):
            number = f"+1{2120000000 + _turn(name) * INTENTS + turn}"  # which nobody has
            who = factories.prospect(session, campaign, moment.now, e164=number)
            calls.append(factories.call(session, who, moment.now, state=CallState.CLAIMED, slot_at=moment.real).id)
        return calls


def _turn(name: str) -> int:
    kind, _, turn = name.partition("-")
    return int(turn) * 2 + (kind == "with")


def _begin(url: str) -> None:
    globals()["_url"] = url
    db.forget()


def _intend(calls: Sequence[UUID]) -> int:
    """One transaction for each of them, as a worker makes it; how many were committed."""
    placed = 0
    for call_id in calls:
        with db.transaction(globals()["_url"]) as session:
            held = calling.hold_still(session, [call_id], timing=Timing())
            moment = clock.read(session)
            for one in held:
                one.locked.call.slot_at = moment.real  # its turn is now, however long the others took
            placed += len(calling.prepare(session, held, now=moment.now, real=moment.real))
    return placed
