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
