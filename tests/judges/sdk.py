"""Vapi's own Python SDK as a judge: its types read what we send and what the stand-in says, and name what they miss."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import vapi
from pydantic import BaseModel, TypeAdapter, ValidationError
from vapi.calls.client import CallsClient

from tests.judges.schema import MESSAGES

NOT_DECLARED = {("Call", "subscriptionLimits")}
"""What the SDK's classes lack although Vapi sends it."""


def problems_of_request(body: Mapping[str, Any]) -> list[str]:
    """What the SDK would not know or not take of a `POST /call`: it has no class for it, but typed parameters."""
    found = []
    for key, value in body.items():
        if key not in _parameters():
            found.append(f"$.{key}: no parameter of calls.create")
        else:
            found += _judged(_parameters()[key], value, f"$.{key}")
    return found


def problems_of_message(message: Mapping[str, Any]) -> list[str]:
    """What the SDK would not know or not take of a server message, read as the class that belongs to its type."""
    return _judged(TypeAdapter(getattr(vapi, MESSAGES[message["type"]])), message, "$")


def problems_of_call(call: Mapping[str, Any]) -> list[str]:
    """What the SDK would not know or not take of an answer about a call."""
    return _judged(TypeAdapter(vapi.Call), call, "$")


def ended_reasons() -> frozenset[str]:
    """Every reason that the SDK lists."""
    literal, *_ = typing.get_args(vapi.CallEndedReason)
    return frozenset(typing.get_args(literal))


def as_the_sdk_has_it(value: Any) -> Any:
    """A copy with back-off plans as the SDK wrongly types them: objects in place of the type and the status codes."""
    value = copy.deepcopy(value)
    for plan in _plans(value):
        if isinstance(plan.get("type"), str):
            plan["type"] = {}
        if "excludedStatusCodes" in plan:
            plan["excludedStatusCodes"] = [{} for code in plan["excludedStatusCodes"] if isinstance(code, int)]
    return value


def _plans(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("backoffPlan"), dict) and "baseDelaySeconds" in value["backoffPlan"]:
            yield value["backoffPlan"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _plans(item)


@cache
def _parameters() -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(CallsClient.create, include_extras=True)
    return {
        _camel(name): TypeAdapter(hint) for name, hint in hints.items() if name not in {"request_options", "return"}
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _judged(kind: TypeAdapter[Any], value: Any, at: str) -> list[str]:
    try:
        read = kind.validate_python(as_the_sdk_has_it(value))
    except ValidationError as error:
        return [f"{at}{_path(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
    return list(_strangers(read, at))


def _path(places: tuple[int | str, ...]) -> str:
    return "".join(f".{place}" for place in places)


def _strangers(read: Any, at: str) -> Iterator[str]:
    """The SDK's models take any key: those that no model declares are left over as extras."""
    if isinstance(read, BaseModel):
        for key in read.model_extra or {}:
            if (type(read).__name__, key) not in NOT_DECLARED:
                yield f"{at}.{key}: unknown to {type(read).__name__}"
        for name in type(read).model_fields:
            yield from _strangers(getattr(read, name), f"{at}.{name}")
    elif isinstance(read, list):
        for place, item in enumerate(read):
            yield from _strangers(item, f"{at}[{place}]")
