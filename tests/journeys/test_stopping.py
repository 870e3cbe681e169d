"""Stop means stop: when the command has returned, no further call is placed."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from campaigns.models import Account, Call
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import FINAL, ProspectState
from tests.harness import System
from tests.journeys.conftest import SPEED
from tests.journeys.promises import judge_calls, states
from tests.processes import Provider, eventually

QUIET = 2.2  # seconds: a slot that was given out before lies at most two ahead, and a tick comes each second
LINES = 60
PEOPLE = 160


def dial(system: System, name: str, first: int) -> Provider:
    """A campaign that takes forty seconds to dial: as slow as a machine may be, a stop comes in its middle."""
    provider = system.provider(name, speed=SPEED, concurrency=LINES, outcomes={"answered": 1})
    system.account(provider, name, concurrency=LINES, calls_per_second=4)
    system.campaign(name, account=name)
    people = [{"phone": f"+1{area}55501{turn:02}"} for area in (first, first + 1) for turn in range(PEOPLE // 2)]
    system.import_people(people, campaign=name)
    system.command(Command.START, campaign=name)
    until_placed(provider, 10)
    return provider


def until_placed(provider: Provider, number: int) -> None:
    eventually(lambda: provider.posts() >= number, f"{number} calls are placed")


def placed_after(provider: Provider, returned: datetime) -> list[dict[str, Any]]:
    """The POSTs that were accepted after a command had returned, given the time to come."""
    time.sleep(QUIET)
    return [call for call in provider.ledger()["calls"] if datetime.fromisoformat(call["accepted"]["real"]) > returned]


def test_a_paused_or_frozen_campaign_places_no_call_until_it_goes_on(shared_system: System) -> None:
    system = shared_system
    provider = dial(system, "paused", 646)
    answer = json.loads(system.outbound("campaign", "pause", "paused", "--json"))
    late = placed_after(provider, datetime.now(UTC))
    assert answer["state"] == "paused"
    assert {call["name"] for call in late} <= {
        call["call"] for call in answer["in_flight"] if call["state"] == "placing"
    }
    placed = provider.posts()
    assert placed < PEOPLE
    assert ProspectState.WAITING in states(system, "paused").values()

    system.command(Command.RESUME, campaign="paused")
    until_placed(provider, placed + 10)
    answer = json.loads(system.outbound("freeze", "--json"))
    late = placed_after(provider, datetime.now(UTC))
    assert {call["name"] for call in late} <= {
        call["call"] for call in answer["in_flight"] if call["state"] == "placing"
    }
    with system.session() as session:
        frozen_at = session.scalars(select(Account.frozen_at).where(Account.name == "paused")).one()
        calls = session.scalars(select(Call).where(Call.id.in_([call["name"] for call in late]))).all()
    assert frozen_at is not None
    assert all(call.intent_at is not None and call.intent_at < frozen_at for call in calls)
    placed = provider.posts()
    assert placed < PEOPLE

    system.outbound("unfreeze")
    until_placed(provider, placed + 1)
    system.command(Command.CANCEL, campaign="paused")  # the rest would only take time
    until_everybody_is_done(system, provider, "paused")


def test_a_cancelled_campaign_lets_its_calls_end_and_calls_nobody_else(shared_system: System) -> None:
    system = shared_system
    provider = dial(system, "cancelled", 917)
    answer = json.loads(system.outbound("campaign", "cancel", "cancelled", "--json"))
    late = placed_after(provider, datetime.now(UTC))
    assert {call["name"] for call in late} <= {
        call["call"] for call in answer["in_flight"] if call["state"] == "placing"
    }
    assert provider.posts() < PEOPLE
    until_everybody_is_done(system, provider, "cancelled")


def until_everybody_is_done(system: System, provider: Provider, name: str) -> None:
    """Whoever was called has the outcome of that call, everybody else is cancelled."""
    eventually(lambda: set(states(system, name).values()) <= FINAL, "everybody is in a final state")
    judge_calls(system, provider, name, lines=LINES)
    found = Counter(states(system, name).values())
    called = provider.posts()
    assert found == Counter({ProspectState.COMPLETED: called, ProspectState.CANCELLED: PEOPLE - called})
    assert system.progress(name).state == CampaignState.CANCELLED
