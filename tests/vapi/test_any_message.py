"""Whatever arrives: read or refused, and never a third thing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.errors import MalformedMessage
from campaigns.rules.call_status import CallStatus
from campaigns.vapi.events import Message, read_call, read_message, reply_to

NOW = datetime(2026, 6, 15, 14, 0, tzinfo=UTC)
RECORDINGS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "recordings").glob("*.json"))
}
KEYS = [
    "message",
    "type",
    "status",
    "call",
    "id",
    "callId",
    "name",
    "timestamp",
    "customer",
    "externalId",
    "assistantOverrides",
    "metadata",
    "call_id",
    "monitor",
    "controlUrl",
    "analysis",
    "structuredData",
    "structuredDataMulti",
    "structuredOutputs",
    "successEvaluation",
    "artifact",
    "messages",
    "role",
    "recording",
    "mono",
    "combinedUrl",
    "transcript",
    "cost",
    "costs",
    "costBreakdown",
    "total",
    "analysisCostBreakdown",
    "startedAt",
    "endedAt",
    "updatedAt",
    "endedReason",
    "subscriptionLimits",
    "concurrencyLimit",
    "toolCallList",
    "toolWithToolCallList",
    "toolCall",
    "function",
    "server",
    "model",
    "phoneNumber",
]
WORDS = [
    "end-of-call-report",
    "status-update",
    "ended",
    "tool-calls",
    "call.deleted",
    "user",
    "voicemail",
    "customer-ended-call",
    "2026-06-15",
]

# No deadline: how fast this machine is today is no promise of ours.
steady = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

characters = st.characters(exclude_categories=())  # lone surrogates and NUL among them
texts = st.one_of(st.sampled_from(WORDS), st.text(characters, max_size=20))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    texts,
    st.floats(),
    st.integers(),
    st.integers(min_value=-(10**400), max_value=10**400),
    st.sampled_from([1e308, 1_781_530_800_000, 2**63, -1]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), texts), inner, max_size=8)
    ),
    max_leaves=40,
)
objects = st.dictionaries(st.one_of(st.sampled_from(KEYS), texts), values, max_size=10)


def assert_storable(value: Any) -> None:
    """What PostgreSQL takes as jsonb and text: no NUL, no lone surrogate, no number that JSON does not know."""
    if isinstance(value, str):
        assert "\x00" not in value
        value.encode("utf-8")
    elif isinstance(value, dict):
        for key, item in value.items():
            assert_storable(key)
            assert_storable(item)
    elif isinstance(value, list):
        for item in value:
            assert_storable(item)


def assert_usable(message: Message) -> None:
    json.dumps(message.body, allow_nan=False)
    assert_storable(message.body)
    assert_storable([message.type, message.provider_id, message.control_url, message.dedupe_key])
    assert 0 < len(message.dedupe_key) <= 200
    assert (message.ending is not None) == (message.status is CallStatus.ENDED)
    if message.ending is not None:
        ending = message.ending
        assert_storable([ending.reason, ending.summary, ending.success, ending.transcript, ending.recording])
        json.dumps(ending.structured, allow_nan=False)
        assert_storable(ending.structured)
        assert all(cost.is_finite() for cost in ending.costs.values())
        assert ending.duration is None or ending.duration.total_seconds() >= 0
    json.dumps(reply_to(message), allow_nan=False)


@steady
@given(st.binary(max_size=200), st.one_of(st.none(), texts))
def test_any_bytes_are_read_or_refused(body: bytes, message_id: str | None) -> None:
    try:
        message = read_message(body, message_id=message_id)
    except MalformedMessage:
        return
    assert_usable(message)


@steady
@given(values, st.one_of(st.none(), texts))
def test_any_json_is_read_or_refused(sent: Any, message_id: str | None) -> None:
    try:
        message = read_message(json.dumps(sent).encode(), message_id=message_id)
    except MalformedMessage:
        assert not isinstance(sent, dict)
        return
    assert_usable(message)


@steady
@given(objects)
def test_any_answer_about_a_call_is_read(call: dict[str, Any]) -> None:
    assert_usable(read_call(call, now=NOW))


@steady
@given(st.data())
def test_a_recording_with_any_part_replaced_is_read(data: st.DataObject) -> None:
    payload = json.loads(json.dumps(data.draw(st.sampled_from(sorted(RECORDINGS)).map(RECORDINGS.get))))
    place = payload
    while True:
        key = data.draw(st.sampled_from(range(len(place)) if isinstance(place, list) else sorted(place)))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(values)
    if isinstance(payload, dict):
        assert_usable(read_message(json.dumps(payload).encode()))
        assert_usable(read_call(payload, now=NOW))
