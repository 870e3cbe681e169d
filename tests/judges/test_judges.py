"""The judges themselves: each can fail, and no correction of theirs outlives its mistake."""

from __future__ import annotations

from typing import Any

import pytest
import vapi
from pydantic import TypeAdapter, ValidationError

from campaigns.vapi.ended_reasons import published_reasons
from tests.judges import sdk
from tests.judges.schema import CORRECTIONS, MESSAGES, PUBLISHED, Correction, problems
from tests.judges.trim import is_left_out, trimmed

GOOD: dict[str, Any] = {
    "name": "attempt 1",
    "assistantId": "an-assistant",
    "phoneNumberId": "a-number",
    "customer": {"number": "+12025550143", "externalId": "attempt 1"},
    "assistantOverrides": {
        "variableValues": {"anything": {"goes": [1]}},
        "serverMessages": ["hang"],
        "server": {
            "url": "https://calls.example.com/hook",
            "backoffPlan": {"type": "fixed", "maxRetries": 5, "baseDelaySeconds": 2, "excludedStatusCodes": [401]},
        },
    },
}
OVERRIDES, SERVER = GOOD["assistantOverrides"], GOOD["assistantOverrides"]["server"]


def with_overrides(**changes: Any) -> dict[str, Any]:
    return GOOD | {"assistantOverrides": OVERRIDES | changes}


STRANGERS = {
    "of the call": GOOD | {"metadata": {}},
    "of the customer": GOOD | {"customer": {"number": "+12025550143", "phone": "x"}},
    "of the overrides": with_overrides(silenceTimeoutSeconds=30),
    "of the server": with_overrides(server=SERVER | {"secret": "x"}),
    "of the back-off plan": with_overrides(server=SERVER | {"backoffPlan": SERVER["backoffPlan"] | {"retries": 1}}),
    "of the model": GOOD | {"assistant": {"model": {"provider": "openai", "model": "gpt-4o", "systemPrompt": "x"}}},
    "of the analysis": with_overrides(analysisPlan={"summaryPrompt": "x"}),
}
WRONG = {
    "a name too long": GOOD | {"name": "x" * 41},
    "a number too short": GOOD | {"customer": {"number": "+1"}},
    "a message nobody can subscribe to": with_overrides(serverMessages=["status"]),
    "too short a call": with_overrides(maxDurationSeconds=9),
    "a duration in words": with_overrides(maxDurationSeconds="5m"),
    "an unheard-of plan": with_overrides(server=SERVER | {"backoffPlan": SERVER["backoffPlan"] | {"type": "linear"}}),
    "too long a plan": with_overrides(server=SERVER | {"backoffPlan": SERVER["backoffPlan"] | {"maxRetries": 11}}),
    "a voice of the old name": GOOD | {"assistant": {"voice": {"provider": "elevenlabs", "voiceId": "sarah"}}},
    "a time that is none": GOOD | {"schedulePlan": {"earliestAt": "tomorrow"}},
    "a time without a zone": GOOD | {"schedulePlan": {"earliestAt": "2027-03-02T09:00:00"}},
    "null for an object": GOOD | {"customer": None},
}


def test_both_judges_pass_what_is_right() -> None:
    assert problems(GOOD, "CreateCallDTO") == []
    assert sdk.problems_of_request(GOOD) == []


@pytest.mark.parametrize("stranger", STRANGERS)
def test_both_judges_find_a_property_that_vapi_does_not_know(stranger: str) -> None:
    assert len(problems(STRANGERS[stranger], "CreateCallDTO")) == 1
    assert len(sdk.problems_of_request(STRANGERS[stranger])) == 1


@pytest.mark.parametrize("wrong", WRONG)
def test_the_schemas_find_a_value_that_vapi_does_not_take(wrong: str) -> None:
    assert len(problems(WRONG[wrong], "CreateCallDTO")) == 1


def test_the_sdk_finds_a_value_of_another_type() -> None:
    assert sdk.problems_of_request(with_overrides(maxDurationSeconds="5m")) != []
    assert sdk.problems_of_request(GOOD | {"customer": {"number": 12025550143}}) != []


@pytest.mark.parametrize("missing", ["endedReason", "artifact", "analysis"])
def test_both_judges_miss_what_a_report_must_have(missing: str) -> None:
    report = {"type": "end-of-call-report", "endedReason": "customer-busy", "artifact": {}, "analysis": {}}
    assert problems(report, MESSAGES[report["type"]]) == []
    assert sdk.problems_of_message(report) == []
    del report[missing]
    assert problems(report, MESSAGES[report["type"]]) != []
    assert sdk.problems_of_message(report) != []


@pytest.mark.parametrize("correction", CORRECTIONS, ids=lambda correction: correction.name)
def test_each_correction_of_the_schemas_is_still_needed(correction: Correction) -> None:
    assert problems(correction.example, correction.root) == []
    assert problems(correction.example, correction.root, uncorrected=correction.name) != []


def test_the_correction_of_the_sdk_is_still_needed() -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(vapi.AssistantOverrides).validate_python(OVERRIDES)
    assert [problem["loc"][-2:] for problem in refused.value.errors()] == [
        ("backoffPlan", "type"),
        ("excludedStatusCodes", 0),
    ]


def test_the_schemas_are_as_small_as_they_are_made() -> None:
    assert trimmed(PUBLISHED) == PUBLISHED
    assert [name for name in PUBLISHED if is_left_out(name)] == []


def test_our_table_of_reasons_is_the_sdks_list() -> None:
    assert len(sdk.ended_reasons()) > 600
    assert published_reasons().keys() == sdk.ended_reasons()
