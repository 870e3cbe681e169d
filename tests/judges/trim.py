"""`schemas.json`, made out of Vapi's published API description.

    python tests/judges/trim.py openapi.json > tests/judges/schemas.json

Keeps what our requests, the answers to them and the server messages reach, without prose and examples. Of the many
providers a few are kept; what is left out becomes `false`, which nothing satisfies: so it is noticed when it is needed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOTS = (
    "CreateCallDTO",
    "Call",
    "CallBatchResponse",
    *(
        f"ServerMessage{message}"
        for message in (
            "AssistantRequest",
            "CallArtifactUpload",
            "CallDeleted",
            "CampaignPredial",
            "ConversationUpdate",
            "EndOfCallReport",
            "Hang",
            "SpeechUpdate",
            "StatusUpdate",
            "ToolCalls",
            "Transcript",
            "TransferUpdate",
            "UserInterrupted",
        )
    ),
    *(f"ServerMessageResponse{answer}" for answer in ("AssistantRequest", "CampaignPredial", "ToolCalls")),
)

KEPT = {
    "OpenAIModel",
    "ElevenLabsVoice",
    "VapiVoice",
    "DeepgramTranscriber",
    "CreateEndCallToolDTO",
    "CreateFunctionToolDTO",
    "FunctionToolWithToolCall",
    "VapiVoicemailDetectionPlan",
    "GoogleVoicemailDetectionPlan",
    "OpenAIVoicemailDetectionPlan",
    "TwilioVoicemailDetectionPlan",
    "TwilioTransport",
    "CreateTwilioPhoneNumberDTO",
    "TransferDestinationNumber",
    "CreateOpenAICredentialDTO",
}
"""Of each family, the members that are judged."""

FAMILIES = re.compile(
    r"(Model|Voice|Transcriber|Tool|ToolDTO|ToolUserEditable|VoicemailDetectionPlan|Transport|PhoneNumber"
    r"|PhoneNumberDTO|DTOWithToolCall|ToolWithToolCall)$|^TransferDestination"
)

LEFT_OUT = re.compile(
    r"Workflow|Credential|^Fallback|KnowledgeBase|Hook|Handoff|^Chat|^Session|^Node|Scorecard|Eval|MessagePlan"
    r"|^CustomEndpointing|SmartEndpointing|Formatter|FormatPlan|^Google|Rejection|Condition|^Tool(Call|Message)Block"
    r"|VariableExtraction|RecordingConsentPlan|^Security|^SmartDenoising|^Fourier|^Monitor(Result|Plan)$|Langfuse"
    r"|^OpenAIWebChat|WarmTransfer|TransferPlan|TransferAssistant|^Keypad|SIPTransport|BackgroundSpeech"
    r"|PerformanceMetrics|TransportConfiguration|ObservabilityPlan|StructuredOutputDTO"
)

PROSE = {"description", "example", "examples", "title", "deprecated", "default", "discriminator"}
OPEN = {"endedReason"}
"""Open sets that are listed: the list is dropped, as a value not on it is no mistake."""

Schema = dict[str, Any]


def trimmed(schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The schemas that the roots reach, by name, in order of name."""
    kept: dict[str, Schema] = {}
    wanted = [root for root in ROOTS if root in schemas]
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = _bare(schemas[name])
            wanted += _named(kept[name])
    return dict(sorted(kept.items()))


def is_left_out(name: str) -> bool:
    """Whether a schema is none of those that are judged."""
    if name in KEPT or name in ROOTS:
        return False
    return bool(FAMILIES.search(name) or LEFT_OUT.search(name))


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return False if is_left_out(name) else {"$ref": f"#/$defs/{name}"}
    bare: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            bare[key] = {name: _property(name, part) for name, part in value.items()}
        elif key in {"oneOf", "anyOf"}:
            members = [member for member in map(_bare, value) if member is not False]
            if not members:
                return False
            bare[key] = members
        elif key not in PROSE:
            bare[key] = value if key in {"enum", "required"} else _bare(value)
    if len(bare.get("allOf", [])) == 1:  # a wrapper that only served to add prose
        (inner,) = bare.pop("allOf")
        bare = {**bare, **inner} if inner is not False else {}
        if not bare:
            return False
    if bare.pop("nullable", False):
        bare["type"] = [bare["type"], "null"]
        if "enum" in bare:
            bare["enum"] = [*bare["enum"], None]
    return bare


def _property(name: str, schema: Schema) -> Any:
    bare = _bare(schema)
    if name in OPEN and isinstance(bare, dict):
        bare.pop("enum", None)
    return bare


def _named(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from _named(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _named(item)


if __name__ == "__main__":
    description = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = [
        f"  {json.dumps(name)}: {json.dumps(schema, separators=(',', ':'), ensure_ascii=False)}"
        for name, schema in trimmed(description["components"]["schemas"]).items()
    ]
    sys.stdout.write('{"$defs": {\n' + ",\n".join(lines) + "\n}}\n")
