"""What it costs to decide when one person may be called next, by how much is to be looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import uuid4

from campaigns.embedded import Servers
from campaigns.facts import CampaignFacts, about_newcomer
from campaigns.rules.calling_rules import SHIPPED
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.eligibility import when_due
from campaigns.rules.place import terms_of
from tests.benchmarks.results import Result
from tests.factories import ACCOUNT, CAMPAIGN

LIMIT = 50.0  # microseconds of CPU for one decision
ROUNDS, DECISIONS = 7, 3_000
SEASON = datetime(2026, 12, 11, tzinfo=UTC)  # three weeks with Christmas and New Year's Day in them
STEP = timedelta(minutes=11)  # so that every hour of day and night is asked about

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
    campaign = _campaign()
    rounds = []
    for _ in range(ROUNDS + 1):  # the first one fills the caches and makes the calendars
        began = time.process_time()
        for turn in range(DECISIONS):
            facts = about_newcomer(
                campaign,
                country=country,
                states=states,
                zones=zones,
                suppressed=False,
                own_consent=None,
                not_before=None,
            )
            when_due(facts, SEASON + turn * STEP)
        rounds.append((time.process_time() - began) / DECISIONS * 1e6)
    return median(rounds[1:])


def _campaign() -> CampaignFacts:
    blackout = {"blackout": ["2026-12-24", "2026-12-31..2027-01-02"], "closed_on": ["US"]}
    definition = CampaignDefinition.model_validate(CAMPAIGN | blackout)
    return CampaignFacts(
        id=uuid4(),
        account_id=uuid4(),
        state=CampaignState.RUNNING,
        definition=definition,
        account=AccountDefinition.model_validate(ACCOUNT),
        frozen=False,
        account_stop=None,
        rules=SHIPPED,
        terms=terms_of(definition),
    )
