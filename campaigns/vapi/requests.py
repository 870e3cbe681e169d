"""What we say to Vapi, built from plain values: no network here.

Vapi refuses a request with a property that it does not know, so nothing is sent that it does not publish.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from campaigns.errors import CallRefused
from campaigns.rules.definition import RESERVED_VARIABLES, AccountDefinition, CampaignDefinition, Voicemail
from campaigns.vapi.events import CALL_ID_KEY

SERVER_MESSAGES = ("status-update", "end-of-call-report", "hang")
"""What we ask to be told: how a call stands, how it ended, and stalls. The rest is volume."""

BACKOFF = {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 2, "excludedStatusCodes": [401, 403]}
"""Vapi does not repeat a webhook unless asked to; five repeats from 2 s span about a minute."""

SERVER_TIMEOUT_SECONDS = 20  # Vapi's own default; storing takes milliseconds, so a longer wait is an outage

LONGEST_VALUE = 2_000  # characters of one variable: a paragraph; longer text belongs into the prompt
LONGEST_KEY = 100  # characters of a variable's name; no prompt names a longer one
DEEPEST_VALUE = 4  # levels of lists and objects inside a variable; what a prompt can name has two
LONGEST_LABEL = 40  # characters; Vapi refuses longer names and external ids
LARGEST_REQUEST = 256 * 1024  # bytes; the largest assistant that a campaign may bring, and a generous row

OVERRIDABLE: Final = frozenset(
    [
        "analysisPlan",
        "artifactPlan",
        "backgroundSound",
        "backgroundSpeechDenoisingPlan",
        "endCallMessage",
        "endCallPhrases",
        "firstMessage",
        "firstMessageInterruptionsEnabled",
        "firstMessageMode",
        "keypadInputPlan",
        "model",
        "startSpeakingPlan",
        "stopSpeakingPlan",
        "transcriber",
        "voice",
        "voicemailMessage",
    ]
)
"""What one row may have otherwise than the assistant: how it speaks and listens, not where its messages go."""

_QUIET: Final = frozenset({"assistant", "squad", "assistantOverrides", "membersOverrides"})
_EXACT = 2**53  # JavaScript reads larger whole numbers as others
_MARKS: Final = re.compile(r"\{[{%]|[}%]\}")
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_EXTENSION: Final = re.compile(r"[0-9]{1,10}")
_NOBODY: Final = frozenset({"n/a", "#n/a"})
"""What spreadsheets write where there is no name. Others, such as None and Null, are names that people have."""


@dataclass(frozen=True, slots=True)
class CreateCall:
    """One `POST /call`, ready to send."""

    call_id: UUID
    body: Mapping[str, Any]

    def content(self) -> bytes:
        """The body as bytes. Raises `CallRefused` for one that is not to be sent: another try would be the same."""
        extension = self.body["customer"].get("extension")
        if extension is not None and not _EXTENSION.fullmatch(extension):
            raise CallRefused("the extension is not one of up to 10 digits: correct the list")
        encoded = json.dumps(self.body, allow_nan=False).encode()
        if len(encoded) > LARGEST_REQUEST:
            raise CallRefused(
                f"the request has {len(encoded):,} bytes, more than {LARGEST_REQUEST:,}: give the row less text"
            )
        return encoded


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
    row_overrides: Mapping[str, Any] | None = None,
    attempt: int = 1,
    call: int = 1,
) -> CreateCall:
    """The request that calls one person: for the attempt of that number, by the person's call of that number.

    Our call id travels in the call's name, the customer's external id and the overrides' metadata, so that a webhook
    or a listing can be matched even when we never saw the answer. Where nobody serves webhooks, an assistant's own
    server stays as it is.
    """
    reference = str(call_id)
    customer = {"number": number, "externalId": reference}
    if spoken := _name(name):
        customer["name"] = spoken
    if extension:
        customer["extension"] = extension
    overrides: dict[str, Any] = {
        **(row_overrides or {}),
        "variableValues": variable_values({**campaign.variables, **variables}),
        "metadata": {CALL_ID_KEY: reference, "campaign": campaign.name},
        "maxDurationSeconds": int(campaign.max_duration / timedelta(seconds=1)),
    }
    speaker = _speaker(campaign)
    if campaign.voicemail is not None:
        overrides |= _detection(campaign.voicemail)
        if campaign.voicemail.speaks(attempt, last=campaign.is_last(attempt=attempt, call=call)):
            if campaign.voicemail.message is not None:
                overrides["voicemailMessage"] = campaign.voicemail.message
        else:
            overrides.pop("voicemailMessage", None)
            speaker = _silenced(speaker)
            if _has_saved(campaign):
                overrides["voicemailMessage"] = ""  # the only text that Vapi publishes for this and nobody hears
    if webhook_url is not None:
        overrides["server"] = _server(webhook_url, account.credential_id)
        overrides["serverMessages"] = list(SERVER_MESSAGES)
    body = {
        "name": reference,
        "phoneNumberId": phone_number_id,
        "customer": customer,
        **speaker,
        "squadOverrides" if campaign.with_squad else "assistantOverrides": overrides,
    }
    return CreateCall(call_id, body)


def variable_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that may travel: safe inside a prompt, without those that Vapi fills in itself."""
    cleaned = ((_key(name), variable(value)) for name, value in values.items())
    return {name: value for name, value in cleaned if name and value is not None and name not in RESERVED_VARIABLES}


def variable(value: Any, *, depth: int = DEEPEST_VALUE) -> Any:
    """A value that is safe inside a prompt: text on one line, without template marks, not endless.

    Numbers stay as they are where both ends read them alike; None where nothing of the value can be said. Lists and
    objects are kept down to `depth` levels.
    """
    match value:
        case None | bool():
            return value
        case int():
            if abs(value) <= _EXACT:
                return value
            return str(value) if value.bit_length() <= 1024 else None
        case float():
            return value if math.isfinite(value) else None
        case str():
            return single_line(value)[:LONGEST_VALUE]
        case Mapping():
            if depth == 0:
                return None
            inside = ((_key(str(name)), variable(item, depth=depth - 1)) for name, item in value.items())
            return {name: item for name, item in inside if name}
        case list() | tuple():
            return None if depth == 0 else [variable(item, depth=depth - 1) for item in value]
        case _:
            return single_line(str(value))[:LONGEST_VALUE]


def single_line(text: str) -> str:
    """`text` on one line, without control characters and without the marks that a template engine would run."""
    # A mark becomes a space and never nothing: two halves of another one must not come together.
    return _BREAKS.sub(" ", _MARKS.sub(" ", _BREAKS.sub(" ", text))).strip()


def _key(name: str) -> str:
    return single_line(name)[:LONGEST_KEY].strip()


def _name(name: str | None) -> str | None:
    """The name that may be spoken; None where the list has a placeholder instead of one."""
    found = single_line(name or "")[:LONGEST_LABEL].strip()
    return found if any(letter.isalpha() for letter in found) and found.lower() not in _NOBODY else None


def _speaker(campaign: CampaignDefinition) -> dict[str, Any]:
    """Who talks: one of the four ways in which Vapi takes it."""
    if campaign.assistant_id is not None:
        version = {} if campaign.assistant_version is None else {"assistantVersion": campaign.assistant_version}
        return {"assistantId": campaign.assistant_id, **version}
    if campaign.assistant is not None:
        return {"assistant": dict(campaign.assistant)}
    if campaign.squad_id is not None:
        return {"squadId": campaign.squad_id}
    return {"squad": dict(campaign.squad or {})}


def _server(url: str, credential_id: str | None) -> dict[str, Any]:
    credential = {} if credential_id is None else {"credentialId": credential_id}
    return {"url": url, "timeoutSeconds": SERVER_TIMEOUT_SECONDS, "backoffPlan": dict(BACKOFF), **credential}


def _has_saved(campaign: CampaignDefinition) -> bool:
    """Whether an assistant may talk whose own settings are at Vapi: what it says to machines is not known here."""
    members = (campaign.squad or {}).get("members") or []
    return campaign.assistant is None and (campaign.squad is None or any(each.get("assistantId") for each in members))


def _silenced(fields: Any) -> Any:
    """The same assistant or squad without what it says to machines: Vapi hangs up then."""
    if not isinstance(fields, Mapping):
        return fields
    quiet = {key: value for key, value in fields.items() if key != "voicemailMessage"}
    for key in _QUIET.intersection(quiet):
        quiet[key] = _silenced(quiet[key])
    if isinstance(quiet.get("members"), list):
        quiet["members"] = [_silenced(member) for member in quiet["members"]]
    return quiet


def _detection(wanted: Voicemail) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if wanted.provider == "off":
        overrides["voicemailDetection"] = "off"
    elif wanted.provider is not None:
        plan: dict[str, Any] = {"provider": wanted.provider}
        if wanted.type is not None:
            plan["type"] = wanted.type
        if wanted.beep_max_await is not None:
            plan["beepMaxAwaitSeconds"] = wanted.beep_max_await.total_seconds()
        if wanted.backoff is not None:
            plan["backoffPlan"] = {
                "startAtSeconds": wanted.backoff.start_at.total_seconds(),
                "frequencySeconds": wanted.backoff.frequency.total_seconds(),
                "maxRetries": wanted.backoff.max_retries,
            }
        overrides["voicemailDetection"] = plan
    return overrides
