from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.vapi.events import MessageKind, read_message, reply_to

Pushed = Callable[[str], bytes]
DECLINED = "This tool is not available. Carry on without it."


def reply(**message: Any) -> dict[str, Any]:
    return reply_to(read_message(json.dumps({"message": message}).encode()))


def declined(*calls: tuple[str, str]) -> dict[str, Any]:
    return {"results": [{"toolCallId": call_id, "name": name, "error": DECLINED} for call_id, name in calls]}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("tool-calls", declined(("call_Lk7aa1", "book_slot"), ("call_Lk7aa2", "send_text"))),
        ("legacy-tool-calls-flattened", declined(("call_Lk7aa1", "book_slot"))),
        ("legacy-tool-calls-object-arguments", declined(("call_Lk7aa1", "book_slot"))),
        ("legacy-function-call", {"result": DECLINED}),
        ("assistant-request", {"error": "Sorry, this number does not take calls. Goodbye."}),
        ("campaign-predial", {"eligible": False}),
    ],
)
def test_a_recorded_request_is_declined_in_its_own_form(pushed: Pushed, name: str, answer: dict[str, Any]) -> None:
    assert reply_to(read_message(pushed(name))) == answer


@pytest.mark.parametrize(
    ("kind_of", "answer"),
    [
        ("transfer-destination-request", {"error": "No destination is available. Carry on with the conversation."}),
        ("handoff-destination-request", {"error": "No destination is available. Carry on with the conversation."}),
        ("knowledge-base-request", {"documents": []}),
        ("call.endpointing.request", {"timeoutSeconds": 0.4}),
        ("voice-request", {}),
    ],
)
def test_every_other_request_is_declined(kind_of: str, answer: dict[str, Any]) -> None:
    assert read_message(json.dumps({"type": kind_of}).encode()).kind is MessageKind.REQUEST
    assert reply(type=kind_of) == answer


@pytest.mark.parametrize("name", ["status-ended", "report-completed", "hang", "transcript-user-final", "call-deleted"])
def test_what_only_informs_is_answered_with_nothing(pushed: Pushed, name: str) -> None:
    assert reply_to(read_message(pushed(name))) == {}


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"toolWithToolCallList": [{"function": {"name": "book"}, "toolCall": {"id": "1"}}]}, declined(("1", "book"))),
        (
            {"toolWithToolCallList": [{"name": "book", "toolCall": {"id": "1", "name": "its own"}}]},
            declined(("1", "its own")),
        ),
        ({"toolCallList": [], "toolCalls": [{"id": "1", "function": {"name": "book"}}]}, declined(("1", "book"))),
        ({"toolCallList": [{"id": "1"}], "toolCalls": [{"id": "2"}]}, declined(("1", "unknown"))),
        ({"toolCallList": [{"id": "2", "name": "b"}, {"id": "1", "name": "a"}]}, declined(("2", "b"), ("1", "a"))),
        ({"toolCallList": [None, {"name": "book"}, {"id": 7}]}, {"error": DECLINED}),
        ({"toolCallList": "none"}, {"error": DECLINED}),
        ({}, {"error": DECLINED}),
    ],
)
def test_each_tool_call_is_declined_by_its_id_in_order(message: dict[str, Any], answer: dict[str, Any]) -> None:
    assert reply(type="tool-calls", **message) == answer


def test_a_result_is_a_single_line() -> None:
    assert "\n" not in DECLINED
