"""What is said where the caller numbers, and not the lines, hold the calls up."""

from __future__ import annotations

from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound, execute

NUMBERS = """
number_per_day = 1
[[numbers]]
id = "number-2"
concurrency = 3
per_day = 5
[[numbers]]
id = "number-3"
concurrency = 10
per_day = 100000
"""
MADE = """
    INSERT INTO calls (id, account_id, campaign_id, prospect_id, person_id, phone_number_id, state, slot_at, claimed_at,
                       intent_at, settled_at, changed_at)
    SELECT gen_random_uuid(), n.account_id, p.campaign_id, p.id, p.person_id, n.id, 'ended',
           now(), now(), now() - interval '1 hour', now(), now()
      FROM prospects p, phone_numbers n"""


def test_numbers_that_have_made_their_calls_are_named_with_when_the_next_is_free(
    outbound: Outbound, database: str
) -> None:
    outbound.write("vapi.toml", ACCOUNT + NUMBERS)
    outbound.write("spring.toml", CAMPAIGN)
    outbound.write("other.toml", CAMPAIGN.replace("spring", "other").replace("number-1", "number-2"))
    outbound.write("people.csv", "phone\n+12125550142\n")
    for command in (
        ["accounts", "apply", "vapi.toml"],
        ["campaign", "apply", "spring.toml"],
        ["campaign", "apply", "other.toml"],
        ["prospects", "import", "people.csv", "--campaign", "spring"],
        ["campaign", "start", "spring", "--no-preflight", "--why", "nobody is called"],
    ):
        assert outbound(*command).code == 0
    assert outbound("campaign", "show", "spring", "--json").json()["held_up"] is None
    execute(database, MADE)
    why = outbound("campaign", "show", "spring", "--json").json()["held_up"]
    assert why.startswith("every caller number has made its calls of the day; the next is free at 2")
    assert outbound("campaign", "show", "spring").err == f"it calls nobody: {why}; `outbound status` says more\n"
    status = outbound("status")
    assert f"campaign spring calls nobody: {why}\n" in status.out
    numbers = outbound("accounts", "show", "main", "--json").json()["caller_numbers"]
    assert [(each["id"], each["at_once"], each["per_day"], each["made"]) for each in numbers] == [
        ("number-1", None, 1, 1),
        ("number-2", 3, 5, 1),
    ]
    assert numbers[0]["free_at"] is not None
    assert numbers[1]["free_at"] is None
    shown = outbound("accounts", "show", "main").out
    assert "Caller numbers that may do less than the account" in shown
