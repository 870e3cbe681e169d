"""What we say to Vapi, built from plain values: no network here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.vapi.events import CALL_ID_KEY

SERVER_MESSAGES = ("status-update", "end-of-call-report", "hang")
"""What we ask to be told: how a call stands, how it ended, and stalls. The rest is volume."""

BACKOFF = {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 2, "excludedStatusCodes": [401, 403]}
"""Vapi does not repeat a webhook unless asked to; five repeats from 2 s span about a minute."""

SERVER_TIMEOUT_SECONDS = 20  # Vapi's own default; storing takes milliseconds, so a longer wait is an outage

LONGEST_VALUE = 2_000  # characters of one variable: a paragraph; longer text belongs into the prompt
LONGEST_LABEL = 40  # Vapi refuses longer names and external ids


@dataclass(frozen=True, slots=True)
class CreateCall:
    """One `POST /call`, ready to send."""

    call_id: UUID
    body: Mapping[str, Any]


def create_call(
    call_id: UUID,
    *,
    campaign: CampaignDefinition,
    account: AccountDefinition,
    phone_number_id: str,
    number: str,
    extension: str,
    name: str | None,
    variables: Mapping[str, Any],
    webhook_url: str | None,
) -> CreateCall:
    """The request that calls one person.

    Our call id travels in the call's name, the customer's external id and the overrides' metadata, so that a webhook
    or a listing can be matched even when we never saw the answer.
    """
    reference = str(call_id)
    customer: dict[str, Any] = {"number": number, "externalId": reference}
    if name:
        customer["name"] = single_line(name)[:LONGEST_LABEL]
    if extension:
        customer["extension"] = extension
    overrides: dict[str, Any] = {
        "variableValues": {
            key: variable(value) for key, value in {**campaign.variables, **variables}.items() if value is not None
        },
        "metadata": {CALL_ID_KEY: reference, "campaign": campaign.name},
        "maxDurationSeconds": int(campaign.max_duration / timedelta(seconds=1)),
    }
    if webhook_url is not None:
        server: dict[str, Any] = {
            "url": webhook_url,
            "timeoutSeconds": SERVER_TIMEOUT_SECONDS,
            "backoffPlan": BACKOFF,
        }
        if account.credential_id is not None:
            server["credentialId"] = account.credential_id
        overrides["server"] = server
        overrides["serverMessages"] = list(SERVER_MESSAGES)
    body: dict[str, Any] = {
        "name": reference,
        "phoneNumberId": phone_number_id,
        "customer": customer,
        "assistantOverrides": overrides,
    }
    if campaign.assistant_id is not None:
        body["assistantId"] = campaign.assistant_id
    else:
        body["assistant"] = dict(campaign.assistant or {})
    return CreateCall(call_id, body)


def variable(value: Any) -> Any:
    """A value that is safe inside a prompt: one line, no template marks, not endless; numbers stay as they are."""
    if isinstance(value, bool | int | float):
        return value
    return single_line(str(value))[:LONGEST_VALUE]


def single_line(text: str) -> str:
    """`text` on one line, without control characters and without the marks that a template engine would run."""
    without_marks = re.sub(r"\{[{%]|[}%]\}", " ", text)
    return re.sub(r"[\s\x00-\x1f\x7f\u2028\u2029]+", " ", without_marks).strip()
