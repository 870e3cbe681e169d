from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from campaigns.rules.outcome import Ending
from campaigns.vapi.events import Message, read_message


def message_about(call: dict[str, Any], **message: Any) -> Message:
    return read_message(json.dumps({"message": {"type": "hang", "call": call, **message}}).encode())


def costs(**components: str) -> dict[str, Decimal]:
    return {component: Decimal(dollars) for component, dollars in components.items()}


def ended(reason: str, turns: Any, **message: Any) -> Ending:
    ending = message_about(
        {}, type="end-of-call-report", endedReason=reason, artifact={"messages": turns}, **message
    ).ending
    assert ending is not None
    return ending


@pytest.mark.parametrize(
    ("reason", "turns", "answered"),
    [
        ("customer-ended-call", [{"role": "bot", "message": "Hello?"}], False),
        ("silence-timed-out", [{"role": "bot", "message": "Hello?"}, {"role": "user", "message": "Yes."}], True),
        ("worker-shutdown", [{"role": "user", "message": "  "}], False),
        ("customer-ended-call", [{"role": "system", "message": "Be kind."}], True),
        ("customer-ended-call", [], True),
        ("silence-timed-out", None, None),
        ("voicemail", [{"role": "user", "message": "You have reached Mirela."}], False),
        ("twilio-failed-to-connect-call", [{"role": "user", "message": "Hello?"}], True),
    ],
)
def test_a_person_spoke_where_the_turns_say_so(reason: str, turns: Any, *, answered: bool | None) -> None:
    assert ended(reason, turns).answered is answered


def test_the_turns_may_be_in_the_model_providers_form() -> None:
    openai = {"messages": None, "messagesOpenAIFormatted": [{"role": "user", "content": "Yes."}]}
    ending = message_about({}, type="end-of-call-report", endedReason="worker-shutdown", artifact=openai).ending
    assert ending is not None
    assert ending.answered is True


def test_a_conversation_disproves_a_reason_that_says_nothing_rang() -> None:
    reason = "call.start.error-get-transport"
    assert not ended(reason, []).rang
    assert ended(reason, [{"role": "user", "message": "Hello?"}]).rang
    assert ended(reason, [], startedAt="2026-06-15T13:40:12Z").rang


@pytest.mark.parametrize(
    ("sent", "cost"),
    [(0.1, "0.1"), (2, "2"), (True, None), ("0.1", None), (-1, None), (1e30, None), (None, None), (10**200, None)],
)
def test_a_cost_is_what_was_written_or_unknown(sent: Any, cost: str | None) -> None:
    assert ended("voicemail", [], cost=sent).cost == (cost and Decimal(cost))


def test_components_of_the_same_kind_are_added_up_and_strange_ones_kept_apart() -> None:
    sent = [
        {"type": "analysis", "cost": 0.1},
        {"type": "analysis", "cost": 0.2},
        {"type": "cake", "cost": 1},
        {"type": "vapi"},
        7,
    ]
    assert ended("voicemail", [], costs=sent).costs == costs(analysis="0.3", other="1")


@pytest.mark.parametrize(
    ("analysis", "artifact", "answers"),
    [
        ({"structuredData": None}, {}, {}),
        ({"structuredData": ["red", "blue"]}, {}, {"data": ["red", "blue"]}),
        ({"structuredData": {"a": 1}, "structuredDataMulti": [{"a": 2}, {"b": 3}, None]}, {}, {"a": 1, "b": 3}),
        ({}, {"structuredOutputs": {"id-1": {"name": "A", "result": 1}, "id-2": {"result": 2}}}, {"A": 1, "id-2": 2}),
        ({}, {"structuredOutputs": {"id-1": {"name": "A", "result": None}, "id-2": None}}, {}),
        (None, None, {}),
    ],
)
def test_all_answers_stand_side_by_side(analysis: Any, artifact: Any, answers: dict[str, Any]) -> None:
    ending = message_about({}, type="end-of-call-report", analysis=analysis, artifact=artifact).ending
    assert ending is not None
    assert ending.structured == answers


def test_a_recording_is_named_by_its_stable_address() -> None:
    only_presigned = {"presignedMonoUrl": "https://s.example.org/a.wav?sig=1"}
    assert ended("voicemail", []).recording is None
    ending = message_about({}, type="end-of-call-report", artifact=only_presigned).ending
    assert ending is not None
    assert ending.recording is None
    signed_query = message_about(
        {}, type="end-of-call-report", recordingUrl="https://s.example.org/a.wav?X-Amz-Signature=1"
    ).ending
    assert signed_query is not None
    assert signed_query.recording == "https://s.example.org/a.wav"
