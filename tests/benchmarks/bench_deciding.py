"""What it costs to decide when one person may be called next, by how much is to be looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from campaigns.embedded import Servers
from campaigns.rules.calling_rules.overriding import rulebook
from campaigns.rules.eligibility import when_due
from tests.benchmarks.results import Result
from tests.rules.deciding import running, someone

LIMIT = 50.0  # microseconds of CPU for one decision
ROUNDS, DECISIONS = 7, 3_000
SEASON = datetime(2026, 12, 11, tzinfo=UTC)  # three weeks with Christmas and New Year's Day in them
STEP = timedelta(minutes=11)  # so that every hour of day and night is asked about

OWN = '{"US-TX": {"hours": "Mon-Sat 10:00-20:00", "closed": ["2026-12-26"]}, "US-PA": {"closed": ["2026-12-28"]}}'
FOUR = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
MIXES: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "one zone": ("US", ["US-NY"], FOUR[:1]),
    "two states": ("US", ["US-TX", "US-OK"], FOUR[1:2]),
    "four zones": ("US", ["US-TX", "US-FL"], FOUR),
    "holidays ahead": ("US", ["US-PA", "US-UT"], FOUR[:3]),
    "every region's holidays": ("AU", [], ("Australia/Perth", "Australia/Adelaide", "Australia/Sydney")),
}


def measure(servers: Servers) -> list[Result]:
    """The median of some rounds for each mix, the facts put together included and the database left out."""
    return [
        Result(f"deciding: {name}", "µs", "at_most", _cost(*mix), {"limit": LIMIT}, 1.0) for name, mix in MIXES.items()
    ]


def _cost(country: str, states: Sequence[str], zones: Sequence[str]) -> float:
    campaign = running(rulebook(OWN), blackout=["2026-12-24", "2026-12-31..2027-01-02"], closed_on=["US"])
    rounds = []
    for _ in range(ROUNDS + 1):  # the first one fills the caches and makes the calendars
        began = time.process_time()
        for turn in range(DECISIONS):
            when_due(someone(campaign, country, states, zones), SEASON + turn * STEP)
        rounds.append((time.process_time() - began) / DECISIONS * 1e6)
    return median(rounds[1:])
