"""The simulator's own account of what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest


def test_the_ledger_counts_what_a_caller_must_never_do(start: Any) -> None:
    own = start()
    own.set(concurrency=100, durations={"dial": [9e5, 9e5]})
    one, other = own.new_number(), own.new_number()
    own.place(one, name="first", assistantOverrides={"metadata": {"attempt": 1}})
    own.place(one, name="second")
    own.place(other, name="second")
    own.post(one, unknown=1)
    own.client.post("/call", json=own.body(one), headers={"authorization": "Bearer wrong"})
    ledger = own.ledger()
    totals = ledger["totals"]
    assert totals["accepted"] == 3
    assert totals["refused"] == {"400": 1, "401": 1}
    assert totals["max_concurrent_calls"] == 3
    assert totals["max_posts_in_a_second"] == 3
    assert totals["overlapping_calls"] == {one: 1}
    assert totals["repeated_names"] == {"second": 2}
    assert [entry["name"] for entry in ledger["calls"]] == ["first", "second", "second"]
    assert ledger["calls"][0]["metadata"] == {"attempt": 1}
    assert ledger["calls"][0]["number"] == one
    brief = own.client.get("/simulator/ledger?calls=false").json()
    assert brief["calls"] == []
    assert brief["totals"].keys() == totals.keys()
    assert brief["totals"]["accepted"] == 3


def test_the_ledger_tells_of_each_of_our_ids_what_was_accepted_and_whom_it_overlapped(start: Any) -> None:
    own = start()
    own.set(durations={"dial": [9e5, 9e5]})
    number = own.new_number()
    first = own.place(number, name="n-1", customer={"externalId": "c-1"})
    again = own.place(number, name="n-1", customer={"externalId": "c-1"})
    own.place(name="n-2")
    own.place(assistantOverrides={"metadata": {"callId": "c-3"}})
    ledger = own.ledger()
    about = ledger["references"]["c-1"]
    assert about["accepted"] == len(about["at"]) == 2
    assert about["calls"] == [first["id"], again["id"]]
    assert about["overlapped"] == ["c-1"]
    assert own.entry(again["id"])["overlapped"] == [{"id": first["id"], "reference": "c-1"}]
    assert ledger["references"].keys() == {"c-1", "n-2", '{"callId": "c-3"}'}
    assert ledger["totals"]["repeated_references"] == {"c-1": 2}


def test_busy_line_seconds_count_lines_and_not_waiting(start: Any) -> None:
    own = start("--speed", "1000")
    own.set(concurrency=1, outcomes={"busy": 1})
    for call in [own.place() for _ in range(3)]:
        own.finished(call["id"])
    ledger = own.ledger()
    busy = ledger["totals"]["busy_line_seconds"]
    for clock in ("real", "simulated"):
        spent = sum(
            (_at(call["ended"][clock]) - _at(call["dialled"][clock])).total_seconds() for call in ledger["calls"]
        )
        assert 0 < busy[clock] == pytest.approx(spent, abs=0.005)
    assert ledger["totals"]["max_concurrent_calls"] == 1


def _at(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


def test_calls_to_one_number_after_another_do_not_overlap(start: Any) -> None:
    own = start("--speed", "2000")
    number = own.new_number()
    for _ in range(2):
        own.finished(own.place(number)["id"])
    totals = own.ledger()["totals"]
    assert totals["overlapping_calls"] == {}
    assert totals["max_concurrent_calls"] == 1
    assert sum(totals["ended"].values()) == 2


def test_an_entry_tells_when_everything_happened(simulator: Any) -> None:
    simulator.set(outcomes={"answered": 1})
    call = simulator.finished(simulator.place()["id"])
    entry = simulator.entry(call["id"])
    steps = [entry[name] for name in ("accepted", "ringing", "answered", "ended")]
    for clock in ("real", "simulated"):
        assert [step[clock] for step in steps] == sorted(step[clock] for step in steps)
    assert entry["answered"]["simulated"] == call["startedAt"]
    assert entry["ended"]["simulated"] == call["endedAt"]
    assert entry["ended_reason"] == call["endedReason"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concurency": 1}, "concurency: no such key; allowed here: seed, key"),
        ({"post_faults": {"lost": 1}}, "post_faults: no such key lost; allowed here: accept_then_500"),
        ({"webhooks": {"lost": 2}}, "webhooks.lost: must be 1 or less"),
        ({"over_concurrency": "no"}, "over_concurrency: must be one of: blocked, reject, ended"),
        ({"outcomes": {"busy": 0}}, "outcomes: at least one weight must be above 0"),
        ({"durations": {"talk": [5, 1]}}, "durations.talk: must be two numbers of seconds"),
        (
            {"post_faults": {"refuse_500": 0.6, "accept_then_500": 0.6}},
            "post_faults: the shares of the POST faults may",
        ),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(simulator: Any, changes: dict[str, Any], message: str) -> None:
    before = simulator.client.get("/simulator/settings").json()
    answer = simulator.client.post("/simulator/settings", json=changes)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert simulator.client.get("/simulator/settings").json() == before


def test_settings_show_no_secrets(simulator: Any) -> None:
    shown = simulator.client.get("/simulator/settings").text
    assert "rehearsal-credential" in shown
    assert "a-secret-for-rehearsals" not in shown
    assert "simulator-key" not in shown
