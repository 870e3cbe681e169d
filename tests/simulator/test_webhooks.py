"""Webhooks as a receiver sees them."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

SECRET = b"a-secret-for-rehearsals"


def test_messages_come_in_the_order_of_the_calls_life(simulator: Any, receiver: Any) -> None:
    simulator.set(outcomes={"answered": 1}, webhooks={"hang": 1})
    call = simulator.place(assistantOverrides=receiver.overrides())
    labels = [webhook.label for webhook in receiver.until(call["id"], "end-of-call-report")]
    assert labels == ["queued", "ringing", "in-progress", "hang", "ended", "end-of-call-report"]


def test_a_slow_receiver_still_gets_a_calls_messages_in_order(simulator: Any, receiver: Any) -> None:
    simulator.set(outcomes={"answered": 1})
    receiver.reply = lambda webhook: time.sleep(0.2 if webhook.label == "queued" else 0) or 200
    call = simulator.place(assistantOverrides=receiver.overrides())
    labels = [webhook.label for webhook in receiver.until(call["id"], "end-of-call-report") if webhook.label != "hang"]
    assert labels == ["queued", "ringing", "in-progress", "ended", "end-of-call-report"]


def test_every_message_is_signed_over_its_timestamp_and_raw_body(simulator: Any, receiver: Any) -> None:
    call = simulator.place(assistantOverrides=receiver.overrides())
    for webhook in receiver.until(call["id"], "end-of-call-report"):
        timestamp = webhook.headers["x-timestamp"]
        expected = hmac.new(SECRET, timestamp.encode() + b"." + webhook.raw, hashlib.sha256).hexdigest()
        assert webhook.headers["x-signature"] == expected
        assert abs(int(timestamp) / 1000 - time.time()) < 60
        assert webhook.headers["content-type"] == "application/json"


def test_without_a_credential_nothing_is_signed(simulator: Any, receiver: Any) -> None:
    overrides = receiver.overrides(server={"credentialId": None, "headers": {"x-mine": "yes"}})
    call = simulator.place(assistantOverrides=overrides)
    webhook = receiver.until(call["id"], "queued")[0]
    assert "x-signature" not in webhook.headers
    assert webhook.headers["x-mine"] == "yes"


def test_a_report_carries_all_that_is_known_and_secrets_to_be_redacted(simulator: Any, receiver: Any) -> None:
    simulator.set(outcomes={"answered": 1})
    overrides = receiver.overrides(metadata={"callId": "c-9"})
    call = simulator.place(name="c-9", customer={"externalId": "c-9"}, assistantOverrides=overrides)
    report = receiver.until(call["id"], "end-of-call-report")[-1].message
    known = simulator.finished(call["id"])
    assert {name: report[name] for name in ("endedReason", "cost", "costs", "analysis", "artifact", "startedAt")} == {
        name: known[name] for name in ("endedReason", "cost", "costs", "analysis", "artifact", "startedAt")
    }
    assert report["call"]["name"] == "c-9"
    assert report["call"]["assistantOverrides"]["metadata"] == {"callId": "c-9"}
    assert report["customer"]["externalId"] == "c-9"
    assert report["assistant"]["server"]["credentialId"] == "rehearsal-credential"
    assert report["phoneNumber"]["twilioAuthToken"]
    assert report["phoneNumber"]["twilioApiSecret"]
    assert report["timestamp"] > 1_700_000_000_000


def test_a_status_update_shows_the_call_as_it_was_then(simulator: Any, receiver: Any) -> None:
    simulator.set(outcomes={"no_answer": 1})
    call = simulator.place(assistantOverrides=receiver.overrides())
    by_label = {webhook.label: webhook.message for webhook in receiver.until(call["id"], "end-of-call-report")}
    assert "in-progress" not in by_label
    for status in ("queued", "ringing", "ended"):
        assert by_label[status]["type"] == "status-update"
        assert by_label[status]["call"]["status"] == status
    assert "endedReason" not in by_label["ringing"]
    assert by_label["ended"]["endedReason"] == "customer-did-not-answer"
    assert by_label["queued"]["timestamp"] < by_label["ringing"]["timestamp"] < by_label["ended"]["timestamp"]


def test_only_wanted_messages_are_sent(simulator: Any, receiver: Any) -> None:
    call = simulator.place(assistantOverrides=receiver.overrides() | {"serverMessages": ["end-of-call-report"]})
    webhooks = receiver.until(call["id"], "end-of-call-report")
    assert [webhook.label for webhook in webhooks] == ["end-of-call-report"]


def test_the_usual_messages_are_sent_when_the_assistant_names_none(simulator: Any, receiver: Any) -> None:
    call = simulator.place(assistantOverrides={"server": receiver.server()})
    labels = {webhook.label for webhook in receiver.until(call["id"], "end-of-call-report")}
    assert {"queued", "ended", "end-of-call-report"} <= labels


def test_squads_and_transient_assistants_report_to_their_own_server(simulator: Any, receiver: Any) -> None:
    squad = simulator.place(assistantId=None, squadId="s", squadOverrides=receiver.overrides())
    transient = simulator.place(assistantId=None, assistant=receiver.overrides(name="Mine"))
    assert receiver.until(squad["id"], "queued")[0].message["call"]["squadId"] == "s"
    assert receiver.until(transient["id"], "queued")[0].message["assistant"]["name"] == "Mine"


def test_reports_about_unanswered_calls_can_be_left_out(simulator: Any, receiver: Any) -> None:
    simulator.set(outcomes={"busy": 1}, webhooks={"report_unanswered": False})
    call = simulator.place(assistantOverrides=receiver.overrides())
    simulator.finished(call["id"])
    other = simulator.place(assistantOverrides=receiver.overrides())
    receiver.until(other["id"], "ended")
    assert [webhook.label for webhook in receiver.about(call["id"])] == ["queued", "ringing", "ended"]


def _plan(kind: str, retries: int, **more: Any) -> dict[str, Any]:
    return {"backoffPlan": {"type": kind, "maxRetries": retries, "baseDelaySeconds": 0.05} | more}


def test_without_a_plan_a_failed_message_is_not_repeated(simulator: Any, receiver: Any) -> None:
    receiver.reply = lambda _: 500
    call = simulator.place(assistantOverrides=receiver.overrides())
    labels = [webhook.label for webhook in receiver.until(call["id"], "end-of-call-report")]
    assert labels.count("queued") == 1


def test_a_plan_repeats_the_same_message_newly_signed(simulator: Any, receiver: Any) -> None:
    receiver.reply = lambda webhook: 500 if len(receiver.about(webhook.message["call"]["id"])) < 3 else 200
    overrides = receiver.overrides(server=_plan("exponential", 5)) | {"serverMessages": ["end-of-call-report"]}
    call = simulator.place(assistantOverrides=overrides)
    first, *_, last = receiver.until(call["id"], "end-of-call-report", count=3)
    assert first.raw == last.raw
    assert int(last.headers["x-timestamp"]) - int(first.headers["x-timestamp"]) >= 150  # 50 and then 100 ms
    expected = hmac.new(SECRET, last.headers["x-timestamp"].encode() + b"." + last.raw, hashlib.sha256).hexdigest()
    assert last.headers["x-signature"] == expected


def test_a_plan_gives_up_in_the_end(start: Any, receiver: Any, wait_until: Any) -> None:
    own = start("--speed", "400")
    receiver.reply = lambda _: 503
    overrides = receiver.overrides(server=_plan("fixed", 2) | {"credentialId": None})
    call = own.place(assistantOverrides=overrides | {"serverMessages": ["end-of-call-report"]})
    wait_until(lambda: own.ledger()["totals"]["webhooks"].get("given_up"), "the message is given up")
    assert len(receiver.about(call["id"])) == 3


def test_an_excluded_status_is_not_repeated(start: Any, receiver: Any, wait_until: Any) -> None:
    own = start("--speed", "400")
    receiver.reply = lambda _: 403
    overrides = receiver.overrides(server=_plan("fixed", 5, excludedStatusCodes=[401, 403]) | {"credentialId": None})
    call = own.place(assistantOverrides=overrides | {"serverMessages": ["end-of-call-report"]})
    wait_until(lambda: own.ledger()["totals"]["webhooks"].get("given_up"), "the message is given up")
    assert len(receiver.about(call["id"])) == 1


def test_a_receiver_slower_than_its_timeout_is_tried_again(simulator: Any, receiver: Any) -> None:
    receiver.reply = lambda webhook: (
        time.sleep(1.3 if len(receiver.about(webhook.message["call"]["id"])) == 1 else 0) or 200
    )
    overrides = receiver.overrides(server=_plan("fixed", 1) | {"timeoutSeconds": 1})
    call = simulator.place(assistantOverrides=overrides | {"serverMessages": ["end-of-call-report"]})
    assert len(receiver.until(call["id"], "end-of-call-report", count=2)) == 2


def test_lost_messages_never_arrive(start: Any, receiver: Any, wait_until: Any) -> None:
    own = start("--speed", "400")
    own.set(webhooks={"lost": 1}, outcomes={"busy": 1})
    overrides = receiver.overrides(server={"credentialId": None})
    own.place(assistantOverrides=overrides)
    wait_until(lambda: own.ledger()["totals"]["webhooks"].get("lost") == 4, "four messages are lost")
    assert receiver.received == []


def test_which_messages_are_lost_does_not_depend_on_timing(start: Any, receiver: Any, wait_until: Any) -> None:
    def arrived(speed: str) -> set[tuple[str, str]]:
        own = start("--speed", speed)
        own.set(webhooks={"lost": 0.5}, outcomes={"no_answer": 1})
        overrides = receiver.overrides(server={"credentialId": None})
        calls = [own.place(f"+14157{i:06}", assistantOverrides=overrides) for i in range(8)]
        for call in calls:
            own.finished(call["id"])
        wait_until(
            lambda: (now := own.ledger()["totals"]["webhooks"]) and now["delivered"] + now["lost"] == 32,
            "every message has arrived or is lost",
        )
        totals = own.ledger()["totals"]["webhooks"]
        ids = {call["id"] for call in calls}
        mine = [webhook for webhook in receiver.received if webhook.message["call"]["id"] in ids]
        assert totals["messages"] == 32
        assert 0 < totals["lost"] < 32
        return {(webhook.message["customer"]["number"], webhook.label) for webhook in mine}

    assert arrived("1500") == arrived("3000")


def test_doubled_messages_arrive_twice(simulator: Any, receiver: Any) -> None:
    simulator.set(webhooks={"doubled": 1})
    call = simulator.place(assistantOverrides=receiver.overrides())
    webhooks = receiver.until(call["id"], "end-of-call-report", count=2)
    bodies = [webhook.raw for webhook in webhooks if webhook.label == "end-of-call-report"]
    assert bodies[0] == bodies[1]
    assert sum(webhook.label == "queued" for webhook in webhooks) == 2


def _scripted(simulator: Any, receiver: Any, *scripts: dict[str, str]) -> list[str]:
    """The labels of what arrives about one answered call whose messages meet these scripts, call after call."""
    number = simulator.new_number()
    simulator.set(
        outcomes={"answered": 1}, people={number: {"webhooks": list(scripts)}}, webhooks={"hang": 0, "lost": 1}
    )
    for _ in scripts[1:]:
        simulator.finished(simulator.place(number)["id"])
    call = simulator.place(number, assistantOverrides=receiver.overrides())
    return [webhook.label for webhook in receiver.until(call["id"], "end-of-call-report")]


def test_a_scripted_call_meets_its_script_and_nothing_else(simulator: Any, receiver: Any) -> None:
    labels = _scripted(simulator, receiver, {"ringing": "lost", "end-of-call-report": "none"})
    assert labels == ["queued", "in-progress", "ended", "end-of-call-report"]
    assert _scripted(simulator, receiver, {"queued": "lost"}, {}) == [
        "queued",
        "ringing",
        "in-progress",
        "ended",
        "end-of-call-report",
    ]


def test_a_reordered_message_is_overtaken_by_the_next(simulator: Any, receiver: Any) -> None:
    labels = _scripted(simulator, receiver, {"queued": "reordered", "ended": "reordered"})
    assert labels[:3] == ["ringing", "queued", "in-progress"]
    assert labels[3] == "end-of-call-report"


def test_what_overtakes_may_be_lost_and_the_overtaken_still_comes(simulator: Any, receiver: Any) -> None:
    labels = _scripted(simulator, receiver, {"queued": "reordered", "ringing": "lost"})
    assert labels == ["queued", "in-progress", "ended", "end-of-call-report"]


def test_a_late_message_comes_after_the_report(simulator: Any, receiver: Any, wait_until: Any) -> None:
    # On a slow machine the late one may be there already.
    assert _scripted(simulator, receiver, {"in-progress": "late"})[:4] == [
        "queued",
        "ringing",
        "ended",
        "end-of-call-report",
    ]
    last = receiver.received[-1].message["call"]["id"]
    labels = [webhook.label for webhook in receiver.until(last, "in-progress")]
    assert labels[-2:] == ["end-of-call-report", "in-progress"]


def test_what_is_kept_back_comes_even_when_no_report_is_wanted(simulator: Any, receiver: Any) -> None:
    simulator.set(outcomes={"busy": 1}, webhooks={"reordered": 1})
    overrides = receiver.overrides() | {"serverMessages": ["status-update"]}
    call = simulator.place(assistantOverrides=overrides)
    labels = [webhook.label for webhook in receiver.until(call["id"], "ended")]
    assert labels == ["ringing", "queued", "ended"]


def test_a_late_report_is_held_up(simulator: Any, receiver: Any) -> None:
    simulator.set(webhooks={"late_seconds": [0.3, 0.4]})
    started = time.monotonic()
    labels = _scripted(simulator, receiver, {"end-of-call-report": "late"})
    assert labels == ["queued", "ringing", "in-progress", "ended", "end-of-call-report"]
    assert time.monotonic() - started > 0.3


def test_an_early_message_arrives_before_the_post_is_answered(simulator: Any, receiver: Any) -> None:
    receiver.reply = lambda webhook: time.sleep(0.3 if webhook.label == "queued" else 0) or 200
    simulator.set(webhooks={"early": 1})
    call = simulator.place(assistantOverrides=receiver.overrides())
    assert "queued" in {webhook.label for webhook in receiver.about(call["id"])}
    assert simulator.get(call["id"])["updatedAt"] > call["updatedAt"]  # the receiver's answer was waited for


def test_which_faults_meet_a_call_does_not_depend_on_the_order_of_arrival(start: Any, receiver: Any) -> None:
    numbers = [f"+14156{i:06}" for i in range(10)]
    share = 0.2

    def fates(order: list[str]) -> dict[str, list[str]]:
        own = start("--speed", "1500")
        own.set(
            concurrency=100,
            credentials={"rehearsal-credential": "s"},
            webhooks={"lost": share, "doubled": share, "reordered": share, "hang": 0, "late_seconds": [0, 0]},
            outcomes={"busy": 1},
        )
        ids = {own.place(number, assistantOverrides=receiver.overrides())["id"]: number for number in order}
        for call in ids:
            own.finished(call)
        own.until_all_is_sent()
        return {number: sorted(webhook.label for webhook in receiver.about(call)) for call, number in ids.items()}

    once = fates(numbers)
    assert once == fates(numbers[::-1])
    assert len({tuple(labels) for labels in once.values()}) > 3


def test_connections_are_kept_and_a_server_that_closes_them_loses_nothing(start: Any, receiver: Any) -> None:
    own = start("--speed", "1000")
    own.set(credentials={"rehearsal-credential": "s"}, outcomes={"answered": 1}, webhooks={"hang": 0})
    for _ in range(5):
        call = own.place(assistantOverrides=receiver.overrides())
        assert len(receiver.until(call["id"], "end-of-call-report")) == 5
    totals = own.until_all_is_sent()
    assert totals["delivered"] == totals["attempts"] == 25


def test_a_receiver_that_is_not_there_is_given_up_and_counted(start: Any, wait_until: Any) -> None:
    own = start("--speed", "1000")
    overrides = {"server": {"url": "http://127.0.0.1:1/"}, "serverMessages": ["end-of-call-report"]}
    own.place(assistantOverrides=overrides)
    totals = wait_until(
        lambda: (now := own.ledger()["totals"]["webhooks"]) and now.get("given_up") and now, "it is given up"
    )
    assert totals["failed: ConnectionRefusedError"] == 1
