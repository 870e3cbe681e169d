"""What a machine that answers hears, attempt by attempt."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.errors import InvalidDefinition
from campaigns.rules.definition import AccountDefinition, CampaignDefinition, read_definition
from campaigns.vapi.checks import Answers, Level, judge_answers
from tests.factories import ACCOUNT, CAMPAIGN
from tests.vapi.test_requests import request

MESSAGE = "Call us back, please"
PLAN = {"retry": {"max_attempts": 3, "max_calls": 5}}


def heard(voicemail: dict[str, Any], attempt: int, call: int | None = None, **changes: Any) -> str | None:
    body = request(voicemail=voicemail, attempt=attempt, call=call or attempt, **PLAN | changes).body
    overrides = body.get("assistantOverrides") or body.get("squadOverrides") or {}
    found = overrides.get("voicemailMessage")
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("on", "calls", "left"),
    [
        ("every", (1, 2, 3), (True, True, True)),
        ("first", (1, 2, 3), (True, False, False)),
        ("last", (1, 2, 3), (False, False, True)),
        ("last", (1, 5, 6), (False, True, True)),  # technical failures used up the calls
        ([1, 3], (1, 2, 3), (True, False, True)),
    ],
)
def test_the_message_is_left_on_the_attempts_that_the_campaign_names(
    on: Any, calls: tuple[int, ...], left: tuple[bool, ...]
) -> None:
    voicemail = {"provider": "vapi", "message": MESSAGE, "message_on": on}
    said = [heard(voicemail, attempt, call) for attempt, call in enumerate(calls, start=1)]
    assert said == [MESSAGE if each else "" for each in left]


@pytest.mark.parametrize("retry", [{"voicemail": []}, {"never_again": ["voicemail"]}])
def test_where_a_machine_is_the_end_the_first_is_the_last(retry: dict[str, Any]) -> None:
    assert heard({"message": MESSAGE, "message_on": "last"}, 1, retry=retry) == MESSAGE


def test_hanging_up_says_nothing_whoever_has_a_message() -> None:
    own = {"voicemailMessage": "of the row"}
    assert heard({"hang_up": True}, 1, own=own) == ""
    assert heard({"provider": "vapi"}, 1, own=own) == "of the row"
    transient = {"assistant_id": None, "assistant": {"firstMessage": "Hi", "voicemailMessage": "of the file"}}
    body = request(voicemail={"hang_up": True}, own=own, **transient).body
    assert body["assistant"] == {"firstMessage": "Hi"}
    assert "voicemailMessage" not in body["assistantOverrides"]


def test_a_squad_of_the_file_is_silenced_member_by_member() -> None:
    members = [
        {"assistant": {"firstMessage": "Hi", "voicemailMessage": "one"}},
        {"assistant": {"name": "two"}, "assistantOverrides": {"voicemailMessage": "two"}},
    ]
    squad = {"members": members, "membersOverrides": {"voicemailMessage": "all"}}
    body = request(voicemail={"hang_up": True}, assistant_id=None, squad=squad).body
    assert "voicemailMessage" not in str(body)
    saved = {"members": [*members, {"assistantId": "saved"}]}
    assert heard({"hang_up": True}, 1, assistant_id=None, squad=saved) == ""


def test_preflight_says_what_the_provider_does_not() -> None:
    campaign = CampaignDefinition.model_validate(CAMPAIGN | {"voicemail": {"hang_up": True}})
    account = AccountDefinition.model_validate(ACCOUNT)

    def said(assistant: dict[str, Any]) -> list[str]:
        answers = Answers(None, {str(campaign.assistant_id): assistant}, {}, {"number-1": {"id": "number-1"}})
        return [check.say for check in judge_answers(campaign, account, answers) if check.level is Level.WARNING]

    assert "take it out of the assistant to be sure" in said({"id": "a", "voicemailMessage": "Hi"})[0]
    assert said({"id": "a"}) == []


@pytest.mark.parametrize(
    ("voicemail", "says"),
    [
        ({"hang_up": True, "message": "Hi"}, "either a message or hang_up"),
        ({"message_on": "first", "provider": "vapi"}, "message_on needs a message"),
        ({"message_on": "first", "message": "Hi", "counts": False}, "needs counts = true"),
        ({"message_on": [0], "message": "Hi"}, "from 1 to 20"),
        ({"message_on": [4], "message": "Hi"}, "names attempt 4, and retry.max_attempts is 3"),
        ({"message_on": "sometimes", "message": "Hi"}, "message_on"),
        ({}, "hang_up = true"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(voicemail: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidDefinition, match=says):
        read_definition(CampaignDefinition, CAMPAIGN | {"voicemail": voicemail} | PLAN, source="spring.toml")
