"""What holds for a whole key, number or hour: outages, revocation, daily limits, deletions, a listing that lags."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

DAILY_LIMIT = "call.start.error-vapi-number-outbound-daily-limit"


def test_an_outage_can_be_switched_on_and_off_while_calls_go_on(start: Any, receiver: Any) -> None:
    own = start("--speed", "400")
    own.set(credentials={"rehearsal-credential": "s"})
    call = own.place(assistantOverrides=receiver.overrides())
    own.set(outage={"now": True})
    for answer in (own.post(), own.client.get("/call"), own.client.get(f"/call/{call['id']}")):
        assert answer.status_code == 503
        assert answer.json() == {"message": "Service Unavailable", "error": "Service Unavailable", "statusCode": 503}
    own.set(outage={"now": True, "kind": "reset"})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        own.post()
    receiver.until(call["id"], "end-of-call-report")
    own.set(outage={"now": False})
    assert own.client.get("/call").status_code == 200
    assert own.ledger()["totals"]["accepted"] == 1


def test_an_outage_has_its_span_of_simulated_or_of_real_time(start: Any) -> None:
    own = start("--origin", datetime(2031, 3, 2, 9, tzinfo=UTC).isoformat())
    own.set(outage={"spans": [["2031-03-02T09:30:00Z", "2031-03-02T10:00:00Z"]], "real_seconds": [[600, 900]]})
    assert own.client.get("/call").status_code == 200
    own.set(outage={"spans": [["2031-03-02T08:30:00Z", "2031-03-02T10:00:00Z"]]})
    assert own.client.get("/call").status_code == 503
    own.set(outage={"spans": [], "real_seconds": [[0, 900]]})
    assert own.client.get("/call").status_code == 503


def test_a_key_is_revoked_after_so_many_requests_at_a_time_or_at_once(start: Any) -> None:
    own = start("--origin", datetime(2031, 3, 2, 9, tzinfo=UTC).isoformat())
    own.set(key_revoked={"after_requests": 2})
    assert [own.post().status_code for _ in range(3)] == [201, 201, 401]
    assert own.client.get("/call").status_code == 401
    own.set(key_revoked={"after_requests": None, "at": "2031-03-02T09:30:00Z"})
    assert own.client.get("/call").status_code == 200
    own.set(key_revoked={"at": "2031-03-02T08:59:00Z"})
    assert own.client.get("/call").json()["message"].startswith("Invalid Key.")
    own.set(key_revoked={"at": None, "now": True})
    assert own.client.get("/call").status_code == 401


def test_a_number_that_has_made_its_calls_of_the_day_ends_or_refuses_more(start: Any) -> None:
    own = start("--speed", "400")
    own.set(limits={"free": {"per_day": 1}, "strict": {"per_day": 1, "over": "reject"}})
    own.place(phoneNumberId="free")
    over = own.place(phoneNumberId="free")
    assert own.finished(over["id"])["endedReason"] == DAILY_LIMIT
    assert own.entry(over["id"])["dialled"] is None
    own.place(phoneNumberId="strict")
    answer = own.post(phoneNumberId="strict")
    assert answer.status_code == 400
    assert isinstance(answer.json()["message"], str)
    own.place(phoneNumberId="another")


def test_a_new_day_gives_a_number_its_calls_back(start: Any, wait_until: Any) -> None:
    own = start("--origin", "2031-03-02T23:59:50Z", "--speed", "20")
    own.set(limits={"free": {"per_day": 1, "over": "reject"}})
    own.place(phoneNumberId="free")
    wait_until(lambda: own.post(phoneNumberId="free").status_code == 201, "midnight has passed")
    assert own.post(phoneNumberId="free").status_code == 400


def test_what_is_deleted_mid_run_is_gone(start: Any) -> None:
    own = start()
    own.set(gone_after={"a-line": 1, "an-assistant": 2})
    assert own.client.get("/phone-number/a-line").status_code == 200
    own.place()
    assert own.client.get("/phone-number/a-line").status_code == 404
    assert own.post().json()["message"].startswith("Couldn't Get Phone Number.")
    own.place(phoneNumberId="other")
    assert own.post(phoneNumberId="other").json()["message"].startswith("Couldn't Get Assistant.")
    assert own.client.get("/assistant/an-assistant").status_code == 404


def test_a_listing_that_lags_hides_new_calls_and_reads_only_when_asked_to(start: Any) -> None:
    own = start()
    own.set(listing={"lag_seconds": 600})
    call = own.place()
    assert own.client.get("/call").json() == []
    assert own.client.get(f"/call/{call['id']}").status_code == 200
    own.set(listing={"hides_reads": True})
    assert own.client.get(f"/call/{call['id']}").status_code == 404
    own.set(listing={"lag_seconds": 0})
    assert [shown["id"] for shown in own.client.get("/call").json()] == [call["id"]]


def test_a_429_may_say_nothing_of_when_to_come_again(start: Any) -> None:
    own = start()
    own.set(posts_per_second=1, retry_after=False)
    late = next(answer for answer in [own.post() for _ in range(4)] if answer.status_code == 429)
    assert "retry-after" not in late.headers


def test_a_window_of_the_listing_is_the_same_as_looking_at_every_call(start: Any) -> None:
    own = start("--speed", "1000")
    own.set(concurrency=100)
    placed = [own.place() for _ in range(12)]
    times = [call["createdAt"] for call in placed]
    for low, high in ((0, 11), (3, 7), (5, 5), (8, 2)):
        for more, less in (("Ge", "Le"), ("Gt", "Lt"), ("Ge", "Lt"), ("Gt", "Le")):
            window = {f"createdAt{more}": times[low], f"createdAt{less}": times[high]}
            expected = [
                call["id"]
                for call in reversed(placed)
                if (call["createdAt"] > times[low] or (more == "Ge" and call["createdAt"] == times[low]))
                and (call["createdAt"] < times[high] or (less == "Le" and call["createdAt"] == times[high]))
            ]
            assert [call["id"] for call in own.client.get("/call", params=window).json()] == expected


@pytest.mark.parametrize("status", ["queued", "in-progress"])
def test_a_live_call_understands_every_documented_wish(simulator: Any, wait_until: Any, status: str) -> None:
    simulator.set(
        outcomes={"answered": 1}, durations={"talk": [9e5, 9e5]} if status != "queued" else {"dial": [9e5, 9e5]}
    )
    call = simulator.place(assistantOverrides={"maxDurationSeconds": 43200})
    wait_until(lambda: simulator.get(call["id"])["status"] == status, f"the call is {status}")

    def told(**wish: Any) -> int:
        return simulator.client.post(call["monitor"]["controlUrl"], json=wish).status_code

    talking = 200 if status == "in-progress" else 400
    assert told(type="say", content="One moment.") == talking
    assert told(type="add-message", message={"role": "system", "content": "Hurry"}) == talking
    assert told(type="control", control="mute-assistant") == talking
    assert told(type="handoff", destination={"type": "assistant", "assistantName": "Next"}) == talking
    for wrong in ({"type": "sing"}, {"type": "say"}, {"type": "control", "control": "x"}, {"type": "transfer"}):
        assert told(**wrong) == 400
    assert simulator.get(call["id"])["status"] == status
    assert told(type="end-call") == 200


def test_a_spoken_goodbye_ends_a_call_and_a_transfer_forwards_it(
    simulator: Any, receiver: Any, wait_until: Any
) -> None:
    simulator.set(outcomes={"answered": 1}, durations={"talk": [9e5, 9e5]})
    one, other = (simulator.place(assistantOverrides=receiver.overrides(maxDurationSeconds=43200)) for _ in range(2))
    for call in (one, other):
        wait_until(lambda of=call["id"]: simulator.get(of)["status"] == "in-progress", "the call is answered")
    goodbye = {"type": "say", "content": "Goodbye.", "endCallAfterSpoken": True}
    assert simulator.client.post(one["monitor"]["controlUrl"], json=goodbye).status_code == 200
    assert simulator.finished(one["id"])["endedReason"] == "assistant-ended-call-after-message-spoken"
    destination = {"type": "number", "number": "+14155550111"}
    wish = {"type": "transfer", "destination": destination}
    assert simulator.client.post(other["monitor"]["controlUrl"], json=wish).status_code == 200
    ended = simulator.finished(other["id"])
    assert ended["endedReason"] == "assistant-forwarded-call"
    assert ended["destination"] == destination
    labels = {webhook.label: webhook.message for webhook in receiver.until(other["id"], "end-of-call-report")}
    assert labels["forwarding"]["destination"] == destination
