"""Requested calls per second against those that the stand-in accepted, and the most in any second."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlalchemy import select

from campaigns.embedded import Servers
from campaigns.models import Call, Campaign
from campaigns.rules.campaign_state import Command
from tests.benchmarks.ledgers import moments, most_within, per_second
from tests.benchmarks.results import Result
from tests.benchmarks.running import BRIEF, Whole, judged, until

RATES = (1, 5, 20)  # a second
SECONDS = 25  # of calls at each rate
PATIENCE = 3 * SECONDS  # a third of the rate would take so long
LINES = 200  # many more than calls of a second need


def measure(servers: Servers) -> list[Result]:
    """For each rate: how much of it was reached, and the most slots and the most POSTs in any sliding second."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, Whole(servers, Path(folder)) as system:
        system.start()
        for rate in RATES:
            results += _at(system, rate)
    return results


def _at(system: Whole, rate: int) -> list[Result]:
    name = f"pace-{rate}"
    provider = system.provider(f"stand-in-{name}", concurrency=LINES, **BRIEF)
    system.account(provider, name=name, concurrency=LINES, calls_per_second=rate)
    system.campaign(name, account=name, retry={"max_attempts": 1, "max_calls": 1})
    system.fill(name, rate * SECONDS)
    system.command(Command.START, campaign=name)
    until(lambda: provider.posts() >= rate * SECONDS, seconds=PATIENCE)
    ledger = judged(provider)
    accepted = moments(ledger["calls"], "accepted")
    with system.session() as session:
        slots = session.scalars(
            select(Call.slot_at)
            .join(Campaign, Campaign.id == Call.campaign_id)
            .where(Campaign.name == name, Call.intent_at.is_not(None))
            .order_by(Call.slot_at)
        ).all()
    posts = ledger["totals"]["max_posts_in_a_second"]
    system.command(Command.CANCEL, campaign=name)
    title = f"pace at {rate}/s"
    return [
        Result(title, "calls a second", "at_least", per_second(accepted), {"requested": rate}, 0.98),
        Result(f"{title}: most slots in a second", "slots", "at_most", most_within(slots), {"limit": rate}, 1.0),
        # One more: the first may have been a moment late, and the last a moment early on its way.
        Result(f"{title}: most POSTs in a second", "POSTs", "at_most", posts, {"limit": rate + 1}, 1.0),
    ]
