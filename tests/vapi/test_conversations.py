"""Who said what in a call, and which tools were called, wherever Vapi puts it."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.rules.outcome import Ending
from campaigns.vapi.endings import read_ending

SPOKEN = [
    {"role": "system", "message": "You may say: take me off your list."},
    {"role": "bot", "message": "Hello, is it a good time?"},
    {"role": "user", "message": "No. Please take me"},
    {"role": "tool_calls", "toolCalls": [{"id": "1", "type": "function", "function": {"name": "opt_out"}}]},
    {"role": "tool_call_result", "toolCallId": "1", "name": "opt_out", "result": "done"},
    {"role": "user", "message": "off your list."},
    {"role": "bot", "message": "I will."},
    {"role": "user", "message": "Bye."},
]
OPENAI = [
    {"role": "system", "content": "You may say: take me off your list."},
    {"role": "assistant", "content": "Hello, is it a good time?"},
    {"role": "user", "content": "No. Please take me off your list."},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "opt_out"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "done"},
    {"role": "assistant", "content": "I will."},
    {"role": "user", "content": "Bye."},
]


def heard(artifact: dict[str, Any]) -> Ending:
    return read_ending({"endedReason": "customer-ended-call", "artifact": artifact}, {}, complete=True)


@pytest.mark.parametrize("artifact", [{"messages": SPOKEN}, {"messagesOpenAIFormatted": OPENAI}], ids=["own", "openai"])
def test_each_speaker_is_heard_and_what_was_cut_in_the_middle_is_put_together(artifact: dict[str, Any]) -> None:
    found = heard(artifact)
    assert found.said == ("No. Please take me off your list.", "Bye.")
    assert found.replied == ("Hello, is it a good time?", "I will.")
    assert found.tools == {"opt_out"}
    assert found.answered is True


def test_tools_that_only_the_second_form_tells_of_are_found_too() -> None:
    assert heard({"messages": SPOKEN[:3], "messagesOpenAIFormatted": OPENAI}).tools == {"opt_out"}


def test_where_nobody_spoke_nothing_was_said() -> None:
    for artifact in ({}, {"messages": None}, {"messages": [{"role": "system", "message": "Ask."}]}):
        found = heard(artifact)
        assert (found.said, found.replied, found.tools) == ((), (), frozenset())
