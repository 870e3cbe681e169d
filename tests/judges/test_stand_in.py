"""The stand-in for Vapi, as Vapi's own client, types and schemas see it: a real process, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import vapi
from vapi.core.api_error import ApiError

from tests.judges import sdk
from tests.judges.schema import MESSAGES, as_described, problems
from tests.judges.test_requests import HEARD, SHAPES, request
from tests.simulator.conftest import KEY, SECRET, Receiver, Simulator

OUTCOMES = ("answered", "no_answer", "voicemail", "busy", "failed", "pipeline_error")


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Simulator]:
    with Simulator("--speed", "1000") as running:
        running.set(concurrency=1000, credentials={HEARD["credential_id"]: SECRET})
        yield running


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def client(stand_in: Simulator) -> Iterator[vapi.Vapi]:
    """Vapi's client. It would repeat a refused request by itself: see `ONCE`."""
    with httpx.Client(trust_env=False, timeout=15) as http:
        yield vapi.Vapi(token=KEY, base_url=stand_in.url, httpx_client=http)


ONCE: Any = {"max_retries": 0}


def ours(shape: str, number: str, hook: Receiver) -> dict[str, Any]:
    """A request of ours for a number that nobody else calls, reporting to `hook`."""
    body = request(shape, number=number, variables={"first_name": "Dana"})
    overrides = body.get("assistantOverrides", body.get("squadOverrides"))
    if "server" in overrides:
        overrides["server"]["url"] = hook.server()["url"]
    return body


def problems_of_message(message: dict[str, Any]) -> list[str]:
    described = as_described(message)
    return problems(described, MESSAGES[message["type"]]) + sdk.problems_of_message(described)


def problems_of_call(call: dict[str, Any]) -> list[str]:
    return problems(call, "Call") + sdk.problems_of_call(call)


@pytest.mark.parametrize("shape", SHAPES)
def test_our_requests_are_taken_and_answered_as_vapi_answers(stand_in: Simulator, hook: Receiver, shape: str) -> None:
    answer = stand_in.client.post("/call", json=ours(shape, stand_in.new_number(), hook))
    assert answer.status_code == 201, answer.text
    assert answer.json()["subscriptionLimits"]["concurrencyLimit"] == 1000
    assert problems_of_call(answer.json()) == []


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_all_that_is_said_about_a_call_is_as_vapi_says_it(stand_in: Simulator, hook: Receiver, outcome: str) -> None:
    stand_in.set(outcomes={outcome: 1}, webhooks={"hang": 1})
    call = stand_in.client.post("/call", json=ours("a saved assistant", stand_in.new_number(), hook)).json()
    messages = [received.message for received in hook.until(call["id"], "end-of-call-report")]
    assert {"status-update", "end-of-call-report"} <= {message["type"] for message in messages}
    assert [problem for message in messages for problem in problems_of_message(message)] == []
    finished = stand_in.finished(call["id"])
    assert problems_of_call(finished) == []
    assert finished["endedReason"] in sdk.ended_reasons()


def test_a_call_without_a_line_is_told_as_vapi_tells_it(stand_in: Simulator, hook: Receiver) -> None:
    for way in ("blocked", "ended"):
        stand_in.set(concurrency=0 if way == "ended" else 1, over_concurrency=way)
        for _ in range(2):
            answer = stand_in.client.post("/call", json=ours("a saved assistant", stand_in.new_number(), hook))
            assert problems_of_call(answer.json()) == []
    stand_in.set(concurrency=1000)


def test_vapis_client_places_finds_and_reads_our_call(stand_in: Simulator, client: vapi.Vapi, hook: Receiver) -> None:
    stand_in.set(outcomes={"answered": 1})
    before = datetime.now(UTC) - timedelta(minutes=1)
    body = ours("a saved assistant", stand_in.new_number(), hook)
    read = sdk.as_the_sdk_has_it(body)
    del read["assistantOverrides"]["server"]["backoffPlan"]  # which its types cannot hold
    created = client.calls.create(
        name=body["name"],
        assistant_id=body["assistantId"],
        phone_number_id=body["phoneNumberId"],
        customer=vapi.CreateCustomerDto.model_validate(read["customer"]),
        assistant_overrides=vapi.AssistantOverrides.model_validate(read["assistantOverrides"]),
        request_options=ONCE,
    )
    assert isinstance(created, vapi.Call)
    assert (created.status, created.name) == ("queued", body["name"])
    report = hook.until(created.id, "end-of-call-report")[-1].message
    found = client.calls.list(assistant_id=body["assistantId"], created_at_ge=before, limit=1000, request_options=ONCE)
    assert created.id in [call.id for call in found]
    assert client.calls.list(created_at_le=before, request_options=ONCE) == []
    assert client.calls.list(assistant_id="another", request_options=ONCE) == []
    assert [call.id for call in client.calls.list(id=created.id, request_options=ONCE)] == [created.id]
    known = client.calls.get(created.id, request_options=ONCE)
    assert (known.status, known.ended_reason) == ("ended", report["endedReason"])
    assert known.assistant_overrides is not None
    assert known.assistant_overrides.metadata == body["assistantOverrides"]["metadata"]
    assert known.artifact is not None
    assert known.artifact.transcript == report["artifact"]["transcript"]


def test_vapis_client_is_refused_as_vapi_refuses(stand_in: Simulator, client: vapi.Vapi) -> None:
    with pytest.raises(ApiError) as unknown:
        client.calls.get("nobody", request_options=ONCE)
    assert unknown.value.status_code == 404
    with pytest.raises(vapi.BadRequestError) as stranger:
        client.calls.create(request_options=ONCE | {"additional_body_parameters": {"metadata": {}}})
    assert "property metadata should not exist" in stranger.value.body["message"]
    with httpx.Client(trust_env=False, timeout=15) as http:
        keyless = vapi.Vapi(token="another", base_url=stand_in.url, httpx_client=http)  # noqa: S106 - it is wrong
        with pytest.raises(ApiError) as refused:
            keyless.calls.list(request_options=ONCE)
    assert refused.value.status_code == 401
