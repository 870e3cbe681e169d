"""What is sent for one call: every shape that a campaign can have, whatever the list says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import CallRefused
from campaigns.rules.definition import RESERVED_VARIABLES, AccountDefinition, CampaignDefinition
from campaigns.vapi.requests import LONGEST_VALUE, CreateCall, create_call, variable, variable_values
from tests.factories import ACCOUNT, CAMPAIGN

CALL = UUID("5f2c9a1e-6f0d-4c55-9a86-2f1f6a0f7c11")
HOOK = "https://calls.example.com/webhooks/vapi/main"
MARK = re.compile(r"\{\{|\}\}|\{%|%\}")
BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def request(
    *,
    account: dict[str, Any] | None = None,
    hook: str | None = HOOK,
    extension: str = "",
    name: str | None = None,
    row: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
    attempt: int = 1,
    call: int = 1,
    **changes: Any,
) -> CreateCall:
    """The request for one row of a campaign with these `changes`."""
    return create_call(
        CALL,
        campaign=CampaignDefinition.model_validate(CAMPAIGN | changes),
        account=AccountDefinition.model_validate(ACCOUNT | (account or {})),
        phone_number_id="number-1",
        webhook_url=hook,
        number="+12125550142",
        extension=extension,
        name=name,
        variables=row or {},
        row_overrides=own,
        attempt=attempt,
        call=call,
    )


def overrides(**changes: Any) -> dict[str, Any]:
    return dict(request(**changes).body["assistantOverrides"])


def test_a_whole_request() -> None:
    built = request(
        account={"credential_id": "a-credential"},
        name="Dana Whitfield",
        extension="0042",
        row={"plan": "Gold"},
    )
    assert built.call_id == CALL
    assert json.loads(built.content()) == {
        "name": str(CALL),
        "phoneNumberId": "number-1",
        "customer": {
            "number": "+12125550142",
            "name": "Dana Whitfield",
            "externalId": str(CALL),
            "extension": "0042",
        },
        "assistantId": CAMPAIGN["assistant_id"],
        "assistantOverrides": {
            "variableValues": {"plan": "Gold"},
            "metadata": {"call_id": str(CALL), "campaign": "spring"},
            "maxDurationSeconds": 600,
            "server": {
                "url": HOOK,
                "timeoutSeconds": 20,
                "credentialId": "a-credential",
                "backoffPlan": {
                    "type": "exponential",
                    "maxRetries": 5,
                    "baseDelaySeconds": 2,
                    "excludedStatusCodes": [401, 403],
                },
            },
            "serverMessages": ["status-update", "end-of-call-report", "hang"],
        },
    }


ASSISTANT = {"firstMessage": "Hello {{first_name}}", "server": {"url": "https://theirs.example.com"}}
SQUAD = {"members": [{"assistantId": "one"}, {"assistant": ASSISTANT}]}


@pytest.mark.parametrize(
    ("speaker", "sent", "place"),
    [
        ({"assistant_id": "an-id"}, {"assistantId": "an-id"}, "assistantOverrides"),
        (
            {"assistant_id": "an-id", "assistant_version": "v3"},
            {"assistantId": "an-id", "assistantVersion": "v3"},
            "assistantOverrides",
        ),
        ({"assistant_id": None, "assistant": ASSISTANT}, {"assistant": ASSISTANT}, "assistantOverrides"),
        ({"assistant_id": None, "squad_id": "a-squad"}, {"squadId": "a-squad"}, "squadOverrides"),
        ({"assistant_id": None, "squad": SQUAD}, {"squad": SQUAD}, "squadOverrides"),
    ],
)
def test_whoever_speaks_our_overrides_lie_over_it(speaker: dict[str, Any], sent: dict[str, Any], place: str) -> None:
    body = json.loads(request(**speaker, row={"plan": "Gold"}).content())
    assert {key: body.pop(key) for key in sent} == sent
    assert set(body) == {"name", "phoneNumberId", "customer", place}
    assert body[place]["metadata"]["call_id"] == str(CALL)
    assert body[place]["variableValues"] == {"plan": "Gold"}
    assert body[place]["server"]["url"] == HOOK
    assert body[place]["serverMessages"] == ["status-update", "end-of-call-report", "hang"]


def test_without_a_public_address_the_assistant_keeps_its_own_server() -> None:
    assert set(overrides(hook=None)) == {"variableValues", "metadata", "maxDurationSeconds"}
    assert "credentialId" not in overrides()["server"]


@pytest.mark.parametrize(
    ("voicemail", "sent"),
    [
        (None, {}),
        ({"provider": "off"}, {"voicemailDetection": "off"}),
        ({"provider": "twilio"}, {"voicemailDetection": {"provider": "twilio"}}),
        ({"message": "Call us back {{first_name}}"}, {"voicemailMessage": "Call us back {{first_name}}"}),
        (
            {
                "provider": "google",
                "type": "transcript",
                "beep_max_await": "12s",
                "backoff": {"start_at": "1s", "frequency": "2.5s", "max_retries": 3},
                "message": "Hi",
            },
            {
                "voicemailDetection": {
                    "provider": "google",
                    "type": "transcript",
                    "beepMaxAwaitSeconds": 12,
                    "backoffPlan": {"startAtSeconds": 1, "frequencySeconds": 2.5, "maxRetries": 3},
                },
                "voicemailMessage": "Hi",
            },
        ),
    ],
)
def test_voicemail_is_overridden_only_as_far_as_the_campaign_says(
    voicemail: dict[str, Any] | None, sent: dict[str, Any]
) -> None:
    found = {key: value for key, value in overrides(voicemail=voicemail).items() if key.startswith("voicemail")}
    assert found == sent


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (None, None),
        ("", None),
        ("  \n", None),
        ("-", None),
        ("N/A", None),
        ("#n/a", None),
        ("{{}}", None),
        ("?? 7", None),
        ("Null", "Null"),
        ("O'Brien\nJr.", "O'Brien Jr."),
        ("李明", "李明"),
        ("{{call.id}} Dana", "call.id Dana"),
        ("x" * 39 + " yz", "x" * 39),
        ("🎈é" * 30, "🎈é" * 20),
    ],
)
def test_only_a_name_travels_as_a_name(name: str | None, sent: str | None) -> None:
    assert request(name=name).body["customer"].get("name") == sent


def test_the_rows_own_values_win_over_the_campaigns_and_reserved_names_never_travel() -> None:
    values = {"plan": "Gold", "now": "x", " customer": "x", "time\n": "x", "": "x", "{{": "x", "nothing": None}
    campaign = {"plan": "Basic", "brand": "Acme"}
    assert overrides(row=values, variables=campaign)["variableValues"] == {"plan": "Gold", "brand": "Acme"}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("Gold", "Gold"),
        ("two\r\n lines\u2028three\x85four", "two lines three four"),
        ("{{call.id}}{% raw %}", "call.id raw"),
        ("{{{{x}}}}", "x"),
        ("{{%x%}}", "%x }"),
        ("{{{%x", "x"),
        ("{\x00{x}\n}", "{ {x} }"),
        ("{ {x} }", "{ {x} }"),
        ("x" * 3000, "x" * LONGEST_VALUE),
        ("half \ud83d a letter", "half a letter"),
        ("می‌خواهم", "می‌خواهم"),
        (True, True),
        (7, 7),
        (2**53 + 1, "9007199254740993"),
        (10**400, None),
        (0.5, 0.5),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        (date(2027, 3, 2), "2027-03-02"),
        (["a\nb", {"c{{": ("d}}", 1)}], ["a b", {"c": ["d", 1]}]),
        ([[[["deep", ["deeper"]]]]], [[[["deep", None]]]]),
        ({"a": {"b": {"c": {"d": {"e": 1}, "f": 2}}}}, {"a": {"b": {"c": {"d": None, "f": 2}}}}),
        ({"{{": 1, "b": None}, {"b": None}),
    ],
)
def test_a_value_is_safe_inside_a_prompt(value: Any, sent: Any) -> None:
    assert variable(value) == sent


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(alphabet="{}% \n\x00\u2028a", max_size=30),
    st.text(alphabet="ab", min_size=LONGEST_VALUE, max_size=LONGEST_VALUE + 5),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="{}%ab\n", max_size=5), inner),
    max_leaves=12,
)
names = st.one_of(st.text(max_size=12), st.sampled_from(sorted(RESERVED_VARIABLES)))


def texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(names, values, max_size=5), st.text(), st.text(alphabet="{}%", max_size=9))
def test_whatever_a_list_says_the_request_can_be_sent_and_no_template_runs(
    variables: dict[str, Any], name: str, marks: str
) -> None:
    built = request(row={**variables, "marks": marks}, name=name)
    sent = json.loads(built.content())
    assert sent == built.body
    said = sent["assistantOverrides"]["variableValues"]
    assert not RESERVED_VARIABLES & set(said)
    assert None not in said.values()
    for text in [*texts(said), sent["customer"].get("name", "")]:
        assert not MARK.search(text), text
        assert not BREAK.search(text), text
        assert len(text) <= LONGEST_VALUE
    assert 0 < len(sent["customer"].get("name", "nobody")) <= 40
    assert len(sent["name"]) <= 40


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(names, values, max_size=5))
def test_what_was_cleaned_stays_as_it_is(variables: dict[str, Any]) -> None:
    once = variable_values(variables)
    assert variable_values(once) == once


def test_a_row_that_is_too_large_is_refused_by_its_size() -> None:
    row = {f"column_{turn}": "x" * LONGEST_VALUE for turn in range(140)}
    with pytest.raises(
        CallRefused, match=r"^the request has 28\d,\d{3} bytes, more than 262,144: give the row less text"
    ):
        request(row=row).content()


@pytest.mark.parametrize("extension", ["12345678901", "12a", "٣", "1 2", "+1"])
def test_an_extension_that_nobody_could_dial_is_never_sent(extension: str) -> None:
    with pytest.raises(CallRefused, match="not one of up to 10 digits"):
        request(extension=extension).content()
