"""One request, and every answer that a network can give to it. Over real HTTP, against a provider that misbehaves."""

from __future__ import annotations

import gzip
import socket
import time
import traceback
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent, SetupError, Throttled
from campaigns.rules.definition import AccountDefinition
from campaigns.vapi import client as client_module
from campaigns.vapi.client import LARGEST_BODY, LIMITS, Client
from campaigns.vapi.requests import CreateCall
from tests.factories import ACCOUNT
from tests.vapi.provider import Asked, Provider, answer

KEY = "sk-a-key-that-nobody-may-see"
REQUEST = CreateCall(UUID(int=1), {"name": "one", "customer": {"number": "+12125550142"}})
CREATED = answer(201, {"id": "a-call", "status": "queued"})


@pytest.fixture
def provider() -> Any:
    with Provider(lambda _: CREATED) as running:
        yield running


@pytest.fixture
def client(provider: Provider) -> Any:
    with Client(provider.url, KEY) as connected:
        yield connected


def test_a_call_is_one_request_with_the_key_and_its_record_comes_back(client: Client, provider: Provider) -> None:
    assert client.create_call(REQUEST) == {"id": "a-call", "status": "queued"}
    (asked,) = provider.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/call", REQUEST.content())
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (answer(400, {"message": ["one", "two\nthree"]}), CallRefused, "400: one; two three"),
        (answer(400, {"message": "Over Concurrency Limit"}), Throttled, "400: Over Concurrency Limit"),
        (answer(400, {"message": "concurrent calls limit reached"}), Throttled, "400: concurrent calls limit reached"),
        (
            answer(400, {"message": ["property maxConcurrency should not exist"]}),
            CallRefused,
            "400: property maxConcurrency should not exist",
        ),
        (answer(404, {"message": "", "error": "Not Found"}), CallRefused, "404: Not Found"),
        (answer(409, {"message": None}), CallRefused, "HTTP 409"),
        (answer(422, b"{broken"), CallRefused, "HTTP 422"),
        (answer(400, b"[" * 100_000), CallRefused, "HTTP 400"),
        (answer(400, {"message": "x" * 9_999}), CallRefused, "400: " + "x" * 495),
        (answer(401, {"message": f"Invalid Key {KEY}."}), AccountRefused, "401: Invalid Key [key]."),
        (answer(401, {"message": "sent Bearer sk-other"}), AccountRefused, "401: sent [key]"),
        (answer(402, {"error": "Payment Required"}), AccountRefused, "402: Payment Required"),
        (
            answer(403, b"<!DOCTYPE html><html><head><title>\n Attention Required! </title>"),
            AccountRefused,
            "403: a page titled 'Attention Required!'",
        ),
        (
            answer(400, {"message": "number +1 (212) 555-0142 of a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10 or 12125550142"}),
            CallRefused,
            "400: number [number] of a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10 or [number]",
        ),
        (answer(429, b"<html>slow down"), Throttled, "HTTP 429"),
        (answer(408), CallUnclear, "the provider answered HTTP 408"),
        (
            answer(500, {"message": "Internal server error"}),
            CallUnclear,
            "the provider answered 500: Internal server error",
        ),
        (
            answer(502, b"<html><title>502 Bad Gateway</title>"),
            CallUnclear,
            "the provider answered 502: a page titled '502 Bad Gateway'",
        ),
        (answer(503, {"message": "x"}, retry_after="1"), CallUnclear, "the provider answered 503: x"),
        (answer(301, location="/elsewhere"), CallUnclear, "the provider answered HTTP 301"),
        (answer(307, location="/elsewhere"), CallUnclear, "the provider answered HTTP 307"),
        (answer(201), CallUnclear, "the provider answered 201 without naming a call"),
        (answer(201, b"<html>"), CallUnclear, "the provider answered 201 without naming a call"),
        (answer(201, {"id": 7}), CallUnclear, "the provider answered 201 without naming a call"),
        (answer(201, {"id": ""}), CallUnclear, "the provider answered 201 without naming a call"),
        (answer(201, {"results": [], "errors": []}), CallUnclear, "the provider answered 201 without naming a call"),
        (answer(202, {}), CallUnclear, "the provider answered 202 without naming a call"),
        (answer(204), CallUnclear, "the provider answered 204 without naming a call"),
        (
            answer(201, b"not gzip", content_encoding="gzip"),
            CallUnclear,
            "the provider's answer did not arrive: DecodingError",
        ),
        (
            b"HTTP/1.1 201 x\r\ncontent-length: 90\r\nconnection: close\r\n\r\n{",
            CallUnclear,
            "the provider's answer did not arrive: RemoteProtocolError",
        ),
        (b"not HTTP at all\r\n\r\n", CallUnclear, "the provider's answer did not arrive: RemoteProtocolError"),
        (None, CallUnclear, "the provider's answer did not arrive: ReadError"),
    ],
)
def test_each_answer_has_its_meaning_and_is_asked_for_once(
    client: Client, provider: Provider, reply: bytes | None, kind: type[CallFailure], said: str
) -> None:
    provider.reply = lambda _: reply
    with pytest.raises(CallFailure) as caught:
        client.create_call(REQUEST)
    assert (type(caught.value), str(caught.value)) == (kind, said)
    assert provider.posts() == 1
    assert len(provider.asked) == 1


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_answer_that_names_a_call_is_a_call_whatever_its_status(
    client: Client, provider: Provider, status: int
) -> None:
    provider.reply = lambda _: answer(status, b'\xef\xbb\xbf{"id": "a-call", "name": "\xff"}')
    assert client.create_call(REQUEST)["id"] == "a-call"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, timedelta(seconds=7)),
        ({"retry_after": "0.5"}, timedelta(seconds=0.5)),
        ({"retry_after": "999999"}, timedelta(hours=1)),
        (
            {"retry_after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            timedelta(seconds=30),
        ),
        (
            {"retry_after": "Sat, 21 Nov 2026 09:59:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            timedelta(0),
        ),
        ({"retry_after": "Fri, 21 Nov 2098 10:00:30 GMT"}, timedelta(hours=1)),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Sat, 99 Nov 2026 10:00:30 GMT"}, None),
        ({}, None),
    ],
)
def test_later_comes_with_how_much_later(
    client: Client, provider: Provider, headers: dict[str, str], wait: timedelta | None
) -> None:
    provider.reply = lambda _: answer(429, {"message": "Rate limit exceeded"}, **headers)
    with pytest.raises(Throttled) as caught:
        client.create_call(REQUEST)
    assert caught.value.retry_after == wait


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port either
        with (
            Client(f"http://127.0.0.1:{taken.getsockname()[1]}", KEY) as client,
            pytest.raises(NotSent, match="no connection to the provider: ConnectError"),
        ):
            client.create_call(REQUEST)


def quick(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Patience of fractions of a second."""
    patience = {"connect": 5.0, "write": 5.0, "read": 20.0, "pool": 2.0} | seconds
    monkeypatch.setattr(client_module, "TIMEOUT", httpx.Timeout(**patience))


def test_an_answer_that_does_not_come_leaves_it_open(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, read=0.2)

    def silence(asked: Asked) -> bytes | None:
        provider.ending.wait(20)
        return None

    provider.reply = silence
    with (
        Client(provider.url, KEY) as client,
        pytest.raises(CallUnclear, match="the provider's answer did not arrive: ReadTimeout"),
    ):
        client.create_call(REQUEST)
    assert provider.posts() == 1


def test_an_answer_that_drips_is_given_up(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_ANSWER", timedelta(seconds=0.3))

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 201 x\r\ncontent-length: 100000\r\n\r\n")
        while not provider.ending.wait(0.02):
            connection.sendall(b" ")

    provider.send = drip
    with Client(provider.url, KEY) as client, pytest.raises(CallUnclear, match="did not arrive: ReadTimeout"):
        client.create_call(REQUEST)


def test_an_answer_without_end_is_not_read_to_its_end(client: Client, provider: Provider) -> None:
    sent = 0

    def pour(connection: socket.socket, _: bytes) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 201 x\r\nconnection: close\r\n\r\n")
        piece = b" " * 1_048_576
        while sent < 10 * LARGEST_BODY:
            connection.sendall(piece)
            sent += len(piece)

    provider.send = pour
    with pytest.raises(CallUnclear, match="did not arrive: TooLarge"):
        client.create_call(REQUEST)
    assert LARGEST_BODY <= sent < 2 * LARGEST_BODY


def test_an_answer_that_was_packed_twice_is_not_unpacked(client: Client, provider: Provider) -> None:
    packed = gzip.compress(gzip.compress(b'{"id": "a-call"}'))
    provider.reply = lambda _: answer(201, packed, content_encoding="gzip, gzip")
    with pytest.raises(CallUnclear, match="did not arrive: DecodingError"):
        client.create_call(REQUEST)
    provider.reply = lambda _: answer(201, gzip.compress(b'{"id": "a-call"}'), content_encoding="gzip")
    assert client.create_call(REQUEST) == {"id": "a-call"}


def test_a_connection_is_used_again_at_once_and_not_after_it_was_left_alone(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create_call(REQUEST)
    client.create_call(REQUEST)
    assert [asked.connection for asked in provider.asked] == [1, 1]
    assert LIMITS.keepalive_expiry is not None
    assert LIMITS.keepalive_expiry <= 4  # seconds; common servers close after five
    later = time.monotonic() + LIMITS.keepalive_expiry + 0.1
    monkeypatch.setattr("httpcore._sync.http11.time.monotonic", lambda: later)
    client.create_call(REQUEST)
    assert [asked.connection for asked in provider.asked] == [1, 1, 2]


def test_a_connection_that_the_provider_closed_meanwhile_is_noticed(client: Client, provider: Provider) -> None:
    provider.reply = lambda _: answer(201, {"id": "a-call"}, x="y")

    def close_after(connection: socket.socket, reply: bytes) -> None:
        connection.sendall(reply)  # nothing in it says that the connection ends here
        connection.shutdown(socket.SHUT_RDWR)

    provider.send = close_after
    for _ in range(3):
        assert client.create_call(REQUEST)["id"] == "a-call"
    assert [asked.connection for asked in provider.asked] == [1, 2, 3]


def test_the_key_is_printed_nowhere(client: Client, provider: Provider) -> None:
    shown = [repr(client), str(client), repr(Client.of(AccountDefinition.model_validate(ACCOUNT), KEY))]
    for reply in (
        None,
        answer(401, {"message": f"key {KEY}"}),
        answer(500, {"message": KEY}),
        answer(400, KEY.encode()),
    ):
        provider.reply = lambda _, reply=reply: reply
        for ask in (lambda: client.create_call(REQUEST), lambda: client.get_call("x")):
            with pytest.raises(CallFailure) as caught:
                ask()
            shown += [repr(caught.value), "".join(traceback.format_exception(caught.value))]
    assert KEY not in "".join(shown)
    assert len(shown) == 19


@pytest.mark.parametrize("key", ["", "sk one", "sk\n", "sk-é", "sk\x00"])
def test_a_key_that_no_header_can_carry_is_said_at_once_and_not_quoted(key: str) -> None:
    with pytest.raises(SetupError) as caught:
        Client("https://api.vapi.ai", key)
    assert "sk" not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("a8b0f3f2-51a4", "/call/a8b0f3f2-51a4"),
        ("../assistant?limit=1#x", "/call/..%2Fassistant%3Flimit%3D1%23x"),
        ("%2e%2e", "/call/%252e%252e"),
        ("é /", "/call/%C3%A9%20%2F"),
    ],
)
def test_an_id_is_asked_for_as_it_is(client: Client, provider: Provider, wanted: str, target: str) -> None:
    provider.reply = lambda _: answer(200, {"id": wanted, "status": "queued"})
    assert client.get_call(wanted) == {"id": wanted, "status": "queued"}
    assert [asked.target for asked in provider.asked] == [target]


def test_a_record_that_says_that_there_is_no_such_call_is_none(client: Client, provider: Provider) -> None:
    provider.reply = lambda _: answer(200, {"id": "a-call", "status": "not-found"})
    assert client.get_call("a-call") is None


@pytest.mark.parametrize("wanted", ["", ".", ".."])
def test_what_is_no_id_asks_for_nothing_else(client: Client, provider: Provider, wanted: str) -> None:
    with pytest.raises(CallFailure, match="is not the id of a call"):
        client.get_call(wanted)
    assert provider.asked == []


def test_each_kind_of_thing_is_asked_for_at_its_place(client: Client, provider: Provider) -> None:
    provider.reply = lambda _: answer(200, {"id": "x"})
    for ask in (client.get_call, client.get_assistant, client.get_squad, client.get_tool, client.get_phone_number):
        assert ask("x") == {"id": "x"}
    targets = [asked.target for asked in provider.asked]
    assert targets == ["/call/x", "/assistant/x", "/squad/x", "/tool/x", "/phone-number/x"]
    provider.reply = lambda _: answer(404, {"message": "Not Found"})
    assert client.get_squad("x") is None


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (answer(401, {"message": "Invalid Key"}), AccountRefused, "the provider answered 401: Invalid Key"),
        (answer(500), CallFailure, "the provider answered HTTP 500"),
        (answer(302, location="/x"), CallFailure, "the provider answered HTTP 302"),
        (answer(200, [1]), CallFailure, "the provider answered HTTP 200, and nothing that can be read"),
        (answer(200, {"id": "y"}), CallFailure, "the provider answered about another call than was asked for"),
        (None, CallFailure, "the provider does not answer: ReadError"),
    ],
)
def test_a_question_that_is_not_answered_is_a_failure_and_not_a_no(
    client: Client, provider: Provider, reply: bytes | None, kind: type[CallFailure], said: str
) -> None:
    provider.reply = lambda _: reply
    with pytest.raises(CallFailure) as caught:
        client.get_call("x")
    assert (type(caught.value), str(caught.value)) == (kind, said)
    assert len(provider.asked) == 1
