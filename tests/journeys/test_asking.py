"""A provider that tells us nothing: every result is asked for."""

from __future__ import annotations

from sqlalchemy import func, select

from campaigns.models import Account, Event
from campaigns.rules.campaign_state import Command
from campaigns.rules.prospect_state import FINAL
from tests.harness import System
from tests.journeys.conftest import SPEED
from tests.journeys.promises import judge_calls, states


def test_without_webhooks_a_campaign_finishes_by_asking(shared_system: System) -> None:
    system = shared_system
    provider = system.provider(speed=SPEED, concurrency=15)
    system.account(provider, "deaf", public_url=None, credential_id=None, concurrency=15)
    system.campaign("deaf", account="deaf", retry={"max_attempts": 1, "technical": []})
    system.import_people([{"phone": f"+121255502{turn:02}"} for turn in range(15)], campaign="deaf")
    system.command(Command.START, campaign="deaf")
    system.until_over("deaf")
    judge_calls(system, provider, "deaf", lines=15)
    assert set(states(system, "deaf").values()) <= FINAL
    assert provider.ledger()["totals"]["webhooks"] == {}
    with system.session() as session:
        learned = session.execute(
            select(Event.learned, func.count()).join(Account).where(Account.name == "deaf").group_by(Event.learned)
        )
        assert {how for how, _ in learned} == {"answered", "asked"}
