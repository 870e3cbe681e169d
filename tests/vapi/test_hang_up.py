"""Ending a live call: the order goes to the call's own address, if that is one we trust, and to no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from campaigns.errors import AccountRefused
from campaigns.vapi.client import Client, HangUp, HangUpResult
from campaigns.vapi.control import why_not
from tests.vapi.provider import Asked, Provider, answer

KEY = "sk-a-key-that-nobody-may-see"
HOSTS = ("vapi.ai", "voice.example.com")


@pytest.mark.parametrize(
    "url",
    [
        "https://phone-call-websocket.aws-us-west-2-backend-production1.vapi.ai/a8b0f3f2/control",
        "https://vapi.ai/x",
        "https://VAPI.ai:443/x?y=z@w",
        "https://vapi.ai",
        "https://eu.voice.example.com/control",
    ],
)
def test_an_address_at_a_known_host_is_taken(url: str) -> None:
    assert why_not(url, hosts=HOSTS, base_url="https://api.vapi.ai") is None


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        7,
        "http://vapi.ai/x",
        "http://api.vapi.ai/x",
        "wss://vapi.ai/x",
        "//vapi.ai/x",
        "https:/vapi.ai/x",
        "https://evilvapi.ai/x",
        "https://vapi.ai.evil.example/x",
        "https://vapi.ai./x",
        "https://.vapi.ai/x",
        "https://a..vapi.ai/x",
        "https://-.vapi.ai/x",
        f"https://{'a' * 64}.vapi.ai/x",
        "https://vapi.ai@evil.example/x",
        "https://evil.example#@vapi.ai/x",
        "https://evil.example?.vapi.ai/x",
        "https://evil.example\\.vapi.ai/x",
        "https://evil.example/.vapi.ai/x",
        "https://user:password@vapi.ai/x",
        "https://vapi.ai:8443/x",
        "https://vapi.ai:80/x",
        "https://vapi.ai:/x",
        "https://vapi.ai/x y",
        "https://vapi.ai/x\n",
        "https://vapi.ai/x\\y",
        "https://vap\u0131.ai/x",
        "https://ⓥapi.ai/x",
        "https://evil%2evapi.ai/x",
        "https://169.254.169.254/x",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://voice.example/x",
        "http://127.0.0.1:8099/call/x/control",
        "https://vapi.ai/" + "x" * 2_000,
    ],
)
def test_every_other_address_is_refused_with_a_reason(url: object) -> None:
    for base_url in ("https://api.vapi.ai", "http://127.0.0.1:9000"):
        reason = why_not(url, hosts=HOSTS, base_url=base_url)
        assert reason
        assert "\n" not in reason


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://127.0.0.1:9000/call/x/control", True),
        ("http://127.0.0.1:9001/call/x/control", False),
        ("http://127.0.0.1/call/x/control", False),
        ("http://127.0.0.2:9000/x", False),
        ("http://localhost:9000/x", False),
        ("http://x@127.0.0.1:9000/x", False),
        ("http://127.0.0.1:9000@evil.example/x", False),
        ("https://call.vapi.ai/x", True),
    ],
)
def test_a_stand_in_is_ended_where_it_is(url: str, taken: bool) -> None:  # noqa: FBT001 - one column of the table
    assert (why_not(url, hosts=HOSTS, base_url="http://127.0.0.1:9000") is None) is taken


def test_an_address_here_is_refused_while_the_provider_is_elsewhere() -> None:
    assert why_not("http://127.0.0.1:9000/x", hosts=HOSTS, base_url="https://127.0.0.1.example.com:9000")


def hung_up(*replies: bytes | None, **record: Any) -> tuple[HangUp, list[Asked]]:
    """What came of ending a live call with this `record`, whose control address gives `replies`, then 404."""
    control = iter(replies)
    live: dict[str, Any] = {"id": "one", "status": "in-progress"}

    def reply(asked: Asked) -> bytes | None:
        if asked.method == "GET":
            monitor = {"monitor": {"controlUrl": f"{provider.url}/call/one/control"}}
            return answer(200, live | monitor | record)
        return next(control)

    with Provider(reply) as provider, Client(provider.url, KEY) as client:
        return client.hang_up("one"), provider.asked


def test_a_live_call_is_ended_at_its_own_address_without_the_key() -> None:
    result, asked = hung_up(answer(200, {}))
    assert result == HangUp(HangUpResult.ENDED)
    assert [(each.method, each.target) for each in asked] == [("GET", "/call/one"), ("POST", "/call/one/control")]
    assert json.loads(asked[1].body) == {"type": "end-call"}
    assert "authorization" in asked[0].headers
    assert KEY not in str(asked[1])
    assert "authorization" not in asked[1].headers


@pytest.mark.parametrize("record", [{"status": "ended"}, {"status": None, "endedAt": "2027-03-02T15:00:00Z"}])
def test_a_call_that_is_over_is_left_alone(record: dict[str, Any]) -> None:
    result, asked = hung_up(**record)
    assert result == HangUp(HangUpResult.OVER)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("monitor", "why"),
    [
        (None, "the provider names no control address: the call is not connected yet, or control is switched off"),
        ({}, "the provider names no control address: the call is not connected yet, or control is switched off"),
        (
            {"controlUrl": "https://evil.example/secret"},
            "the control address is at evil.example, which is not among the account's control_hosts",
        ),
        ({"controlUrl": "https://169.254.169.254/secret"}, "which is not among the account's control_hosts"),
        ({"controlUrl": "https://vapi.ai:1/secret"}, "the control address is not a plain https address"),
    ],
)
def test_nothing_is_posted_to_an_address_that_is_not_trusted(monitor: Any, why: str) -> None:
    result, asked = hung_up(monitor=monitor)
    assert result.result is HangUpResult.IMPOSSIBLE
    assert result.why.endswith(why)
    assert "secret" not in result.why
    assert [each.method for each in asked] == ["GET"]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer(307, location="/elsewhere"), "the control address answered 307"),
        (answer(404), "the control address answered 404"),
        (answer(500), "the control address answered 500"),
        (None, "the control address did not answer: ReadError; see whether the call goes on"),
    ],
)
def test_an_order_that_is_not_taken_is_said_and_not_repeated(reply: bytes | None, why: str) -> None:
    result, asked = hung_up(reply)
    assert result == HangUp(HangUpResult.IMPOSSIBLE, why)
    assert sum(each.method == "POST" for each in asked) == 1
    assert {each.target for each in asked} == {"/call/one", "/call/one/control"}


def test_a_call_that_ends_just_then_is_over() -> None:
    asked: list[str] = []

    def reply(each: Asked) -> bytes:
        asked.append(each.method)
        if each.method == "POST":
            return answer(404)
        status = "ended" if "POST" in asked else "ringing"
        monitor = {"controlUrl": f"{provider.url}/control"}
        return answer(200, {"id": "one", "status": status, "monitor": monitor})

    with Provider(reply) as provider, Client(provider.url, KEY) as client:
        assert client.hang_up("one") == HangUp(HangUpResult.OVER)


def test_a_call_that_the_provider_does_not_know_is_over_and_a_refused_key_is_a_failure() -> None:
    replies = iter([answer(404), answer(401, {"message": "Invalid Key"})])
    with Provider(lambda _: next(replies)) as provider, Client(provider.url, KEY) as client:
        assert client.hang_up("one") == HangUp(HangUpResult.OVER)
        with pytest.raises(AccountRefused, match="401: Invalid Key"):
            client.hang_up("one")
