"""Requests are judged by the published shapes, however deep."""

from __future__ import annotations

from typing import Any

import pytest

HOOK = {"on": "customer.speech.timeout", "do": [{"type": "say", "exact": "Still there?"}]}
ASSISTANT = {
    "name": "Appointment reminder",
    "firstMessage": "Hello {{name}}",
    "model": {
        "provider": "openai",
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}],
        "temperature": 0.3,
        "tools": [
            {"type": "endCall"},
            {
                "type": "function",
                "function": {
                    "name": "book",
                    "parameters": {"type": "object", "properties": {"at": {"type": "string", "description": "when"}}},
                },
                "server": {"url": "https://example.com/tools", "timeoutSeconds": 10},
            },
        ],
    },
    "voice": {"provider": "11labs", "voiceId": "any-voice-of-ones-own"},
    "transcriber": {"provider": "deepgram", "model": "nova-3", "language": "en"},
    "voicemailDetection": {
        "provider": "vapi",
        "beepMaxAwaitSeconds": 25,
        "backoffPlan": {"startAtSeconds": 2, "frequencySeconds": 2.5, "maxRetries": 5},
    },
    "voicemailMessage": "Please call us back.",
    "serverMessages": ["status-update", "end-of-call-report", "hang"],
    "maxDurationSeconds": 300,
    "hooks": [HOOK],
    "analysisPlan": {"structuredDataPlan": {"enabled": True, "schema": {"type": "object", "properties": {}}}},
    "artifactPlan": {"recordingEnabled": False},
}


def _with(path: str, value: Any) -> dict[str, Any]:
    """`ASSISTANT` with one part replaced; `path` is dotted."""

    def changed(part: Any, steps: list[str]) -> Any:
        if not steps:
            return value
        copy = list(part) if isinstance(part, list) else dict(part or {})
        step: Any = int(steps[0]) if isinstance(copy, list) else steps[0]
        copy[step] = changed(copy[step] if isinstance(copy, list) else copy.get(step), steps[1:])
        return copy

    return changed(ASSISTANT, path.split("."))


def _refusal(simulator: Any, **change: Any) -> list[str]:
    answer = simulator.post(**change)
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["error"] == "Bad Request"
    return body["message"]


def test_a_rich_assistant_is_taken_whole_as_overrides_and_in_a_squad(simulator: Any) -> None:
    simulator.place(assistantId=None, assistant=ASSISTANT)
    simulator.place(assistantOverrides=ASSISTANT | {"variableValues": {"any": {"thing": 1}}})
    member = {"assistant": ASSISTANT, "assistantDestinations": [{"type": "assistant", "assistantName": "Next"}]}
    simulator.place(assistantId=None, squad={"members": [member], "membersOverrides": ASSISTANT})
    simulator.place(assistantVersion="v3")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.systemPrompt", "x", "model.property systemPrompt should not exist"),
        ("model.messages.0.text", "x", "model.messages.0.property text should not exist"),
        ("model.tools.1.function.handler", "x", "model.tools.1.function.property handler should not exist"),
        ("model.tools.1.server.secret", "x", "model.tools.1.server.property secret should not exist"),
        ("voicemailDetection.backoffPlan.max", 1, "voicemailDetection.backoffPlan.property max should not exist"),
        ("hooks.0.do.0.words", "x", "hooks.0.do.0.property words should not exist"),
        ("analysisPlan.summaryPrompt", "x", "analysisPlan.property summaryPrompt should not exist"),
        ("endCallFunctionEnabled", True, "property endCallFunctionEnabled should not exist"),
        ("voice.provider", "elevenlabs", "voice.provider must be one of the following values: azure"),
        ("model.model", "gpt-0", "model.model must be one of the following values: "),
        ("model.temperature", 3, "model.temperature must not be greater than 2"),
        ("model.temperature", "0.3", "model.temperature must be a number"),
        ("model.messages", {}, "model.messages must be an array"),
        ("model", {"provider": "openai"}, "model.model must be a string"),
        ("firstMessage", 1, "firstMessage must be a string"),
        ("voicemailMessage", "m" * 1001, "voicemailMessage must be shorter than or equal to 1000 characters"),
        ("maxDurationSeconds", 9, "maxDurationSeconds must not be less than 10"),
        ("maxDurationSeconds", 43201, "maxDurationSeconds must not be greater than 43200"),
        ("maxDurationSeconds", True, "maxDurationSeconds must be a number"),
        ("voicemailDetection.beepMaxAwaitSeconds", 31, "voicemailDetection.beepMaxAwaitSeconds must not be greater"),
        ("voicemailDetection.backoffPlan.frequencySeconds", 2, "voicemailDetection.backoffPlan.frequencySeconds must"),
        ("voicemailDetection", "on", "voicemailDetection must be one of the following values: off"),
        ("serverMessages", ["status"], "each value in serverMessages must be one of the following values: "),
        ("artifactPlan.recordingEnabled", "no", "artifactPlan.recordingEnabled must be a boolean value"),
        (
            "server",
            {"url": "https://example.com", "backoffPlan": {"type": "linear", "maxRetries": 1, "baseDelaySeconds": 1}},
            "server.backoffPlan.type must be one of the following values: fixed, exponential",
        ),
        (
            "server",
            {"url": "https://example.com", "backoffPlan": {"type": "fixed", "maxRetries": 11, "baseDelaySeconds": 1}},
            "server.backoffPlan.maxRetries must not be greater than 10",
        ),
        (
            "server",
            {"url": "https://example.com", "backoffPlan": {"type": "fixed", "maxRetries": 1}},
            "server.backoffPlan.baseDelaySeconds must be a number",
        ),
    ],
)
def test_what_is_wrong_inside_an_assistant_is_named_wherever_it_stands(
    simulator: Any, path: str, value: Any, message: str
) -> None:
    wrong = _with(path, value)
    places = {
        "assistant": {"assistantId": None, "assistant": wrong},
        "assistantOverrides": {"assistantOverrides": wrong},
        "customer.assistantOverrides": {"customer": {"assistantOverrides": wrong}},
        "squad.members.0.assistant": {"assistantId": None, "squad": {"members": [{"assistant": wrong}]}},
    }
    for place, change in places.items():
        said = [
            text.replace(f"each value in {place}.", "each value in ", 1).removeprefix(f"{place}.")
            for text in _refusal(simulator, **change)
        ]
        assert len(said) == 1
        assert said[0].startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"squad": {"name": "S"}}, "squad.members must be an array"),
        ({"squad": {"members": []}}, "squad.members must contain at least 1 elements"),
        ({"squad": {"members": [{}]}}, "squad.members.0 must have either assistantId or assistant"),
        ({"squad": {"members": [{"assistantId": "a", "name": "x"}]}}, "squad.members.0.property name should not exist"),
    ],
)
def test_a_squad_that_nobody_speaks_for_is_refused(simulator: Any, change: dict[str, Any], message: str) -> None:
    assert message in _refusal(simulator, assistantId=None, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"assistantId": None, "squadId": "s", "assistantVersion": "v1"}, "`assistantVersion` Needs `assistantId`."),
        ({"squadVersion": "v1"}, "`squadVersion` Needs `squadId`."),
        ({"customers": [{"number": "+14155550142"}]}, "Need Either `customer` Or `customers`"),
        ({"workflowId": "w"}, "the simulator does not simulate workflowId"),
        ({"phoneNumberId": None, "phoneNumber": {}}, "the simulator does not simulate phoneNumber"),
    ],
)
def test_what_excludes_each_other_or_is_not_simulated_is_said_in_one_sentence(
    simulator: Any, change: dict[str, Any], message: str
) -> None:
    said = _refusal(simulator, **change)
    assert isinstance(said, str)
    assert said.startswith(message)


def test_squads_are_saved_looked_up_and_speak_with_every_override(start: Any, tmp_path: Any) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(
        '[assistants.first]\nfirstMessage = "Hello from {{who}}"\n[outcomes]\nanswered = 1\n'
        '[squads.team]\nmembers = [{ assistantId = "first" }]\n'
    )
    own = start("--scenario", str(file), "--speed", "1000")
    assert own.client.get("/squad/team").json()["members"] == [{"assistantId": "first"}]
    assert own.client.get("/squad/other").status_code == 404
    assert own.post(assistantId=None, squadId="other").json()["message"].startswith("Couldn't Get Squad.")
    member = {"assistantId": "nobody"}
    answer = own.post(assistantId=None, squad={"members": [{"assistantId": "first"}, member]})
    assert answer.json()["message"].startswith("Couldn't Get Assistant.")
    call = own.place(assistantId=None, squadId="team", squadOverrides={"variableValues": {"who": "Ava"}})
    assert own.finished(call["id"])["artifact"]["messages"][1]["message"] == "Hello from Ava"
    analysed = {"structuredDataPlan": {"enabled": True, "schema": {"type": "object", "properties": {"x": STRING}}}}
    member = {"assistantId": "first", "assistantOverrides": {"analysisPlan": analysed}}
    squad = {"members": [member], "membersOverrides": {"firstMessage": "Under", "voicemailMessage": "Members"}}
    call = own.place(assistantId=None, squad=squad, squadOverrides={"firstMessage": "Over"})
    told = own.finished(call["id"])
    assert set(told["analysis"]["structuredData"]) == {"x"}
    assert told["artifact"]["messages"][1]["message"] == "Over"
    call = own.place(assistantId=None, squad=squad)
    assert own.finished(call["id"])["artifact"]["messages"][1]["message"] == "Under"


STRING = {"type": "string"}


def test_structured_outputs_are_extracted_when_asked_for(simulator: Any) -> None:
    simulator.set(outcomes={"answered": 1})
    output = {"name": "Verdict", "type": "ai", "schema": {"type": "object", "properties": {"said": STRING}}}
    plan = {"structuredOutputs": [output], "structuredOutputIds": ["saved"]}
    call = simulator.finished(simulator.place(assistantOverrides={"artifactPlan": plan})["id"])
    outputs = call["artifact"]["structuredOutputs"]
    assert outputs["saved"]["result"]
    (own,) = [value for key, value in outputs.items() if key != "saved"]
    assert own["name"] == "Verdict"
    assert isinstance(own["result"]["said"], str)
    assert call["cost"] == pytest.approx(sum(part["cost"] for part in call["costs"]))
    plain = simulator.finished(simulator.place()["id"])
    assert "structuredOutputs" not in plain["artifact"]
