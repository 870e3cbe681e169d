"""POSTs that go wrong: what the caller sees, and what really happened."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


def _accepted(simulator: Any, number: str) -> int:
    return sum(entry["number"] == number for entry in simulator.ledger()["calls"])


def test_a_500_may_hide_an_accepted_call(simulator: Any) -> None:
    simulator.set(post_faults={"accept_then_500": 1})
    number = simulator.new_number()
    answer = simulator.post(number)
    assert answer.status_code == 500
    assert answer.json() == {"message": "Internal server error", "statusCode": 500}
    assert _accepted(simulator, number) == 1


def test_a_reset_may_hide_an_accepted_call(simulator: Any) -> None:
    simulator.set(post_faults={"accept_then_reset": 1})
    number = simulator.new_number()
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        simulator.post(number)
    assert _accepted(simulator, number) == 1


def test_a_hanging_answer_may_hide_an_accepted_call(simulator: Any) -> None:
    simulator.set(post_faults={"accept_then_hang": 1, "hang_seconds": 3600})
    number = simulator.new_number()
    with pytest.raises(httpx.ReadTimeout):
        simulator.client.post("/call", json=simulator.body(number), timeout=0.3)
    assert _accepted(simulator, number) == 1


def test_an_answer_that_hangs_for_a_while_comes_in_the_end(simulator: Any) -> None:
    simulator.set(post_faults={"accept_then_hang": 1, "hang_seconds": 0.05})
    assert simulator.place()["status"] == "queued"


def test_a_500_may_mean_that_nothing_was_accepted(simulator: Any) -> None:
    simulator.set(post_faults={"refuse_500": 1})
    number = simulator.new_number()
    assert simulator.post(number).status_code == 500
    assert _accepted(simulator, number) == 0


def test_the_calls_behind_spoilt_answers_go_on(simulator: Any, receiver: Any) -> None:
    simulator.set(post_faults={"accept_then_500": 1})
    number = simulator.new_number()
    simulator.post(number, assistantOverrides=receiver.overrides())
    entry = next(entry for entry in simulator.ledger()["calls"] if entry["number"] == number)
    receiver.until(entry["id"], "end-of-call-report")


def test_which_posts_go_wrong_depends_on_seed_number_and_count(start: Any) -> None:
    def statuses(order: list[str]) -> dict[str, list[int]]:
        own = start()
        own.set(post_faults={"accept_then_500": 0.3, "refuse_500": 0.3}, concurrency=100)
        result: dict[str, list[int]] = {}
        for number in order:
            result.setdefault(number, []).append(own.post(number).status_code)
        assert own.ledger()["totals"]["post_faults"].keys() == {"accept_then_500", "refuse_500"}
        return result

    numbers = [f"+14158{i:06}" for i in range(12)]
    once, again = statuses([*numbers, *numbers]), statuses([*numbers[::-1], *numbers])
    assert once == again
    assert {201, 500} == {status for answers in once.values() for status in answers}
    assert any(answers[0] != answers[1] for answers in once.values())


def test_a_person_can_be_given_a_script_of_faults(simulator: Any) -> None:
    number = simulator.new_number()
    script = ["accept_then_reset", "refuse_402", "none", "refuse_reset", "accept_then_503", "slow", "refuse_418"]
    simulator.set(people={number: {"faults": script}}, post_faults={"slow_seconds": [0.05, 0.1]})
    seen: list[int | str] = []
    for _ in [*script, "beyond"]:
        try:
            seen.append(simulator.post(number).status_code)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            seen.append("broken")
    assert seen == ["broken", 402, 201, "broken", 503, 201, 418, 201]
    assert _accepted(simulator, number) == 5


@pytest.mark.parametrize("status", [402, 403, 429, 503])
def test_a_share_of_posts_can_be_refused_with_any_status(simulator: Any, status: int) -> None:
    simulator.set(post_faults={f"refuse_{status}": 1})
    number = simulator.new_number()
    answer = simulator.post(number)
    assert answer.status_code == status
    assert answer.json()["statusCode"] == status
    assert answer.json()["error"]
    assert _accepted(simulator, number) == 0


def test_a_slow_answer_takes_its_time_and_is_the_plain_one(simulator: Any) -> None:
    simulator.set(post_faults={"slow": 1, "slow_seconds": [0.4, 0.5]})
    number = simulator.new_number()
    with pytest.raises(httpx.ReadTimeout):
        simulator.client.post("/call", json=simulator.body(number), timeout=0.2)
    assert simulator.place(number)["status"] == "queued"
    assert _accepted(simulator, number) == 2
