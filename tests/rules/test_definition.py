"""What a file may say; what it may not is named with what is allowed there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from campaigns.errors import InvalidDefinition
from campaigns.rules.definition import AccountDefinition, CampaignDefinition, read_definition
from tests.factories import ACCOUNT, CAMPAIGN

QUOTED = "write text, in quotes"
WHOLE = "write a whole number, without quotes"
LIST = 'write a list in brackets, such as ["one", "two"]'
SECTION = "write a section of its own with key = value lines"
MOMENT = "give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00"
ADDRESS = "give a web address such as https://calls.example.com, without ? or #"
DURATION = 'a duration is a number and a unit, such as "90s", "15m", "2h" or "1d"'
HOURS = 'write days and hours in quotes, such as "Mon-Fri 09:00-12:00, 13:00-20:00; Sat 10:00-16:00"'
NAME_ONLY = "give the NAME of an environment variable such as VAPI_API_KEY, never the secret itself"

SPEAKER = "give exactly one of assistant_id or squad_id (saved at Vapi), [assistant] or [squad] (sent with every call)"
TRANSIENT = "assistant: must hold something, and at most 200,000 characters: it goes with every call"
UNREADABLE = "assistant: holds nan or infinity, or lies too deep: Vapi could not read it"
CALL_CONTROL = "leave phone-call-control out of serverMessages: with it Vapi leaves hanging up to a server"
MEMBERS = "needs at least one [[squad.members]]: the call starts with the first"
DETECTOR = 'needs provider = "vapi", "google" or "openai"'
HOST = "control_hosts #1: give a host name such as vapi.ai, in small letters, without https:// and without a port"


def deep(levels: int) -> dict[str, Any]:
    """Objects inside objects."""
    inside: dict[str, Any] = {}
    for _ in range(levels):
        inside = {"in": inside}
    return inside


def squad(**member: Any) -> dict[str, Any]:
    return {"members": [member]}


def refusal(kind: type[AccountDefinition | CampaignDefinition], values: dict[str, Any]) -> str:
    with pytest.raises(InvalidDefinition) as caught:
        read_definition(kind, values, source="f")
    return str(caught.value).removeprefix("f: ")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": "Main Account"}, "name: use up to 63 of a-z, 0-9, - and _, starting with a letter or digit"),
        ({"name": "main\n"}, "name: use up to 63 of a-z, 0-9, - and _, starting with a letter or digit"),
        ({"key_env": "sk-live"}, f"key_env: {NAME_ONLY}"),
        ({"concurrency": "10"}, f"concurrency: {WHOLE}"),
        ({"concurrency": True}, f"concurrency: {WHOLE}"),
        ({"concurrency": 2.5}, f"concurrency: {WHOLE}"),
        ({"concurrency": 0}, "concurrency: input should be greater than or equal to 1"),
        ({"calls_per_second": "1"}, "calls_per_second: write a number, without quotes"),
        ({"calls_per_second": float("nan")}, "calls_per_second: input should be less than or equal to 1000"),
        ({"reserve": 10}, "reserve (10) leaves no line to call with: it must be below concurrency (10)"),
        ({"base_url": "api.vapi.ai"}, f"base_url: {ADDRESS}"),
        ({"base_url": "http://[::1"}, f"base_url: {ADDRESS}"),
        ({"base_url": "http://a:99999"}, f"base_url: {ADDRESS}"),
        ({"base_url": "https://a b"}, f"base_url: {ADDRESS}"),
        (
            {"base_url": "https://me:hush@api.vapi.ai"},
            "base_url: give the web address without a user and password: a secret belongs in the environment",
        ),
        (
            {"base_url": "http://api.vapi.ai"},
            "base_url: use https: over http the key and what people said would travel in the open",
        ),
        (
            {"public_url": "https://a", "base_url": "https://api.vapi.ai"},
            "public_url needs at least one [[webhook]] check, or anybody could post results",
        ),
        ({"control_hosts": "vapi.ai"}, f"control_hosts: {LIST}"),
        ({"control_hosts": ["https://vapi.ai"]}, HOST),
        ({"control_hosts": ["vapi.ai:443"]}, HOST),
        ({"control_hosts": ["vapi.ai."]}, HOST),
        ({"control_hosts": [".vapi.ai"]}, HOST),
        ({"control_hosts": ["VAPI.ai"]}, HOST),
        ({"control_hosts": ["ai"]}, HOST),
        ({"control_hosts": ["10.0.0.1"]}, HOST),
        ({"control_hosts": ["*.vapi.ai"]}, HOST),
        ({"webhook": {}}, f"webhook: {LIST}"),
        ({"webhook": [{}]}, 'webhook #1: needs type = "hmac", "bearer" or "secret"'),
        ({"webhook": [{"type": "jwt"}]}, 'webhook #1: needs type = "hmac", "bearer" or "secret"'),
        ({"webhook": [{"type": "bearer"}]}, "webhook #1.secret_env: is missing"),
        ({"webhook": [{"type": "bearer", "secret_env": []}]}, "webhook #1.secret_env: give at least one"),
        ({"webhook": [{"type": "bearer", "secret_env": ["hush"]}]}, f"webhook #1.secret_env #1: {NAME_ONLY}"),
        (
            {"webhook": [{"type": "secret", "secret_env": ["A"]}, {"type": "hmac", "secret_env": ["A"], "algo": 1}]},
            (
                "webhook #2.algo: no such key, did you mean algorithm? allowed here: "
                "algorithm, encoding, message_id_header, payload_format, "
                "prefix, secret_env, secret_is_base64, signature_header, timestamp_header, tolerance, type"
            ),
        ),
    ],
)
def test_a_wrong_account_is_refused_by_its_key(changes: dict[str, Any], line: str) -> None:
    assert refusal(AccountDefinition, ACCOUNT | changes) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"windows": 9}, f"windows: {HOURS}"),
        ({"windows": ["Mon 09:00-10:00"]}, f"windows: {HOURS}"),
        ({"windows": {"Mon": 9}}, f"windows: {HOURS}"),
        ({"windows": "Mon 9-17"}, "windows: hours '9-17' cannot be read: use 24-hour times such as 09:00-20:00"),
        (
            {"default_region": "usa"},
            "default_region: 'usa' is not a country code of two capital letters such as US or DE",
        ),
        (
            {"default_region": "UK"},
            (
                "default_region: 'UK' is not a country code of two capital letters such as US or DE; "
                "the United Kingdom is GB"
            ),
        ),
        ({"max_duration": 600}, 'max_duration: a duration is written in quotes with its unit, such as "15m"'),
        ({"max_duration": "10"}, f"max_duration: {DURATION}"),
        ({"max_duration": "99999999999d"}, f"max_duration: {DURATION}"),
        ({"max_duration": "999d"}, "max_duration: a duration of more than 366 days is surely a mistake"),
        ({"max_duration": "5s"}, 'max_duration must lie between "10s" and "12h": Vapi allows nothing else'),
        ({"retry": {"busy": "20m"}}, f"retry.busy: {LIST}"),
        ({"retry": {"busy": [20]}}, 'retry.busy #1: a duration is written in quotes with its unit, such as "15m"'),
        ({"retry": 3}, f"retry: {SECTION}"),
        (
            {"retry": {"atempts": 3}},
            (
                "retry.atempts: no such key, did you mean max_attempts? allowed here: assistant_error, busy, callback, "
                "counts, jitter, max_attempts, max_calls, never_again, no_answer, pipeline_error, "
                "provider_transport_error, technical, unknown, voicemail"
            ),
        ),
        ({"consent": "yes"}, f"consent: {SECTION}"),
        (
            {"consent": {"sauce": "x"}},
            (
                "consent.sauce: no such key, did you mean source? allowed here: expires_at, level, obtained_at, proof, "
                "source, valid_for (and 1 more)"
            ),
        ),
        ({"mapping": {"phone": 1}}, f"mapping.phone: {QUOTED}"),
        ({"mapping": {"variables": {"now": "Now"}}}, "the variable 'now' is filled in by Vapi: choose another name"),
        ({"variables": {"customer": "x"}}, "the variable 'customer' is filled in by Vapi: choose another name"),
        ({"variables": {"plan": 1}}, f"variables.plan: {QUOTED}"),
        ({"phone_number_ids": "one"}, f"phone_number_ids: {LIST}"),
        ({"phone_number_ids": []}, "phone_number_ids: give at least one"),
        ({"phone_number_ids": [""]}, "phone_number_ids #1: must not be empty"),
        ({"starts_at": 5}, f"starts_at: {MOMENT}"),
        ({"starts_at": date(2027, 3, 2)}, f"starts_at: {MOMENT}"),
        ({"starts_at": time(9)}, f"starts_at: {MOMENT}"),
        ({"starts_at": "tomorrow"}, f"starts_at: {MOMENT}"),
        (
            {"starts_at": datetime(2027, 3, 2)},  # noqa: DTZ001 - what is refused
            "starts_at: give the offset too, such as 2026-03-02T09:00:00-05:00 or ...Z",
        ),
        ({"assistant": {"name": "x"}}, SPEAKER),
        ({"squad_id": "a-squad"}, SPEAKER),
        ({"assistant_id": None}, SPEAKER),
        ({"assistant_id": None, "squad_id": "a", "squad": {"members": [{"assistantId": "b"}]}}, SPEAKER),
        (
            {"assistant_id": None, "squad_id": "a", "assistant_version": "v3"},
            "assistant_version needs assistant_id: only a saved assistant has versions",
        ),
        ({"assistant": "x"}, f"assistant: {SECTION}"),
        ({"assistant": {}}, TRANSIENT),
        ({"assistant": {"firstMessage": "x" * 200_000}}, TRANSIENT),
        ({"assistant": {"temperature": float("nan")}}, UNREADABLE),
        ({"assistant": deep(2_000)}, UNREADABLE),
        ({"assistant": {"serverMessages": ["hang", "phone-call-control"]}}, f"assistant: {CALL_CONTROL}"),
        ({"squad": {"members": []}}, f"squad: {MEMBERS}"),
        ({"squad": {"members": ["a"]}}, f"squad: {MEMBERS}"),
        ({"squad": {"members": [{"assistantId": "a"}, {}]}}, "squad: member #2 needs either assistantId or assistant"),
        (
            {"squad": {"members": [{"assistantId": "a", "assistant": {"name": "b"}}]}},
            "squad: member #1 needs either assistantId or assistant",
        ),
        ({"squad": squad(assistant={"serverMessages": ["phone-call-control"]})}, f"squad: {CALL_CONTROL}"),
        (
            {"squad": squad(assistantId="a", assistantOverrides={"serverMessages": ["phone-call-control"]})},
            f"squad: {CALL_CONTROL}",
        ),
        (
            {"squad": squad(assistantId="a") | {"membersOverrides": {"serverMessages": ["phone-call-control"]}}},
            f"squad: {CALL_CONTROL}",
        ),
        (
            {"voicemail": {}},
            'voicemail: say at least who detects it, such as provider = "vapi", or a message, or hang_up = true',
        ),
        (
            {"voicemail": {"provider": "gogle"}},
            "voicemail.provider: input should be 'off', 'vapi', 'google', 'openai' or 'twilio'",
        ),
        ({"voicemail": {"provider": "off", "type": "audio"}}, f"voicemail: type {DETECTOR}"),
        ({"voicemail": {"provider": "twilio", "backoff": {}}}, f"voicemail: backoff {DETECTOR}"),
        ({"voicemail": {"message": "Hello", "beep_max_await": "5s"}}, f"voicemail: beep_max_await {DETECTOR}"),
        (
            {"voicemail": {"provider": "vapi", "beep_max_await": "31s"}},
            'voicemail: beep_max_await may be up to "30s": Vapi allows nothing else',
        ),
        (
            {"voicemail": {"provider": "vapi", "backoff": {"frequency": "2s"}}},
            'voicemail.backoff: frequency must be at least "2.5s": Vapi allows nothing else',
        ),
        (
            {"voicemail": {"provider": "vapi", "backoff": {"max_retries": 11}}},
            "voicemail.backoff.max_retries: input should be less than or equal to 10",
        ),
        (
            {"voicemail": {"message": "x" * 1001}},
            "voicemail.message: string should have at most 1000 characters",
        ),
    ],
)
def test_a_wrong_campaign_is_refused_by_its_key(changes: dict[str, Any], line: str) -> None:
    assert refusal(CampaignDefinition, CAMPAIGN | changes) == line


@pytest.mark.parametrize("written", ["0.5s", "90s", "15m", "14d", "366d", "100001.25s", "1.5h"])
def test_a_duration_is_read_back_from_the_database_as_it_was(written: str) -> None:
    definition = CampaignDefinition.model_validate(CAMPAIGN | {"breaker": {"within": written}})
    stored = json.loads(json.dumps(definition.model_dump(mode="json")))
    assert CampaignDefinition.model_validate(stored) == definition
    assert definition.breaker.within > timedelta(0)


def test_everything_is_read_back_from_the_database_as_it_was() -> None:
    changes: dict[str, Any] = {
        "starts_at": datetime(2027, 3, 2, 9, tzinfo=UTC),
        "windows": {"Mon": ["09:00-12:00", "13:00-17:00"], "Sat": "22:00-02:00"},
        "mapping": {"variables": {"plan": "Plan"}},
        "voicemail": {"provider": "vapi", "beep_max_await": "7.5s", "backoff": {"frequency": "2.5s"}, "message": "Hi"},
        "assistant_id": None,
        "squad": {"members": [{"assistant": {"firstMessage": "Hi", "since": date(2027, 1, 1)}}], "name": "two"},
    }
    definition = CampaignDefinition.model_validate(CAMPAIGN | changes)
    stored = json.loads(json.dumps(definition.model_dump(mode="json")))
    assert CampaignDefinition.model_validate(stored).model_dump(mode="json") == stored
    account = AccountDefinition.model_validate(ACCOUNT | {"webhook": [{"type": "hmac", "secret_env": ["A"]}]})
    assert AccountDefinition.model_validate(account.model_dump(mode="json")) == account


def test_the_same_file_is_stored_the_same_by_every_process() -> None:
    program = (
        "import json, sys; from campaigns.rules.definition import CampaignDefinition; "
        "print(json.dumps(CampaignDefinition.model_validate_json(sys.argv[1]).model_dump(mode='json')))"
    )
    stored = {
        subprocess.run(
            [sys.executable, "-c", program, json.dumps(CAMPAIGN)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(stored) == 1
