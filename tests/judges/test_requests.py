"""Every request that the product can make, as Vapi's schemas and SDK read it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.pipeline.calling import webhook_url
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.vapi.requests import SERVER_MESSAGES, create_call
from tests.factories import ACCOUNT, CAMPAIGN
from tests.judges import sdk
from tests.judges.schema import problems

CALL_ID = UUID("5b6f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e3f")
PUBLIC = {"public_url": "https://calls.example.com", "webhook": [{"type": "hmac", "secret_env": ["HOOK"]}]}
HEARD = PUBLIC | {"credential_id": "a-credential"}
ASSISTANT: dict[str, Any] = {
    "name": "Nell",
    "firstMessage": "Hello {{first_name}}, this is Nell.",
    "model": {
        "provider": "openai",
        "model": "gpt-4o",
        "temperature": 0.2,
        "messages": [{"role": "system", "content": "Offer one of three appointments."}],
        "tools": [{"type": "endCall"}],
    },
    "voice": {"provider": "11labs", "voiceId": "sarah"},
    "transcriber": {"provider": "deepgram", "model": "nova-2", "language": "en"},
    "analysisPlan": {
        "structuredDataPlan": {
            "enabled": True,
            "schema": {"type": "object", "properties": {"booked": {"type": "boolean"}}},
        }
    },
}
SQUAD = {"name": "front desk", "members": [{"assistant": ASSISTANT}, {"assistantId": "a-colleague"}]}
WITH_ASSISTANT = {"assistant_id": None, "assistant": ASSISTANT}

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a saved assistant": ({}, HEARD),
    "a saved assistant, asked about": ({}, {}),
    "without a credential": ({}, PUBLIC),
    "an assistant sent along": (WITH_ASSISTANT, HEARD),
    "an assistant sent along, asked about": (WITH_ASSISTANT, {}),
    "variables of the campaign": ({"variables": {"clinic": "Larkspur", "year_built": "1999"}}, HEARD),
    "a saved version": ({"assistant_version": "v3"}, HEARD),
    "a saved squad": ({"assistant_id": None, "squad_id": "a-squad"}, HEARD),
    "a saved squad, asked about": ({"assistant_id": None, "squad_id": "a-squad"}, {}),
    "a squad sent along": ({"assistant_id": None, "squad": SQUAD}, HEARD),
    "voicemail off": ({"voicemail": {"provider": "off"}}, HEARD),
    "voicemail by the provider": (
        {
            "voicemail": {
                "provider": "vapi",
                "type": "audio",
                "beep_max_await": "20s",
                "backoff": {"start_at": "2s", "frequency": "3s", "max_retries": 4},
                "message": "Please call us back.",
            }
        },
        HEARD,
    ),
    "voicemail by Google": ({"voicemail": {"provider": "google"}}, HEARD),
    "voicemail by OpenAI": ({"voicemail": {"provider": "openai"}}, HEARD),
    "voicemail by the carrier": ({"voicemail": {"provider": "twilio"}}, HEARD),
    "voicemail of a squad": ({"assistant_id": None, "squad_id": "a-squad", "voicemail": {"provider": "vapi"}}, HEARD),
    "the shortest call": ({"max_duration": "10s"}, HEARD),
    "the longest call": ({"max_duration": "12h"}, HEARD),
}
"""What a campaign and an account may say: changes to the plain ones."""


def request(shape: str, **person: Any) -> dict[str, Any]:
    """The body of the one request for a person, as it goes out."""
    campaign, account = SHAPES[shape]
    plain = {key: value for key, value in (CAMPAIGN | campaign).items() if value is not None}
    known = AccountDefinition.model_validate(ACCOUNT | account)
    values: dict[str, Any] = {"number": "+12125550100", "extension": "", "name": None, "variables": {}}
    made = create_call(
        CALL_ID,
        campaign=CampaignDefinition.model_validate(plain),
        account=known,
        phone_number_id="c6ea6cb0-0dfb-4a65-918f-6a33abb54b64",
        webhook_url=webhook_url(known),
        **(values | person),
    )
    return dict(made.body)


PEOPLE: dict[str, dict[str, Any]] = {
    "a number alone": {},
    "all that can be known": {
        "extension": "1234567890",
        "name": "Dana Whitfield of the very long name, the second of that name",
        "variables": {"first_name": "Dana", "visits": 3, "rate": 0.5, "member": True, "note": None},
    },
}


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_request_is_one_that_vapi_knows_and_takes(shape: str, person: str) -> None:
    body = request(shape, **PEOPLE[person])
    assert problems(body, "CreateCallDTO") == []
    assert sdk.problems_of_request(body) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_request_carries_our_id_where_it_comes_back(shape: str) -> None:
    body = request(shape)
    overrides = body.get("assistantOverrides", body.get("squadOverrides"))
    assert body["name"] == body["customer"]["externalId"] == overrides["metadata"]["call_id"] == str(CALL_ID)
    heard = "public_url" in SHAPES[shape][1]
    assert ("server" in overrides) == heard
    assert overrides.get("serverMessages", []) == (list(SERVER_MESSAGES) if heard else [])


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(name=texts, variables=st.dictionaries(texts, st.one_of(texts, st.integers(), st.booleans()), max_size=4))
def test_no_name_and_no_variable_spoils_a_request(name: str, variables: dict[str, Any]) -> None:
    body = request("a saved assistant", name=name, variables=variables)
    assert problems(body, "CreateCallDTO") == []
    assert sdk.problems_of_request(body) == []
