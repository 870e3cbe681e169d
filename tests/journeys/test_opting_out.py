"""Somebody says in a call of one campaign that they want no more of them: no other campaign calls them."""

from __future__ import annotations

import json

from campaigns.rules.campaign_state import Command
from campaigns.rules.prospect_state import ProspectState
from tests.harness import System
from tests.journeys.conftest import SPEED
from tests.journeys.promises import states
from tests.processes import eventually

GONE, STAYS = "+12125550161", "+12125550162"
ASSISTANT = {
    "firstMessage": "Hello?",
    "model": {
        "provider": "openai",
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Ask."}],
        "tools": [
            {"type": "function", "function": {"name": "take_off_the_list"}, "server": {"url": "https://tools.example"}}
        ],
    },
}


def test_an_opt_out_in_one_campaign_is_the_end_of_all_others(shared_system: System) -> None:
    system = shared_system
    people = {number: {"outcomes": ["answered"] * 2, "mood": "interested"} for number in (GONE, STAYS)}
    people[GONE]["mood"] = "opt_out"
    provider = system.provider("opting", speed=SPEED, people=people)
    system.account(provider, "opting")
    signals = {"defaults": False, "opt_out_fields": [], "opt_out_phrases": [], "opt_out_tools": ["take_off_the_list"]}
    asks = {"assistant_id": None, "assistant": ASSISTANT, "signals": signals}
    for name in ("first", "second"):
        system.campaign(name, account="opting", **asks)
        system.import_people([{"phone": GONE}, {"phone": STAYS}], campaign=name)
    system.command(Command.START, campaign="first")
    system.until_over("first")
    assert set(states(system, "first").values()) == {ProspectState.SUPPRESSED, ProspectState.COMPLETED}
    eventually(
        lambda: sorted(states(system, "second").values()) == [ProspectState.SUPPRESSED, ProspectState.WAITING],
        "the other campaign calls them no more",
    )
    system.command(Command.START, campaign="second")
    system.until_over("second")
    assert sorted(call["number"] for call in provider.ledger()["calls"]) == sorted([GONE, STAYS, STAYS])
    (entry,) = json.loads(system.outbound("suppressions", "list", "--json"))
    assert (entry["phone"], entry["campaign"]) == (GONE, None)
    assert entry["reason"] == "asked not to be called: the tool take_off_the_list"
    story = json.loads(system.outbound("prospects", "trace", GONE, "--json"))
    assert [line["detail"] for line in story if line["what"] == "do not call"] == [entry["reason"]]
    assert GONE not in system.said()
