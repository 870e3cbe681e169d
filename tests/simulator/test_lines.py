"""How many at once, and how many in a second."""

from __future__ import annotations

from typing import Any

NEVER_ENDING = {"outcomes": {"no_answer": 1}, "durations": {"no_answer": [9e5, 9e5]}}


def test_a_call_beyond_the_lines_waits_and_starts_when_one_frees(start: Any, wait_until: Any) -> None:
    own = start("--speed", "400")
    own.set(concurrency=1, **NEVER_ENDING)
    first, second = own.place(), own.place()
    assert first["subscriptionLimits"] == {
        "concurrencyBlocked": False,
        "concurrencyLimit": 1,
        "remainingConcurrentCalls": 0,
    }
    assert second["subscriptionLimits"]["concurrencyBlocked"] is True
    wait_until(lambda: own.get(first["id"])["status"] == "ringing", "the first rings")
    assert own.get(second["id"])["status"] == "queued"
    assert own.client.post(f"/call/{first['id']}/control", json={"type": "end-call"}).status_code == 200
    wait_until(lambda: own.get(second["id"])["status"] == "ringing", "the second rings")
    totals = own.ledger()["totals"]
    assert totals["max_concurrent_calls"] == 1
    assert totals["max_open_calls"] == 2
    assert totals["over_concurrency"] == {"blocked": 1}
    assert own.entry(second["id"])["blocked"] is True


def test_a_blocked_call_can_be_ended_before_it_starts(start: Any) -> None:
    own = start("--speed", "400")
    own.set(concurrency=0)
    call = own.place()
    assert call["subscriptionLimits"]["concurrencyBlocked"] is True
    assert own.client.post(f"/call/{call['id']}/control", json={"type": "end-call"}).status_code == 200
    own.set(concurrency=5)
    ended = own.finished(call["id"])
    assert ended["endedReason"] == "manually-canceled"
    assert own.entry(call["id"])["ringing"] is None


def test_blocked_calls_start_when_the_limit_is_raised(start: Any) -> None:
    own = start("--speed", "400")
    own.set(concurrency=0)
    call = own.place()
    own.set(concurrency=1)
    assert own.finished(call["id"])["status"] == "ended"


def test_over_concurrency_can_be_refused(start: Any) -> None:
    own = start("--speed", "400")
    own.set(concurrency=1, over_concurrency="reject", **NEVER_ENDING)
    own.place()
    answer = own.post()
    assert answer.status_code == 400
    assert answer.json() == {"message": "Over Concurrency Limit", "error": "Bad Request", "statusCode": 400}
    assert own.ledger()["totals"]["accepted"] == 1


def test_over_concurrency_can_end_the_call(start: Any, receiver: Any) -> None:
    own = start("--speed", "400")
    own.set(concurrency=1, over_concurrency="ended", credentials={"rehearsal-credential": "s"}, **NEVER_ENDING)
    own.place()
    call = own.place(assistantOverrides=receiver.overrides())
    assert call["subscriptionLimits"]["concurrencyBlocked"] is False
    messages = receiver.until(call["id"], "end-of-call-report")
    assert [webhook.label for webhook in messages] == ["queued", "ended", "end-of-call-report"]
    assert messages[1].message["endedReason"] == "call.start.error-subscription-concurrency-limit-reached"
    assert own.entry(call["id"])["ringing"] is None
    assert own.ledger()["totals"]["max_concurrent_calls"] == 1


def test_a_call_ended_for_lack_of_a_line_does_not_change_the_next_ones_fate(start: Any) -> None:
    own = start("--speed", "400")
    number = own.new_number()
    own.set(concurrency=0, over_concurrency="ended", people={number: {"outcomes": ["busy"]}})
    own.place(number)
    own.set(concurrency=1)
    assert own.finished(own.place(number)["id"])["endedReason"] == "customer-busy"


def test_more_posts_than_the_rate_are_told_to_come_later(start: Any) -> None:
    own = start()
    own.set(posts_per_second=2, concurrency=100)
    answers = [own.post() for _ in range(6)]
    assert [answer.status_code for answer in answers[:2]] == [201, 201]
    late = next(answer for answer in answers if answer.status_code == 429)
    assert late.headers["retry-after"] == "1"
    assert late.json() == {"message": "Rate limit exceeded", "error": "Too Many Requests", "statusCode": 429}
    assert own.client.get("/call").status_code == 200
    assert own.ledger()["totals"]["max_posts_in_a_second"] == 2


def test_a_limit_on_all_requests_counts_reads_too(start: Any) -> None:
    own = start()
    own.set(requests_per_second=2)
    assert 429 in [own.client.get("/call").status_code for _ in range(6)]
