"""What may be said to a live call through its control URL."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from campaigns.simulator import shapes
from campaigns.simulator.calls import Call
from campaigns.simulator.exchange import HUNG_UP, SPOKEN, Exchange
from campaigns.simulator.requests import Refusal

_WISHES = ("say", "add-message", "control", "end-call", "transfer", "handoff")
_SWITCHES = ("mute-assistant", "unmute-assistant", "say-first-message")
_DESTINATIONS = {
    "number": "TransferDestinationNumber",
    "sip": "TransferDestinationSip",
    "assistant": "TransferDestinationAssistant",
}


def control(exchange: Exchange, call: Call, wish: object) -> None:
    """Do what `wish` says. Raises Refusal: 400 where it says nothing known, 404 once the call is over.

    A call ends, and is transferred; what else may be said is checked and changes nothing that was or will be told.
    """
    if not isinstance(wish, dict) or wish.get("type") not in _WISHES:
        raise Refusal(HTTPStatus.BAD_REQUEST, [f"type must be one of the following values: {', '.join(_WISHES)}"])
    found = list(_problems(wish))
    if found:
        raise Refusal(HTTPStatus.BAD_REQUEST, found)
    if call.ended is not None:
        raise Refusal(HTTPStatus.NOT_FOUND, "Not Found")  # nobody serves the address of a call that is over
    if wish["type"] == "end-call":
        exchange.end_now(call, HUNG_UP)
        return
    if call.status != "in-progress":
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the call is {call.status}: only a conversation can be steered")
    if wish["type"] == "say" and wish.get("endCallAfterSpoken"):
        exchange.end_now(call, SPOKEN)
    elif wish["type"] == "transfer":
        exchange.forward(call, wish["destination"])


def _problems(wish: dict[str, Any]) -> list[str]:
    kind = wish["type"]
    if kind == "say" and not isinstance(wish.get("content"), str):
        return ["content must be a string"]
    if kind == "add-message" and not isinstance(wish.get("message"), dict):
        return ["message must be an object"]
    if kind == "control" and wish.get("control") not in _SWITCHES:
        return [f"control must be one of the following values: {', '.join(_SWITCHES)}"]
    if kind not in {"transfer", "handoff"}:
        return []
    destination = wish.get("destination")
    if not isinstance(destination, dict):
        return ["destination must be an object"]
    shape = _DESTINATIONS.get(str(destination.get("type")))
    if kind == "handoff":
        return []
    if shape is None:
        return [f"destination.type must be one of the following values: {', '.join(_DESTINATIONS)}"]
    return list(shapes.problems(destination, shape, "destination"))
