from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from campaigns.errors import MalformedMessage
from campaigns.rules.call_status import CallStatus
from campaigns.vapi.events import Limits, Message, MessageKind, read_call, read_message

ID = "0198f2c4-7a10-7d3e-9b55-3f0c1d2e4a61"
OURS = UUID("5b6f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e3f")
CREATED = datetime(2026, 6, 15, 13, 40, tzinfo=UTC)
OTHER, REQUEST = MessageKind.OTHER, MessageKind.REQUEST

Pushed = Callable[[str], bytes]
Recording = Callable[[str], Any]


def at(milliseconds: int) -> datetime:
    return CREATED + timedelta(milliseconds=milliseconds)


def message_about(call: dict[str, Any], **message: Any) -> Message:
    return read_message(json.dumps({"message": {"type": "hang", "call": call, **message}}).encode())


# Whose call it is


ANOTHER = "11111111-2222-4333-8444-555555555555"
METADATA = {"metadata": {"call_id": str(OURS)}}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"assistantOverrides": METADATA, "name": ANOTHER, "customer": {"externalId": ANOTHER}}, {}),
        ({"squadOverrides": METADATA, "name": ANOTHER}, {}),
        ({"customer": {"assistantOverrides": METADATA, "externalId": ANOTHER}, "name": ANOTHER}, {}),
        ({"assistant": METADATA, "name": ANOTHER}, {}),
        ({"name": ANOTHER}, {"assistant": METADATA}),
        ({"name": ANOTHER}, {"assistantOverrides": METADATA}),
        ({"name": str(OURS), "customer": {"externalId": ANOTHER}}, {"customer": {"externalId": ANOTHER}}),
        ({"customer": {"externalId": str(OURS)}}, {"customer": {"externalId": ANOTHER}}),
        ({"name": "Spring check-ups"}, {"customer": {"externalId": str(OURS).upper()}}),
        ({"assistantOverrides": {"metadata": {"call_id": 7}}, "name": str(OURS)}, {}),
        ({"assistantOverrides": {"metadata": None}, "squadOverrides": [], "name": str(OURS)}, {}),
    ],
)
def test_our_id_is_taken_from_the_surest_place(call: dict[str, Any], message: dict[str, Any]) -> None:
    assert message_about(call, **message).call_id == OURS


@pytest.mark.parametrize(
    "name",
    ["row 17", OURS.hex, f"{{{OURS}}}", OURS.urn, str(OURS)[:-1] + "g", "5b6f0d1e2c3a4f4b8d5e9a7b6c5d4e3f----", 7],
)
def test_what_is_not_written_as_we_write_it_is_not_our_id(name: Any) -> None:
    assert message_about({"name": name}).call_id is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"message": {"call": {"id": ID}, "callId": "other"}, "call": {"id": "outer"}}, ID),
        ({"message": {"callId": ID}, "call": {"id": "outer"}}, ID),
        ({"message": {}, "call": {"id": ID}}, ID),
        ({"message": {"call": {"name": "no id"}, "callId": ID}, "call": {"id": "outer"}}, ID),
        ({"message": {"call": None, "callId": ID}}, ID),
        ({"message": {"call": {"id": "x" * 201}}}, None),
        ({"message": {"call": {"id": " "}}}, None),
        ({"message": {"call": {"id": 12}}}, None),
        ({"call": {"id": ID}}, ID),
    ],
)
def test_the_providers_id_is_found_where_it_may_be(body: dict[str, Any], found: str | None) -> None:
    assert read_message(json.dumps(body).encode()).provider_id == found


# Repeats


def test_an_end_and_a_report_are_each_told_once_whatever_the_delivery(recording: Recording) -> None:
    for name in ("status-ended", "report-completed"):
        payload = recording(name)
        first = read_message(json.dumps(payload).encode(), message_id="msg_1")
        payload["message"]["timestamp"] += 4000
        payload["message"]["artifact"]["presignedMonoUrl"] = "https://storage.example.org/again?sig=2"
        second = read_message(json.dumps(payload).encode(), message_id="msg_2")
        assert first.dedupe_key == second.dedupe_key


def test_other_messages_are_known_by_the_senders_id_where_there_is_one(pushed: Pushed) -> None:
    body = pushed("status-ringing")
    assert read_message(body, message_id="msg_1").dedupe_key == f"{ID}:id:msg_1"
    assert read_message(body, message_id="msg_1").dedupe_key != read_message(body, message_id="msg_2").dedupe_key


def test_presigned_addresses_are_no_part_of_a_key() -> None:
    def delivered(signature: str) -> Message:
        artifact = {
            "presignedLogUrl": f"https://s.example.org/{signature}",
            "recordingUrl": f"https://s.example.org/a?sig={signature}",
        }
        return read_message(json.dumps({"message": {"type": "news", "artifact": artifact}}).encode())

    assert delivered("one").dedupe_key == delivered("two").dedupe_key


def test_a_key_fits_into_an_index_whatever_is_sent() -> None:
    long = "x" * 5000
    messages = [
        message_about({"id": ID}, timestamp=long),
        message_about({"id": ID}, timestamp=long + "y"),
        read_message(b'{"type": "hang", "callId": "1"}', message_id=long),
        read_call({"id": ID, "updatedAt": long}, now=CREATED),
    ]
    keys = {message.dedupe_key for message in messages}
    assert len(keys) == len(messages)
    assert max(map(len, keys)) <= 200


# Odd forms


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        (1_781_530_800_000, CREATED),
        (1_781_530_800, CREATED),
        (1_781_530_800_250.0, at(250)),
        ("2026-06-15T13:40:00.000Z", CREATED),
        ("2026-06-15T15:40:00+02:00", CREATED),
        ("2026-06-15T13:40:00", CREATED),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (10**40, None),
        (-(10**40), None),
        (True, None),
        (None, None),
        ({}, None),
    ],
)
def test_a_time_may_be_counted_written_or_missing(sent: Any, moment: datetime | None) -> None:
    assert message_about({"id": ID}, timestamp=sent).occurred_at == moment


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ({"status": "ended"}, CallStatus.ENDED),
        ({"status": "deletion-failed", "endedAt": "2026-06-15T13:40:00Z"}, CallStatus.ENDED),
        ({"endedReason": "customer-busy"}, CallStatus.ENDED),
        ({"status": "not-found"}, None),
        ({"status": ["ended"]}, None),
        ({}, None),
    ],
)
def test_an_unknown_status_does_not_hide_an_end(call: dict[str, Any], status: CallStatus | None) -> None:
    assert read_call(call, now=CREATED).status is status


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("outboundPhoneCall", "outbound"),
        (None, "outbound"),
        (["webCall"], "outbound"),
        ("inboundPhoneCall", "not"),
        ("webCall", "not"),
    ],
)
def test_a_call_that_nobody_was_rung_for_is_told_apart(word: Any, told: str) -> None:
    assert message_about({"id": ID, "type": word}).outbound is (told == "outbound")


def test_an_older_call_object_moves_nothing() -> None:
    assert message_about({"id": ID, "status": "ringing"}).status is None


def test_a_deleted_call_that_was_not_over_tells_no_status() -> None:
    assert message_about({"id": ID, "status": "scheduled"}, type="call.deleted").status is None


def test_a_type_that_we_know_is_told_apart_from_one_that_nobody_heard_of() -> None:
    for word in ("speech-update", "contact.dispatched", 'transcript[transcriptType="final"]'):
        assert message_about({}, type=word).kind is OTHER
    for word in ("lunar-eclipse", "[x]", None):
        assert message_about({}, type=word).kind is MessageKind.UNKNOWN
    assert message_about({}, type=None).type == "unknown"
    assert message_about({}, type=None, toolCallList=[{"id": "1"}]).kind is REQUEST


@pytest.mark.parametrize(
    ("limits", "read"),
    [
        ({"concurrencyBlocked": True}, Limits(blocked=True, limit=None, remaining=None)),
        ({"concurrencyLimit": 10.0, "remainingConcurrentCalls": -1}, Limits(blocked=False, limit=10, remaining=None)),
        (
            {"concurrencyLimit": True, "remainingConcurrentCalls": 2**31},
            Limits(blocked=False, limit=None, remaining=None),
        ),
        ({}, None),
        (None, None),
    ],
)
def test_limits_are_read_as_far_as_they_are_numbers(limits: Any, read: Limits | None) -> None:
    assert read_call({"id": ID, "subscriptionLimits": limits}, now=CREATED).limits == read


@pytest.mark.parametrize("url", ["http://vapi.ai/c", "file:///etc/passwd", "https://" + "x" * 2000, 7, None, ""])
def test_a_control_address_that_is_none_is_left_out(url: Any) -> None:
    assert message_about({"monitor": {"controlUrl": url}}).control_url is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON: 0 bytes"),
        (b"{", "not JSON"),
        (b"[]", "JSON list, expected an object"),
        (b"null", "expected an object"),
        (b'"text"', "expected an object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(MalformedMessage, match=said):
        read_message(body)


def test_a_broken_character_does_not_cost_the_report() -> None:
    message = read_message(b'\xef\xbb\xbf{"type": "end-of-call-report", "summary": "caf\xe9", "call": {"id": "1"}}')
    assert message.ending is not None
    assert message.ending.summary == "caf\ufffd"


def test_a_number_too_long_to_be_a_fact_does_not_cost_the_message() -> None:
    message = read_message(b'{"type": "hang", "callId": "1", "odd": ' + b"9" * 5000 + b"}")
    assert (message.provider_id, message.body["odd"]) == ("1", None)


def test_a_senders_id_is_made_storable() -> None:
    assert read_message(b'{"type": "hang", "callId": "1"}', message_id="a\x00\ud800").dedupe_key == "1:id:a\ufffd\ufffd"
