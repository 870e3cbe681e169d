"""Whatever is sent to the webhook's address: answered without a failure of ours, and stored only when proven."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vapi.test_any_message import objects, values
from tests.web.conftest import GUESSED, Web, signed
from tests.web.test_every_recording import IN_PROGRESS, apply_all, call_in

# The running receiver is shared by all examples; how fast it answers on a busy machine is no promise of this test.
steady = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

REPORT = json.dumps({"message": {"type": "end-of-call-report", "call": {"id": "forged"}}}).encode()

names = st.one_of(
    st.sampled_from(
        ["x-signature", "x-timestamp", "authorization", "x-vapi-secret", "content-type", "content-encoding"]
    ),
    st.sampled_from(["host", "expect", "connection", "forwarded", "x-forwarded-for", "x-request-id"]),
    st.text("abcdefghijklmnopqrstuvwxyz-_0123456789 \t:(", min_size=1, max_size=12),
).map(str.encode)
lines = st.tuples(names, st.binary(max_size=40).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b"")))
bodies = st.one_of(st.binary(max_size=200), values.map(lambda value: json.dumps(value).encode()), st.just(REPORT))


def send(
    web: Web, head: list[tuple[bytes, bytes]], body: bytes, *, counted: bool = True, broken_off: bool = False
) -> int:
    """The status of the answer to a POST written byte by byte, as no client would; 0 for no answer at all.

    A request whose body does not end is broken off, or both sides would wait for the other.
    """
    address = urlsplit(web.address)
    request = [b"POST /webhooks/vapi/main HTTP/1.1", b"host: receiver", b"connection: close"]
    if counted:
        request.append(b"content-length: %d" % len(body))
    request += [name + b": " + value for name, value in head]
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(b"\r\n".join(request) + b"\r\n\r\n" + body)
        if broken_off:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            status = answer.readline().split(b" ", 2)
    return int(status[1]) if len(status) > 1 else 0


@steady
@given(head=st.lists(lines, max_size=5), body=bodies, counted=st.booleans())
def test_what_is_not_proven_is_never_stored_and_never_a_failure(
    web: Web, head: list[tuple[bytes, bytes]], body: bytes, *, counted: bool
) -> None:
    before = web.count()
    assert send(web, head, body, counted=counted) < 500
    assert web.count() == before


@steady
@given(objects, st.sampled_from(["sha256=", "", " "]))
def test_a_guessed_signature_proves_nothing(web: Web, sent: dict[str, Any], prefix: str) -> None:
    body = json.dumps(sent).encode()
    forged = signed(body, secret=GUESSED)
    forged["x-signature"] = prefix + forged["x-signature"]
    before = web.count()
    assert send(web, [(name.encode(), value.encode()) for name, value in forged.items()], body) == 401
    assert web.count() == before


def proven(web: Web, body: bytes, *more: tuple[bytes, bytes], counted: bool = True) -> int:
    head = [(name.encode(), value.encode()) for name, value in signed(body).items() if name != "content-type"]
    return send(web, [*head, *more], body, counted=counted)


messages = st.fixed_dictionaries(
    {"type": st.sampled_from(["status-update", "end-of-call-report", "hang", "call.deleted", "tool-calls"])},
    optional={"status": values, "artifact": values, "analysis": values, "timestamp": values}
    | {"endedReason": values, "cost": values, "startedAt": values, "toolCallList": values},
)


@steady
@given(st.one_of(values, messages))
def test_any_proven_json_is_stored_or_refused_and_can_be_applied(web: Web, sent: Any) -> None:
    if isinstance(sent, dict) and "type" in sent:
        sent["call"] = {"id": call_in(web, IN_PROGRESS).provider_id}
    assert proven(web, json.dumps(sent).encode()) == (200 if isinstance(sent, dict) else 400)
    apply_all(web)


@steady
@given(st.binary(max_size=300))
def test_any_proven_bytes_are_taken_or_refused(web: Web, body: bytes) -> None:
    assert proven(web, body) in {200, 400}


def told(inner: str) -> bytes:
    return b'{"message": {"type": "end-of-call-report", "call": {"id": "odd"}, ' + inner.encode() + b"}}"


ODD = {
    "NUL characters": told('"summary": "a\\u0000b", "\\u0000": 1'),
    "raw control characters": told('"summary": "a\x01b"'),
    "lone surrogates": told('"summary": "\\ud800", "\\udfff": "\\udc00\\ud800"'),
    "raw surrogates": b'{"type": "hang", "callId": "\xed\xa0\x80"}',
    "an integer of 5 000 digits": told('"cost": ' + "9" * 5000),
    "an integer beyond any column": told('"cost": ' + "9" * 290),
    "a fraction beyond any column": told('"cost": 1e308, "costs": [{"type": "model", "cost": 1e307}]'),
    "an infinite number": told('"cost": 1e999, "timestamp": -1e999'),
    "no numbers": told('"cost": NaN, "timestamp": Infinity, "startedAt": -Infinity'),
    "times before the calendar": told('"startedAt": -1e17, "endedAt": "0001-01-01T00:00:00+14:00"'),
    "times after it": told('"startedAt": 1e17, "endedAt": "9999-12-31T23:59:59-14:00"'),
    "an end before the start": told('"startedAt": "2027-03-02T15:00:00Z", "endedAt": "2026-03-02T15:00:00Z"'),
    "nesting": told('"artifact": ' + '{"a":' * 400 + "1" + "}" * 400),
    "nesting without end": told('"artifact": ' + "[" * 200_000),
    "keys twice": told('"type": "hang", "type": "status-update", "status": "queued", "status": "ended"'),
    "an empty key": told('"": {"": [""]}'),
    "a key of a megabyte": told('"' + "k" * 1_000_000 + '": 1'),
    "an id of a megabyte": told('"callId": "' + "i" * 1_000_000 + '"'),
    "many keys": told(",".join(f'"k{number}": {number}' for number in range(20_000))),
    "a byte order mark": b"\xef\xbb\xbf" + told('"summary": "x"'),
    "UTF-16": told('"summary": "x"').decode().encode("utf-16"),
    "Latin-1": '{"type": "hang", "callId": "café"}'.encode("latin-1"),
    "compressed": gzip.compress(told('"summary": "x"')),
    "two documents": told('"summary": "x"') * 2,
    "nothing": b"",
    "a space": b" ",
}


@pytest.mark.parametrize("odd", ODD)
def test_no_odd_body_is_a_failure_even_when_proven(web: Web, odd: str) -> None:
    call = call_in(web, IN_PROGRESS)
    assert proven(web, ODD[odd].replace(b'"odd"', f'"{call.provider_id}"'.encode())) in {200, 400}
    apply_all(web)


HEADED = {
    "another content type": ((b"content-type", b"text/html; charset=utf-16"),),
    "no such charset": ((b"content-type", b"application/json; charset=klingon"),),
    "a content type of bytes": ((b"content-type", b"\xff\xfe\x00"[:2]),),
    "said to be compressed": ((b"content-encoding", b"gzip"),),
    "said to be compressed thrice": ((b"content-encoding", b"br, gzip, zstd"),),
    "sent on behalf of somebody": ((b"x-forwarded-for", b"';--"), (b"forwarded", b"for=\xff")),
    "cookies": ((b"cookie", b"=;;=\xff"),),
}


@pytest.mark.parametrize("headed", HEADED)
def test_what_is_proven_counts_whatever_else_is_said_about_it(web: Web, headed: str) -> None:
    assert proven(web, told(f'"summary": "{headed}"'), *HEADED[headed]) == 200


def test_a_body_in_pieces_or_of_no_told_length_is_no_failure(web: Web) -> None:
    assert proven(web, REPORT, counted=False) == 401  # without a length there is no body, and nothing else was signed
    head = [(name.encode(), value.encode()) for name, value in signed(REPORT).items()]
    chunked = [*head, (b"transfer-encoding", b"chunked")]
    pieces = b"%x\r\n%s\r\n0\r\n\r\n" % (len(REPORT), REPORT)
    assert send(web, chunked, pieces, counted=False) == 200
    before = web.count()
    assert send(web, chunked, b"zz\r\n", counted=False) == 400
    assert send(web, [*head, (b"content-length", b"-1")], REPORT, counted=False) == 400
    assert send(web, [*head, (b"content-length", b"7")], REPORT) == 400
    assert send(web, [*head, (b"content-length", b"9999")], REPORT, counted=False, broken_off=True) < 500
    assert send(web, chunked, pieces[:40], counted=False, broken_off=True) < 500
    assert web.count() == before
