"""Vapi's published schemas as a judge: strict about what they do not know, with their own mistakes corrected."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match

Schema = dict[str, Any]

PUBLISHED: dict[str, Schema] = json.loads((Path(__file__).parent / "schemas.json").read_text(encoding="utf-8"))["$defs"]

MESSAGES = {
    "assistant-request": "ServerMessageAssistantRequest",
    "call.artifact.upload": "ServerMessageCallArtifactUpload",
    "call.deleted": "ServerMessageCallDeleted",
    "campaign.predial": "ServerMessageCampaignPredial",
    "conversation-update": "ServerMessageConversationUpdate",
    "end-of-call-report": "ServerMessageEndOfCallReport",
    "hang": "ServerMessageHang",
    "speech-update": "ServerMessageSpeechUpdate",
    "status-update": "ServerMessageStatusUpdate",
    "tool-calls": "ServerMessageToolCalls",
    "transcript": "ServerMessageTranscript",
    'transcript[transcriptType="final"]': "ServerMessageTranscript",
    "transfer-update": "ServerMessageTransferUpdate",
    "user-interrupted": "ServerMessageUserInterrupted",
}
"""The schema of each type of server message."""

SAVED = {
    "assistant": {"id", "orgId", "createdAt", "updatedAt"},
    "phoneNumber": {"id", "orgId", "createdAt", "updatedAt", "status"},
}
"""A message's assistant and number are described as what creates them; what is saved is sent with these, too."""


def as_described(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message without what its saved assistant and number have beyond what creates them."""
    return {
        key: {name: part for name, part in value.items() if name not in SAVED[key]}
        if key in SAVED and isinstance(value, dict)
        else value
        for key, value in message.items()
    }


@dataclass(frozen=True, slots=True)
class Correction:
    """A mistake of the published schemas, mended before judging."""

    name: str
    why: str
    mend: Callable[[dict[str, Schema]], None]
    root: str
    example: Any
    """Something right, which `root` refuses as it was published."""


def problems(value: Any, root: str, *, uncorrected: str | None = None) -> list[str]:
    """What is wrong with `value` as a `root`, one line each, such as `$.customer.number: …`. `uncorrected` leaves the
    correction of that name out.
    """
    found = (best_match([error]) for error in _validator(root, uncorrected).iter_errors(value))
    return [f"{error.json_path}: {_short(error)}" for error in found if error is not None]


def _short(error: ValidationError) -> str:
    if error.schema is False:
        return "a part that schemas.json leaves out; see the README beside it"
    return error.message if len(error.message) < 300 else f"{error.message[:200]} … {error.message[-99:]}"


@cache
def _validator(root: str, uncorrected: str | None) -> Draft202012Validator:
    schemas = copy.deepcopy(PUBLISHED)
    for correction in CORRECTIONS:
        if correction.name != uncorrected:
            correction.mend(schemas)
    for schema in _within(schemas):
        if "properties" in schema:
            # Vapi refuses a request with a property that it does not know; the schemas themselves would let it pass.
            schema.setdefault("additionalProperties", False)
    document = {"$defs": schemas, "$ref": f"#/$defs/{root}"}
    return Draft202012Validator(document, format_checker=_formats())


def _formats() -> FormatChecker:
    formats = FormatChecker(())

    @formats.checks("date-time", raises=ValueError)
    def _(value: object) -> bool:
        return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None

    return formats


def _within(schemas: dict[str, Schema]) -> Iterator[Schema]:
    """Every schema, the outer before the inner. What is named like a keyword but is a property's name is none."""
    todo: list[Any] = list(schemas.values())
    while todo:
        schema = todo.pop()
        if not isinstance(schema, dict):
            continue
        yield schema
        todo += schema.get("properties", {}).values()
        todo += [schema.get("items"), schema.get("additionalProperties")]
        for several in ("oneOf", "anyOf", "allOf"):
            todo += schema.get(several, [])


def _backoff_type(schemas: dict[str, Schema]) -> None:
    schemas["BackoffPlan"]["properties"]["type"]["type"] = "string"


def _excluded_codes(schemas: dict[str, Schema]) -> None:
    schemas["BackoffPlan"]["properties"]["excludedStatusCodes"]["items"] = {"type": "integer"}


def _enums_on_arrays(schemas: dict[str, Schema]) -> None:
    for schema in _within(schemas):
        if schema.get("type") == "array" and "enum" in schema:
            schema["items"] = {**(schema.get("items") or {}), "enum": schema.pop("enum")}


def _slashes(schemas: dict[str, Schema]) -> None:
    for schema in _within(schemas):
        if match := re.fullmatch(r"/(.*)/", str(schema.get("pattern", ""))):
            schema["pattern"] = match[1]


def _one_of(schemas: dict[str, Schema]) -> None:
    for schema in _within(schemas):
        if "oneOf" in schema:
            schema["anyOf"] = schema.pop("oneOf")


def _limits(schemas: dict[str, Schema]) -> None:
    schemas["Call"]["properties"]["subscriptionLimits"] = {"$ref": "#/$defs/SubscriptionLimits"}


_CALL = {
    "id": "019a",
    "orgId": "3f1c",
    "createdAt": "2026-08-18T15:04:05.120Z",
    "updatedAt": "2026-08-18T15:04:05.120Z",
}
_PLAN = {"type": "fixed", "maxRetries": 1, "baseDelaySeconds": 1}

CORRECTIONS = (
    Correction(
        "BackoffPlan.type",
        "said to be an object, with a list of strings that it may be",
        _backoff_type,
        "BackoffPlan",
        _PLAN,
    ),
    Correction(
        "BackoffPlan.excludedStatusCodes",
        "said to hold objects; a status code is a number",
        _excluded_codes,
        "BackoffPlan",
        _PLAN | {"excludedStatusCodes": [401]},
    ),
    Correction(
        "enums on arrays",
        "the list of what an array may hold stands at the array instead of at its items",
        _enums_on_arrays,
        "AssistantOverrides",
        {"serverMessages": ["hang"]},
    ),
    Correction(
        "patterns in slashes",
        "regular expressions are written as in JavaScript, and the slashes would have to match",
        _slashes,
        "OpenAIFunction",
        {"name": "book_slot"},
    ),
    Correction(
        "oneOf",
        "the members overlap, so that a right value is often two of them",
        _one_of,
        "DeepgramTranscriber",
        {"provider": "deepgram", "model": "nova-2"},
    ),
    Correction(
        "Call.subscriptionLimits",
        "told in the answer to creating a call, and missing from its schema",
        _limits,
        "Call",
        _CALL | {"subscriptionLimits": {"concurrencyBlocked": False}},
    ),
)
