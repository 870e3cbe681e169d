"""Whether the beginning of a call says what the rules ask for, judged from what Vapi says of who speaks."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.errors import CallFailure
from campaigns.rules.definition import CampaignDefinition
from campaigns.vapi.checks import Level
from campaigns.vapi.openings import judge_opening, opening
from tests.factories import CAMPAIGN

ID = CAMPAIGN["assistant_id"]
EVERYTHING = (
    "Hello, this is an artificial voice calling for Northwind. This call is recorded; say stop and we will not call."
)
CALIFORNIA = ["US", "US-CA"]


def judged(assistant: dict[str, Any], codes: list[str] = CALIFORNIA) -> dict[str, Level]:
    campaign = CampaignDefinition.model_validate(CAMPAIGN)
    return {check.what: check.level for check in judge_opening(opening(campaign, None, {ID: assistant}), codes)}


def all_of(level: Level) -> dict[str, Level]:
    said = ("who calls", "that the voice is artificial", "how not to be called again", "that the call is recorded")
    return {f"says {what}": level for what in said}


@pytest.mark.parametrize(
    ("assistant", "level"),
    [
        ({"firstMessage": EVERYTHING}, Level.OK),
        ({"firstMessage": "Hello {{first_name}}, about your plan?"}, Level.WARNING),
        (
            {"firstMessage": "Hello!", "model": {"messages": [{"role": "system", "content": EVERYTHING}]}},
            Level.NOTE,
        ),
        (
            {"firstMessage": EVERYTHING, "firstMessageMode": "assistant-speaks-first-with-model-generated-message"},
            Level.NOTE,
        ),
        ({"firstMessage": "https://example.com/hello.mp3"}, Level.NOTE),
        ({}, Level.NOTE),
    ],
)
def test_a_first_message_is_held_against_the_rules_of_the_place(assistant: dict[str, Any], level: Level) -> None:
    assert judged(assistant) == all_of(level)


def test_only_what_the_places_ask_for_is_looked_for() -> None:
    silent = {"firstMessage": "Hello?", "artifactPlan": {"recordingEnabled": False}}
    assert judged(silent, ["EU", "FR"]) == {"says that the voice is artificial": Level.WARNING}
    assert judged(silent, ["SG"]) == {}


def test_a_call_that_is_not_recorded_need_not_say_so_and_vapi_may_ask_by_itself() -> None:
    plain = {"firstMessage": "Hello?"}
    off = {"artifactPlan": {"recordingEnabled": False}}
    consent = {"compliancePlan": {"recordingConsentPlan": {"type": "stay-on-line"}}}
    assert "says that the call is recorded" not in judged(plain | off)
    assert judged(plain | consent)["says that the call is recorded"] is Level.OK
    assert judged(plain, ["US", "US-TX"])["says that the call is recorded"] is Level.NOTE


def test_the_first_of_a_squad_speaks_first_and_what_the_squad_overrides_wins() -> None:
    squad = {
        "members": [
            {"assistantId": "one", "assistantOverrides": {"firstMessage": EVERYTHING}},
            {"assistantId": "two"},
        ]
    }
    campaign = CampaignDefinition.model_validate(CAMPAIGN | {"assistant_id": None, "squad_id": "team"})
    found = opening(campaign, squad, {"one": {"firstMessage": "Hello?"}, "two": {"firstMessage": "Hi?"}})
    assert found is not None
    assert (found.label, found.first_message) == ("assistant one", EVERYTHING)


def test_where_nothing_is_known_of_who_speaks_nothing_is_judged() -> None:
    campaign = CampaignDefinition.model_validate(CAMPAIGN)
    for answer in (None, CallFailure("away")):
        assert opening(campaign, None, {ID: answer}) is None
    assert list(judge_opening(None, CALIFORNIA)) == []
