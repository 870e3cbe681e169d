"""The recordings, and what we answer to them, as Vapi's schemas and SDK read them: ours must not drift from Vapi's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from campaigns.vapi.events import read_message, reply_to
from tests.judges import sdk
from tests.judges.schema import MESSAGES, as_described, problems

RECORDINGS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "recordings").glob("*.json"))
}
CURRENT = {name: value for name, value in RECORDINGS.items() if not name.startswith("legacy-") and name != "refusals"}
PUSHED = {name: value["message"] for name, value in CURRENT.items() if "message" in value}
ANSWERED = {name: value for name, value in CURRENT.items() if name not in PUSHED}

NULLS = {"assistantOverrides", "customer"}
"""Null in the recorded listing where an object is described: seen, and to be borne."""


def without_known_oddities(message: dict[str, Any]) -> dict[str, Any]:
    """The message as it is described."""
    copy = json.loads(json.dumps(message))
    if "fromAssistant" in copy:
        copy["fromAssistant"] = as_described({"assistant": copy["fromAssistant"]})["assistant"]
    for owner in ("assistant", "fromAssistant"):
        # Gone from the description of a server and still sent by older organisations: recorded to be redacted.
        copy.get(owner, {}).get("server", {}).pop("secret", None)
    return as_described(copy)


@pytest.mark.parametrize("name", PUSHED)
def test_a_recorded_message_is_one_that_vapi_sends(name: str) -> None:
    message = without_known_oddities(PUSHED[name])
    assert problems(message, MESSAGES[message["type"]]) == []
    assert sdk.problems_of_message(message) == []


@pytest.mark.parametrize("name", ANSWERED)
def test_a_recorded_answer_is_one_that_vapi_gives(name: str) -> None:
    if name == "created-batch":
        assert problems(ANSWERED[name], "CallBatchResponse") == []
    calls = ANSWERED[name].get("results", [ANSWERED[name]]) if isinstance(ANSWERED[name], dict) else ANSWERED[name]
    for call in calls:
        told = {key: value for key, value in call.items() if not (key in NULLS and value is None)}
        assert problems(told, "Call") == []
        assert sdk.problems_of_call(told) == []
        assert told.get("endedReason") in {None, *sdk.ended_reasons()}


REPLIES = {
    "tool-calls": "ServerMessageResponseToolCalls",
    "legacy-tool-calls-flattened": "ServerMessageResponseToolCalls",
    "legacy-tool-calls-object-arguments": "ServerMessageResponseToolCalls",
    "assistant-request": "ServerMessageResponseAssistantRequest",
    "campaign-predial": "ServerMessageResponseCampaignPredial",
}


@pytest.mark.parametrize("name", REPLIES)
def test_our_reply_to_a_request_is_one_that_vapi_understands(name: str) -> None:
    reply = reply_to(read_message(json.dumps(RECORDINGS[name]).encode()))
    assert reply
    assert problems(reply, REPLIES[name]) == []


@pytest.mark.parametrize("name", [name for name in RECORDINGS if name.startswith("legacy-")])
def test_an_older_form_is_kept_because_it_is_none_of_todays(name: str) -> None:
    message = RECORDINGS[name].get("message", {})
    kind = message.get("type")
    assert kind not in MESSAGES or problems(without_known_oddities(message), MESSAGES[kind]) != []
