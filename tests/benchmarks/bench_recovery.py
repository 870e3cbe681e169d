"""`kill -9` of everything but the two servers, an immediate restart: how long until calls are placed and none is lost.

The waits are the product's own. A third of the POSTs are answered slowly, so that some are always under way when the
kill comes: the provider has their calls, and we do not know it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from campaigns.embedded import Servers
from campaigns.models import Call
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import Command
from campaigns.rules.timing import Timing
from tests.benchmarks.ledgers import moments
from tests.benchmarks.results import Result
from tests.benchmarks.running import Whole, judged, until

LINES, RATE = 20, 5.0  # a second
PEOPLE = 3_000  # ten minutes at that rate: some are due all the time
SCENARIO: dict[str, Any] = {
    "outcomes": {"answered": 1},
    "durations": {"dial": [0.2, 0.5], "ring": [0.5, 1.5], "talk": [1, 4], "processing": [0.5, 1.5]},
    "post_faults": {"slow": 0.35, "slow_seconds": [1, 3]},
}
UNDER_WAY = 2  # calls whose POST is on its way at the kill, at least
BEFORE = 10.0  # seconds of calling before the kill
TICKS = 10.0  # seconds for the ticks between two waits, and for asking one by one
CALLS = 10.0  # seconds for the longest call and its report


def measure(servers: Servers) -> list[Result]:
    """Seconds from the kill to the first call placed after it, and to the last call settled that was open at it."""
    waits = Timing()
    lease = waits.lease.total_seconds()
    # The longest way: a POST whose worker died is unclear after `answer`, and asked about after `ask_again`.
    asked = (waits.answer + waits.ask_again).total_seconds() + TICKS + CALLS
    with tempfile.TemporaryDirectory() as folder, Whole(servers, Path(folder)) as system:
        system.start()
        provider = system.provider(concurrency=LINES, **SCENARIO)
        system.account(provider, concurrency=LINES, calls_per_second=RATE)
        system.campaign(retry={"max_attempts": 1, "max_calls": 1})
        system.fill("spring", PEOPLE)
        system.command(Command.START)
        if not until(lambda: provider.posts() > 0, seconds=lease):
            raise SystemExit(f"nobody was called:\n{system.said()[-2000:]}")
        time.sleep(BEFORE)
        until(lambda: _count(system, CallState.PLACING) >= UNDER_WAY, seconds=BEFORE, every=0.02)
        system.kill_everything()
        killed = datetime.now(UTC)
        system.begin()
        time.sleep(0.5)  # what was sent before the kill has arrived
        placed, open_ = provider.posts(), _open(system)
        unclear = _count(system, CallState.PLACING)
        if not until(lambda: provider.posts() > placed, seconds=2 * asked, every=0.05):
            raise SystemExit(f"nobody was called after the restart:\n{system.said()[-2000:]}")
        settled = until(lambda: not _still(system, open_), seconds=2 * asked)
        seconds = (datetime.now(UTC) - killed).total_seconds()
        first = (moments(judged(provider)["calls"], "accepted")[placed] - killed).total_seconds()
        left = _still(system, open_)
    sys.stderr.write(
        f"at the kill {len(open_)} calls were open, {unclear} of them with their POST under way; "
        f"{len(left)} are not settled after {seconds:.0f} s\n"
    )
    if not settled:
        # A worker that died between its intent and its first byte: nobody was rung, and only a person may say so.
        sys.stderr.write(f"they are waited for until {waits.quiet} after their intent, and are then in review\n")
    return [
        Result("recovery: first new call", "s", "at_most", first, {"a claim's lease": lease}, 1.0),
        Result(
            "recovery: last open call settled", "s", "at_most", seconds, {"answer, ask again, ticks, call": asked}, 1.0
        ),
    ]


def _open(system: Whole) -> list[object]:
    """The calls that are neither settled nor proven not placed."""
    with system.session() as session:
        return list(
            session.scalars(select(Call.id).where(Call.settled_at.is_(None), Call.state != CallState.NOT_PLACED))
        )


def _still(system: Whole, calls: list[object]) -> list[object]:
    return [call for call in _open(system) if call in calls]


def _count(system: Whole, state: CallState) -> int:
    with system.session() as session:
        return len(session.scalars(select(Call.id).where(Call.state == state)).all())
