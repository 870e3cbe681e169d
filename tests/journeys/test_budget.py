"""A budget for each day and one in all, through three days: who pays, who waits, and that nobody is failed by it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from campaigns.ledger import spending
from campaigns.models import Call, Spending
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from tests.harness import ORIGIN, System
from tests.journeys.promises import judge_calls, states
from tests.processes import eventually

SPEED = 1800.0  # a day in 48 seconds
ONE_CALL = 1.0  # two minutes at fifty cents; the stand-in's calls cost some ten cents each
TERMS: dict[str, Any] = {"prices": {"platform": 0.5}, "max_duration": "2m", "zone": "America/New_York"}
FIRST_DAY = ORIGIN.date()


def test_a_budget_stops_a_campaign_and_the_next_day_or_a_larger_one_lets_it_go_on(system: System) -> None:
    system.start()
    provider = system.provider(speed=SPEED, concurrency=4, outcomes={"answered": 1})
    system.account(provider, concurrency=4)
    system.campaign(budget={"per_day": 1.25, "total": 1.5}, **TERMS)
    system.import_people([{"phone": f"+121255501{turn:02}"} for turn in range(14)])
    system.command(Command.START)

    said: list[str] = []  # a day is too short for a command that starts

    def used_up() -> bool:
        progress = system.progress()
        said.append(progress.held_up or "")
        return "the day's budget is used up" in said[-1] and progress.state == CampaignState.RUNNING

    eventually(used_up, "the day's budget is used up")
    assert "it goes on at 2027-03-03 00:00 EST" in said[-1]
    first = system.progress().calls
    assert 0 < first < 14
    assert set(states(system, "spring").values()) == {ProspectState.COMPLETED, ProspectState.WAITING}

    eventually(lambda: system.progress().state == CampaignState.PAUSED, "the whole budget is used up", seconds=180)
    assert system.progress().calls > first
    assert "paused itself: its budget is used up" in system.outbound("status", fails=True)
    with system.session() as session:
        row = session.scalars(select(Spending)).one()
        paid = {call.spent_on: Decimal(0) for call in session.scalars(select(Call).where(Call.spent.is_not(None)))}
        for call in session.scalars(select(Call).where(Call.spent.is_not(None))):
            paid[call.spent_on] += call.spent or 0
    assert FIRST_DAY in paid
    assert len(paid) > 1
    assert max(paid.values()) <= Decimal("1.25")
    assert sum(paid.values()) == row.spent <= Decimal("1.5")

    system.campaign(budget={"total": 100.0}, **TERMS)
    system.command(Command.RESUME)
    system.until_over(seconds=180)
    judge_calls(system, provider, "spring", lines=4)
    assert Counter(states(system, "spring").values()) == {ProspectState.COMPLETED: 14}
    really = sum(Decimal(str(provider.call(each["id"])["cost"])) for each in provider.ledger()["calls"])
    with system.session() as session:
        row = session.scalars(select(Spending)).one()
        sums = spending.from_rows(session, row.campaign_id, row.day)
    assert (row.spent, row.reserved) == (really, 0) == (sums["spent"], sums["reserved"])
