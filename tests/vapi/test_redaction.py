from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from campaigns.errors import MalformedMessage
from campaigns.vapi.events import read_call, read_message
from campaigns.vapi.redaction import DEEPEST, REDACTED, TOO_DEEP, redacted, storable, unsigned

RECORDINGS = sorted((Path(__file__).parents[1] / "recordings").glob("*.json"))
SECRETS = re.compile(
    r"PROMPT-TEXT|HOOK-QUERY|HOOK-HEADER|CALL-TOKEN|MODEL-KEY|SERVER-SECRET|NUMBER-HEADER|TOOL-HEADER|PRESIGNED"
    r"|TWILIO-(TOKEN|KEY|SECRET)|/control\b|/listen\b|presigned|X-Amz"
)
NOW = datetime(2026, 6, 15, 14, 0, tzinfo=UTC)


def stored_from(path: Path) -> Iterator[Any]:
    parsed = json.loads(path.read_text(encoding="utf-8"))
    calls = parsed if isinstance(parsed, list) else [parsed]
    for call in calls:
        if "orgId" in call:
            yield read_call(call, now=NOW).body
        else:
            yield read_message(path.read_bytes()).body


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_no_secret_prompt_or_open_door_of_any_recording_is_stored(path: Path) -> None:
    for body in stored_from(path):
        assert not SECRETS.search(json.dumps(body))


def test_the_recordings_hold_every_secret_that_is_looked_for() -> None:
    everything = "".join(path.read_text(encoding="utf-8") for path in RECORDINGS)
    missing = [
        word
        for word in ("PROMPT-TEXT", "HOOK-QUERY", "MODEL-KEY", "TWILIO-SECRET", "CALL-TOKEN")
        if word not in everything
    ]
    assert missing == []
    assert "/control" in everything
    assert "TOOL-HEADER" in everything


def test_what_was_said_found_and_charged_is_kept(
    recording: Callable[[str], Any], pushed: Callable[[str], bytes]
) -> None:
    sent = recording("report-completed")["message"]
    kept = read_message(pushed("report-completed")).body["message"]
    spoken = [turn for turn in sent["artifact"]["messages"] if turn["role"] != "system"]
    assert kept["artifact"]["messages"] == spoken
    for part in ("transcript", "structuredOutputs", "recording", "variableValues"):
        assert kept["artifact"][part] == sent["artifact"][part]
    for part in ("analysis", "costs", "customer", "endedReason", "compliance"):
        assert kept[part] == sent[part]
    assert kept["call"]["costBreakdown"] == sent["call"]["costBreakdown"]
    assert kept["call"]["assistantOverrides"] == {
        part: sent["call"]["assistantOverrides"][part] for part in ("variableValues", "metadata")
    }
    assert kept["assistant"] == {"id": sent["assistant"]["id"], "name": "Nell, check-up reminders"}
    assert kept["phoneNumber"] == {"name": "Front desk line", "number": "+12025550199", "provider": "twilio"}


@pytest.mark.parametrize(
    "key",
    [
        "secret",
        "serverSecret",
        "twilioAuthToken",
        "twilioApiKey",
        "twilioApiSecret",
        "password",
        "authPassword",
        "token",
        "callToken",
        "accessToken",
        "apiKey",
        "api_key",
        "secretKey",
        "accessKey",
        "privateKey",
        "openAIKey",
        "gcpKey",
        "ocpApimSubscriptionKey",
        "authorization",
        "authenticationPlan",
        "credential",
        "credentials",
        "headers",
        "sipHeaders",
        "x_signature",
    ],
)
@pytest.mark.parametrize("value", ["hush", {"inner": "hush"}, ["hush"]], ids=["text", "object", "list"])
def test_a_secret_is_taken_out_wherever_it_lies(key: str, value: Any) -> None:
    assert redacted({"a": [{"b": {key: value}}]}) == {"a": [{"b": {key: REDACTED}}]}


@pytest.mark.parametrize(
    "kept",
    [
        {"promptTokens": 812, "completionTokens": 0, "signatureEnabled": True, "token": None},
        {"credentialId": "e1d2", "credentialIds": ["e1d2"], "accountSid": "AC00"},
        {"author": "Mirela", "keypad": "1", "monkey": "yes", "authorised": "yes"},
        {"structuredData": {"password_reset": "no", "model": {"year": 1999}}},
        {"structuredOutputs": {"id": {"name": "Token", "result": {"token": "blue"}}}},
        {"structuredDataMulti": [{"secret": {"santa": "Teo"}}]},
        {"transcript": "User: my password is a secret token"},
        {"recordingUrl": "https://s.example.org/a.wav", "url": "https://s.example.org/b"},
    ],
)
def test_what_only_sounds_like_a_secret_is_kept(kept: dict[str, Any]) -> None:
    assert redacted(kept) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"controlUrl": "https://c", "listenUrl": "wss://l", "monitors": []}, {"monitors": []}),
        ({"presignedMonoUrl": "https://p", "presignedUrlsExpiresAt": "soon"}, {}),
        ({"systemPrompt": "Be kind."}, {}),
        (
            {"messages": [{"role": "System", "content": "p"}, {"role": "developer"}, {"role": "user"}]},
            {"messages": [{"role": "user"}]},
        ),
        ({"toAssistant": {"id": "1", "name": "Nell", "model": {}}}, {"toAssistant": {"id": "1", "name": "Nell"}}),
        ({"squad": {"members": [{"assistant": {"firstMessage": "Hi"}}]}}, {"squad": {}}),
        ({"model": {"provider": "openai", "messages": []}}, {"model": {"provider": "openai"}}),
        (
            {"server": {"url": "https://me:hush@h.example.org/v?key=1", "headers": {}}},
            {"server": {"url": "https://h.example.org/v"}},
        ),
        ({"serverUrl": "https://h.example.org/v?key=1"}, {"serverUrl": "https://h.example.org/v"}),
        (
            {"assistantOverrides": {"metadata": {"token": "hush"}}},
            {"assistantOverrides": {"metadata": {"token": REDACTED}}},
        ),
        ({"assistant": None, "phoneNumber": "+12025550199"}, {"assistant": None, "phoneNumber": "+12025550199"}),
    ],
)
def test_doors_and_prompts_are_taken_out(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert redacted(given) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://s.example.org/a.wav?X-Amz-Signature=1&b=2", "https://s.example.org/a.wav"),
        ("https://s.example.org/a.wav?b=2&sig=1", "https://s.example.org/a.wav"),
        ("https://s.example.org/a.wav?a=1&access_token=1", "https://s.example.org/a.wav"),
        ("https://s.example.org/a.wav?apiKey=1", "https://s.example.org/a.wav"),
        ("https://s.example.org/a.wav?jwt=1", "https://s.example.org/a.wav"),
        (" HTTPS://s.example.org/a.wav?sig=1", " HTTPS://s.example.org/a.wav"),
        ("https://s.example.org/a?keyword=1&tokens", "https://s.example.org/a?keyword=1&tokens"),
        ("https://s.example.org/a?search=1&expired=no", "https://s.example.org/a?search=1&expired=no"),
        ("see https://s.example.org/a?sig=1", "see https://s.example.org/a?sig=1"),
    ],
)
def test_only_a_signed_query_is_cut_off(given: str, kept: str) -> None:
    assert unsigned(given) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        ("\U0001f600é\uffff", "\U0001f600é\uffff"),
        (math.nan, None),
        (-math.inf, None),
        (1e308, 1e308),
        (10**299, 10**299),
        ({"\x00": 1, 2: (3,)}, {"\ufffd": 1, "2": [3]}),
        (UTC, "UTC"),
    ],
)
def test_a_value_is_made_storable(given: object, kept: object) -> None:
    assert storable(given) == kept


def test_a_number_too_long_to_print_is_left_out() -> None:
    assert storable([10**5000]) == [None]


def nested(levels: int) -> Any:
    deep: Any = "bottom"
    for _ in range(levels):
        deep = [deep]
    return deep


def test_what_lies_too_deep_in_an_answer_is_cut_off_and_the_rest_is_kept() -> None:
    message = read_call({"id": "1", "deep": nested(500)}, now=NOW)
    assert message.provider_id == "1"
    found, levels = message.body["deep"], 1
    while isinstance(found, list):
        found, levels = found[0], levels + 1
    assert (found, levels) == (TOO_DEEP, DEEPEST)


def test_a_webhook_may_be_nested_so_deep_and_no_deeper() -> None:
    def sent(levels: int) -> bytes:
        return json.dumps({"type": "hang", "callId": "1", "deep": nested(levels - 1)}).encode()

    assert read_message(sent(DEEPEST)).provider_id == "1"
    with pytest.raises(MalformedMessage, match="more than 64 levels"):
        read_message(sent(DEEPEST + 1))
