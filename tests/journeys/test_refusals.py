"""A provider that refuses everything: nobody is lost to it."""

from __future__ import annotations

import json
from collections import Counter

from campaigns.pipeline import warning
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from tests.harness import WORKERS, System
from tests.journeys.conftest import SPEED
from tests.journeys.promises import judge_calls, states
from tests.processes import KEY, eventually

LINES = 20


def test_a_refused_key_stops_the_account_and_costs_nobody_anything(shared_system: System) -> None:
    system = shared_system
    provider = system.provider(speed=SPEED, concurrency=LINES, outcomes={"answered": 1})
    system.account(provider, "locked", concurrency=LINES, calls_per_second=10)
    system.campaign("locked", account="locked")
    system.import_people([{"phone": f"+134755501{turn:02}"} for turn in range(24)], campaign="locked")
    system.command(Command.START, campaign="locked")
    eventually(lambda: provider.posts() >= 5, "some calls are placed")
    provider.set(key="another-key")
    eventually(lambda: stopped(system), "the account is stopped")
    assert "account locked is stopped" in system.outbound("status", fails=True)
    assert ProspectState.REFUSED not in states(system, "locked").values()
    refused = provider.ledger()["totals"]["refused"]["401"]
    assert refused <= WORKERS["calls"]  # those that were under way at once, and no stream of them

    provider.set(key=KEY)
    accounts = json.loads(system.outbound("accounts", "list", "--json"))
    (definition,) = [account for account in accounts if account["name"] == "locked"]
    (system.folder / "locked.toml").write_text(as_toml(definition), encoding="utf-8")
    system.outbound("accounts", "apply", "locked.toml")
    system.until_over("locked")
    judge_calls(system, provider, "locked", lines=LINES)
    assert set(states(system, "locked").values()) == {ProspectState.COMPLETED}


def stopped(system: System) -> bool:
    with system.session() as session:
        return any("account locked is stopped" in trouble.what for trouble in warning.troubles(session))


def as_toml(account: dict[str, object]) -> str:
    webhook = '[[webhook]]\ntype = "hmac"\nsecret_env = ["JOURNEY_SECRET"]\n'
    plain = {key: value for key, value in account.items() if isinstance(value, str | int | float) and key != "state"}
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items()) + webhook


def test_a_campaign_whose_requests_are_all_refused_pauses_and_keeps_everybody(shared_system: System) -> None:
    system = shared_system
    provider = system.provider(speed=SPEED, concurrency=LINES, outcomes={"answered": 1}, phone_numbers={"sold": {}})
    system.account(provider, "wrong", concurrency=LINES, calls_per_second=100)
    system.campaign("wrong", account="wrong")
    system.import_people([{"phone": f"+192955501{turn:02}"} for turn in range(40)], campaign="wrong")
    system.command(Command.START, campaign="wrong")
    eventually(lambda: system.progress("wrong").state == CampaignState.PAUSED, "it is paused")
    eventually(lambda: system.progress("wrong").lines == 0, "no request is under way")
    assert "Couldn't Get Phone Number" in str(system.progress("wrong").state_why)
    # Those that were refused together are given back a moment after that was recorded.
    eventually(
        lambda: Counter(states(system, "wrong").values()) == {ProspectState.WAITING: 40}, "everybody is given back"
    )

    provider.set(phone_numbers={"number-1": {}, "number-2": {}})
    system.outbound("campaign", "resume", "wrong")
    system.until_over("wrong")
    judge_calls(system, provider, "wrong", lines=LINES)
    assert Counter(states(system, "wrong").values()) == {ProspectState.COMPLETED: 40}
