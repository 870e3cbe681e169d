"""A call from queued to its report, and how to ask about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _seconds(call: dict[str, Any], since: str, until: str) -> float:
    return (_moment(call[until]) - _moment(call[since])).total_seconds()


def _only(simulator: Any, outcome: str) -> None:
    simulator.set(outcomes={outcome: 1})


def test_an_answered_call_has_a_conversation_an_analysis_and_costs(simulator: Any) -> None:
    _only(simulator, "answered")
    call = simulator.finished(simulator.place()["id"])
    assert 20 <= _seconds(call, "startedAt", "endedAt") <= 90
    turns = [said for said in call["artifact"]["messages"] if said["role"] in {"bot", "user"}]
    assert len(turns) >= 4
    assert {said["role"] for said in turns} == {"bot", "user"}
    start, end = (_moment(call[name]).timestamp() * 1000 for name in ("startedAt", "endedAt"))
    assert all(start <= said["time"] <= said["endTime"] <= end for said in turns)
    assert turns[0]["message"] in call["artifact"]["transcript"]
    assert call["analysis"]["summary"]
    assert set(call["analysis"]["structuredData"]) >= {"interested", "callback_requested", "do_not_call"}
    assert call["analysis"]["successEvaluation"] in {"true", "false"}
    assert {part["type"] for part in call["costs"]} >= {
        "transport",
        "transcriber",
        "model",
        "voice",
        "vapi",
        "analysis",
    }
    assert call["cost"] == pytest.approx(sum(part["cost"] for part in call["costs"]))
    assert call["costBreakdown"]["total"] == call["cost"] > 0


@pytest.mark.parametrize(
    ("outcome", "reasons"),
    [
        ("no_answer", {"customer-did-not-answer"}),
        ("busy", {"customer-busy"}),
        (
            "failed",
            {
                "twilio-failed-to-connect-call",
                "twilio-reported-customer-misdialed",
                "call.in-progress.error-sip-outbound-call-failed-to-connect",
            },
        ),
    ],
)
def test_a_call_that_nobody_answers_has_no_conversation(simulator: Any, outcome: str, reasons: set[str]) -> None:
    _only(simulator, outcome)
    call = simulator.finished(simulator.place()["id"])
    assert call["endedReason"] in reasons
    assert "startedAt" not in call
    assert call["artifact"]["messages"] == []
    assert call["analysis"] == {}
    assert call["cost"] == 0


def test_a_failed_call_never_rings(simulator: Any) -> None:
    _only(simulator, "failed")
    call = simulator.finished(simulator.place()["id"])
    assert simulator.entry(call["id"])["ringing"] is None


def test_a_voicemail_hears_the_message_and_extracts_nothing(simulator: Any) -> None:
    _only(simulator, "voicemail")
    placed = simulator.place(
        assistantOverrides={"voicemailMessage": "Hello {{name}}, please call us."}, customer={"name": "Dana"}
    )
    call = simulator.finished(placed["id"])
    assert call["endedReason"] == "voicemail"
    assert "AI: Hello Dana, please call us.\n" in call["artifact"]["transcript"]
    assert "structuredData" not in call["analysis"]


def test_a_pipeline_error_cuts_an_answered_call_short(simulator: Any) -> None:
    _only(simulator, "pipeline_error")
    call = simulator.finished(simulator.place()["id"])
    assert "error" in call["endedReason"]
    assert call["startedAt"] < call["endedAt"]
    assert call["analysis"] == {}


def test_no_conversation_is_longer_than_the_assistant_allows(simulator: Any) -> None:
    _only(simulator, "answered")
    call = simulator.finished(simulator.place(assistantOverrides={"maxDurationSeconds": 10})["id"])
    assert call["endedReason"] == "exceeded-max-duration"
    assert _seconds(call, "startedAt", "endedAt") == 10


def test_analysis_and_artifact_exist_only_after_post_processing(simulator: Any, wait_until: Any) -> None:
    simulator.set(outcomes={"answered": 1}, durations={"processing": [9e5, 9e5]})
    placed = simulator.place()
    call = wait_until(
        lambda: (call := simulator.get(placed["id"])) and call["status"] == "ended" and call, "the call ended"
    )
    assert "analysis" not in call
    assert "artifact" not in call
    assert call["cost"] == 0


SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "score": {"type": "integer"},
        "share": {"type": "number"},
        "plan": {"type": "string", "enum": ["gold", "silver"]},
        "wants_callback": {"type": "boolean"},
        "callback_at": {"type": "string", "format": "date-time"},
        "nested": {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}},
    },
}


def _transient(**plan: Any) -> dict[str, Any]:
    return {"assistantId": None, "assistant": {"analysisPlan": {"structuredDataPlan": plan}}}


@pytest.mark.parametrize("mood", ["interested", "callback"])
def test_structured_data_fits_the_schema_and_what_the_person_said(simulator: Any, mood: str) -> None:
    simulator.set(outcomes={"answered": 1}, moods={mood: 1})
    call = simulator.finished(simulator.place(**_transient(enabled=True, schema=SCHEMA))["id"])
    data = call["analysis"]["structuredData"]
    assert set(data) == set(SCHEMA["properties"]) - ({"callback_at"} if mood != "callback" else set())
    assert isinstance(data["reason"], str)
    assert isinstance(data["score"], int)
    assert isinstance(data["share"], float)
    assert data["plan"] in {"gold", "silver"}
    assert data["wants_callback"] is (mood == "callback")
    assert isinstance(data["nested"]["tags"][0], str)
    if mood == "callback":
        assert "call me back" in call["artifact"]["transcript"]
        assert _moment(data["callback_at"]) > _moment(call["endedAt"])


def test_structured_data_is_not_extracted_unless_enabled(simulator: Any) -> None:
    _only(simulator, "answered")
    call = simulator.finished(simulator.place(**_transient(schema=SCHEMA))["id"])
    assert "structuredData" not in call["analysis"]
    assert call["analysis"]["summary"]


def test_fates_depend_on_seed_number_and_count_alone(start: Any) -> None:
    numbers = [f"+1415600{i:04}" for i in range(6)]

    def fates(*options: str, order: list[str]) -> dict[tuple[str, int], tuple[Any, ...]]:
        own = start("--speed", "2000", *options)
        own.set(concurrency=1000)
        for number in order:
            call = own.place(number, **_transient(enabled=True, schema=SCHEMA))
            own.finished(call["id"])
        result = {}
        for entry in own.ledger()["calls"]:
            call = own.get(entry["id"])
            data = call["analysis"].get("structuredData", {})
            data.pop("callback_at", None)
            talked = _seconds(call, "startedAt", "endedAt") if "startedAt" in call else None
            result[entry["number"], entry["nth"]] = (call["endedReason"], talked, data, call["cost"])
        return result

    once = fates("--seed", "7", order=[*numbers, *numbers])
    again = fates("--seed", "7", order=[number for number in reversed(numbers) for _ in range(2)])
    other = fates("--seed", "8", order=[*numbers, *numbers])
    assert once == again
    assert once != other
    assert any(once[number, 0] != once[number, 1] for number in numbers)


def test_a_person_can_be_given_a_script(simulator: Any) -> None:
    number = simulator.new_number()
    simulator.set(people={number: {"outcomes": ["busy", "answered"], "mood": "opt_out"}})
    assert simulator.finished(simulator.place(number)["id"])["endedReason"] == "customer-busy"
    call = simulator.finished(simulator.place(number)["id"])
    assert call["analysis"]["structuredData"]["do_not_call"] is True


def test_a_live_call_is_ended_through_its_control_url_without_a_key(simulator: Any, wait_until: Any) -> None:
    simulator.set(outcomes={"answered": 1}, durations={"talk": [9e5, 9e5]})
    placed = simulator.place(assistantOverrides={"maxDurationSeconds": 43200})
    wait_until(lambda: simulator.get(placed["id"])["status"] == "in-progress", "the call is answered")
    control = placed["monitor"]["controlUrl"]
    assert simulator.client.post(control, json={"type": "say"}).status_code == 400
    answer = simulator.client.post(control, json={"type": "end-call"}, headers={"authorization": ""})
    assert answer.status_code == 200
    call = simulator.get(placed["id"])
    assert call["status"] == "ended"
    assert call["endedReason"] == "manually-canceled"
    assert simulator.client.post(control, json={"type": "end-call"}).status_code == 404


def test_what_an_early_end_cut_off_was_never_said(simulator: Any, wait_until: Any) -> None:
    simulator.set(outcomes={"answered": 1}, durations={"talk": [9e5, 9e5]})
    placed = simulator.place(assistantOverrides={"maxDurationSeconds": 43200})
    wait_until(lambda: simulator.get(placed["id"])["status"] == "in-progress", "the call is answered")
    simulator.client.post(placed["monitor"]["controlUrl"], json={"type": "end-call"})
    call = simulator.finished(placed["id"])
    assert _seconds(call, "startedAt", "endedAt") < 40000
    assert "oodbye" not in call["artifact"]["transcript"]
    end = _moment(call["endedAt"]).timestamp() * 1000
    assert all(said["time"] <= end for said in call["artifact"]["messages"])
    assert call["artifact"]["messages"][0]["role"] == "system"


def test_a_listing_filters_and_shows_the_newest_first(start: Any) -> None:
    own = start()
    placed = [own.place(assistantId=assistant, phoneNumberId="p") for assistant in ("a", "b", "a")]
    ids = [call["id"] for call in placed]

    def listed(**query: Any) -> list[str]:
        answer = own.client.get("/call", params=query)
        assert answer.status_code == 200, answer.text
        return [call["id"] for call in answer.json()]

    assert listed() == ids[::-1]
    assert listed(limit=1) == ids[2:]
    assert listed(limit=0) == []
    assert listed(assistantId="a") == [ids[2], ids[0]]
    assert listed(assistantId="b", phoneNumberId="p") == [ids[1]]
    assert listed(phoneNumberId="other") == []
    assert listed(id=ids[1]) == [ids[1]]
    first, last = placed[0]["createdAt"], placed[2]["createdAt"]
    assert first < last
    assert listed(createdAtGe=first, createdAtLe=last) == ids[::-1]
    assert ids[0] not in listed(createdAtGt=first)
    assert ids[2] not in listed(createdAtLt=last)
    assert listed(updatedAtGe=first) == ids[::-1]
    assert listed(updatedAtLt=first) == []


@pytest.mark.parametrize(
    "query", [{"limit": "1001"}, {"limit": "-1"}, {"status": "ended"}, {"createdAtGe": "yesterday"}]
)
def test_a_listing_refuses_what_vapi_does_not_filter_by(simulator: Any, query: dict[str, str]) -> None:
    answer = simulator.client.get("/call", params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["message"][0]


def test_everything_happens_on_the_rehearsal_clock(start: Any) -> None:
    origin = datetime(2031, 3, 2, 9, tzinfo=UTC)
    own = start("--origin", origin.isoformat(), "--speed", "1000")
    own.set(outcomes={"answered": 1})
    call = own.finished(own.place()["id"])
    times = [_moment(call[name]) for name in ("createdAt", "startedAt", "endedAt", "updatedAt")]
    assert times == sorted(times)
    assert all(0 <= (time - origin).total_seconds() < 86400 for time in times)
    entry = own.entry(call["id"])
    real = (_moment(entry["ended"]["real"]) - _moment(entry["accepted"]["real"])).total_seconds()
    simulated = (_moment(entry["ended"]["simulated"]) - _moment(entry["accepted"]["simulated"])).total_seconds()
    assert entry["accepted"]["real"] < "2031"
    assert 28 < simulated < 120
    assert real >= simulated / 1000 - 0.002
