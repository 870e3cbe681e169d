"""Answers to what Vapi asks of a server. None of it is served here yet, and the answers say so instead of failing:
for want of one, Vapi would wait out its time limit while a person is on the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from campaigns.vapi.endings import Json, mapping, text

_TOOL: Final = "This tool is not available. Carry on without it."  # read by the model, which needs a single line
_INBOUND: Final = "Sorry, this number does not take calls. Goodbye."  # spoken to whoever rang
_DESTINATION: Final = "No destination is available. Carry on with the conversation."
_ENDPOINTING: Final = (
    0.4  # seconds of silence that end a turn: the provider's own default, as there is no way to decline
)


def refusal(kind_of: str, message: Json) -> dict[str, Any]:
    """The JSON that declines a request of the type `kind_of`; empty for everything that expects no answer.

    A `voice-request` has no answer in JSON: it wants raw audio, and gets the empty object.
    """
    match kind_of:
        case "tool-calls":
            results = [{"toolCallId": call_id, "name": name, "error": _TOOL} for call_id, name in _tool_calls(message)]
            return {"results": results} if results else {"error": _TOOL}
        case "function-call":
            return {"result": _TOOL}
        case "assistant-request":
            return {"error": _INBOUND}
        case "transfer-destination-request" | "handoff-destination-request":
            return {"error": _DESTINATION}
        case "knowledge-base-request":
            return {"documents": []}
        case "call.endpointing.request":
            return {"timeoutSeconds": _ENDPOINTING}
        case "campaign.predial":
            return {"eligible": False}
        case _:
            return {}


def _tool_calls(message: Json) -> list[tuple[str, str]]:
    """Id and name of each tool call, in order, from the first list that holds any: Vapi may send the same in three."""
    for listed in ("toolCallList", "toolWithToolCallList", "toolCalls"):
        calls = list(_listed(message.get(listed)))
        if calls:
            return calls
    return []


def _listed(items: object) -> Iterator[tuple[str, str]]:
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict):
            continue
        call = mapping(item, "toolCall") or item
        call_id = text(call.get("id"))
        if call_id:
            names = (
                mapping(call, "function").get("name"),
                call.get("name"),
                mapping(item, "function").get("name"),
                item.get("name"),
            )
            yield call_id, next((name for name in map(text, names) if name), "unknown")
