"""`POST /call`: what is taken, and what Vapi would say to the rest."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


def test_an_accepted_call_looks_like_a_call_of_vapi(simulator: Any) -> None:
    overrides = {"variableValues": {"name": "Dana"}, "metadata": {"callId": "c-1"}}
    call = simulator.place("+14155550142", name="c-1", assistantOverrides=overrides)
    assert call["status"] == "queued"
    assert call["type"] == "outboundPhoneCall"
    assert call["name"] == "c-1"
    assert call["customer"] == {"number": "+14155550142"}
    assert call["assistantOverrides"] == overrides
    assert call["subscriptionLimits"]["concurrencyBlocked"] is False
    assert call["subscriptionLimits"]["concurrencyLimit"] == 1000
    assert 0 < call["subscriptionLimits"]["remainingConcurrentCalls"] < 1000
    assert call["monitor"]["controlUrl"] == f"{simulator.url}/call/{call['id']}/control"
    assert call["monitor"]["listenUrl"].startswith("ws://127.0.0.1:")
    assert call["createdAt"].endswith("Z")


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "simulator-key"}])
@pytest.mark.parametrize("route", ["/call", "/call/x", "/assistant/x", "/phone-number/x"])
def test_without_the_key_nothing_is_shown(simulator: Any, header: dict[str, str], route: str) -> None:
    answer = httpx.get(simulator.url + route, headers=header, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"
    assert answer.json()["message"].startswith("Invalid Key.")


def test_without_the_key_no_call_is_placed(simulator: Any) -> None:
    name = "must-not-exist"
    answer = httpx.post(f"{simulator.url}/call", json=simulator.body(name=name), trust_env=False)
    assert answer.status_code == 401
    assert name not in {entry["name"] for entry in simulator.ledger()["calls"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"assistantOverride": {}}, "property assistantOverride should not exist"),
        ({"metadata": {}}, "property metadata should not exist"),
        ({"customer": {"phone": "1"}}, "customer.property phone should not exist"),
        ({"assistantOverrides": {"serverUrl": "x"}}, "assistantOverrides.property serverUrl should not exist"),
        (
            {"assistantOverrides": {"server": {"url": "http://127.0.0.1/", "secret": "x"}}},
            "assistantOverrides.server.property secret should not exist",
        ),
        ({"assistantOverrides": {"server": {"url": "nowhere"}}}, "assistantOverrides.server.url must be a URL address"),
        (
            {"assistantOverrides": {"server": {"url": "http://h/", "timeoutSeconds": 0}}},
            "assistantOverrides.server.timeoutSeconds must not be less than 1",
        ),
        ({"name": "n" * 41}, "name must be shorter than or equal to 40 characters"),
        ({"customer": {"name": "n" * 41}}, "customer.name must be shorter than or equal to 40 characters"),
        (
            {"customer": {"externalId": "n" * 41}},
            "customer.externalId must be shorter than or equal to 40 characters",
        ),
        (
            {"customer": {"extension": "1" * 11}},
            "customer.extension must be shorter than or equal to 10 characters",
        ),
        ({"customer": {"number": "4155550142"}}, "customer.number must be a valid phone number in the E.164 format."),
        ({"customer": {"number": None}}, "customer.number must be a valid phone number in the E.164 format."),
    ],
)
def test_what_vapi_would_refuse_is_refused_in_its_words(simulator: Any, change: dict[str, Any], message: str) -> None:
    answer = simulator.post(**change)
    assert answer.status_code == 400
    refusal = answer.json()
    assert refusal["error"] == "Bad Request"
    assert refusal["statusCode"] == 400
    assert len(refusal["message"]) == 1
    assert refusal["message"][0].startswith(message)


def test_every_problem_of_a_request_is_named(simulator: Any) -> None:
    answer = simulator.post(one=1, two=2)
    assert answer.json()["message"] == ["property one should not exist", "property two should not exist"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"assistantId": None}, "Need Exactly One Of"),
        ({"squadId": "a-squad"}, "Need Exactly One Of"),
        ({"assistant": {"firstMessage": "Hi"}}, "Need Exactly One Of"),
        ({"phoneNumberId": None}, "Couldn't Get Phone Number."),
        (
            {"assistantOverrides": {"server": {"url": "http://127.0.0.1/", "credentialId": "nobody's"}}},
            "Couldn't Get Credential.",
        ),
    ],
)
def test_what_names_nothing_or_too_much_is_refused(simulator: Any, change: dict[str, Any], message: str) -> None:
    answer = simulator.post(**change)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"'])
def test_a_body_that_is_no_object_is_refused(simulator: Any, content: bytes) -> None:
    assert simulator.client.post("/call", content=content).status_code == 400


def test_a_squad_and_a_transient_assistant_are_taken(simulator: Any) -> None:
    simulator.place(assistantId=None, squadId="a-squad", squadOverrides={"metadata": {"a": 1}})
    simulator.place(assistantId=None, assistant={"firstMessage": "Hi"})


def test_an_odd_number_is_taken_when_its_check_is_off(simulator: Any) -> None:
    simulator.place("1234", customer={"numberE164CheckEnabled": False})
    assert simulator.post("12 34", customer={"numberE164CheckEnabled": False}).status_code == 400


def test_what_is_not_simulated_is_refused_loudly(simulator: Any) -> None:
    answer = simulator.post(schedulePlan={"earliestAt": "2026-01-01T00:00:00Z"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the simulator does not simulate schedulePlan")


@pytest.mark.parametrize("route", ["/call/nobody", "/nowhere"])
def test_what_does_not_exist_is_not_found(simulator: Any, route: str) -> None:
    answer = simulator.client.get(route)
    assert answer.status_code == 404
    assert answer.json()["error"] == "Not Found"
    assert answer.json()["statusCode"] == 404


def test_any_assistant_and_number_exists_while_none_is_listed(simulator: Any) -> None:
    assert simulator.client.get("/assistant/any").json()["id"] == "any"
    number = simulator.client.get("/phone-number/any").json()
    assert number["id"] == "any"
    assert number["twilioAuthToken"]


def test_only_listed_assistants_and_numbers_exist_once_some_are(simulator: Any, start: Any, tmp_path: Any) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text('[assistants.mine]\nname = "Mine"\n[phone_numbers.line]\nnumber = "+14155550111"\n')
    own = start("--scenario", str(file))
    assert own.client.get("/assistant/mine").json()["name"] == "Mine"
    assert own.client.get("/assistant/other").status_code == 404
    assert own.client.get("/phone-number/line").json()["number"] == "+14155550111"
    assert own.client.get("/phone-number/other").status_code == 404
    assert own.post(assistantId="mine", phoneNumberId="line").status_code == 201
    assert own.post(assistantId="other", phoneNumberId="line").json()["message"].startswith("Couldn't Get Assistant.")
    assert own.post(assistantId="mine", phoneNumberId="other").json()["message"].startswith("Couldn't Get Phone")
