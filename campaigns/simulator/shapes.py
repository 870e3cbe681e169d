"""The shapes of what a request may say, and what Vapi says about everything else.

`data/shapes.json` holds the facts: one line for each object that `POST /call` may contain, in the words of JSON Schema
(`$ref` names another line, `oneOf` lists alternatives, no keywords means anything). They are those of Vapi's published
API description, with the properties and values that its SDK 3.0.0 knows besides, and its slips put right: enumerations
that stand at a list instead of its items, patterns in slashes, a back-off plan whose type is an object. The contents
of `credentials` are taken as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

_KINDS = ("provider", "type", "on", "role", "method", "do")
"""The properties that tell alternatives apart."""


@cache
def _shapes() -> dict[str, dict[str, Any]]:
    shapes: dict[str, dict[str, Any]] = json.loads((files(__package__) / "data" / "shapes.json").read_bytes())
    return shapes


def problems(value: object, shape: str, at: str = "") -> Iterator[str]:
    """Everything that Vapi would find wrong with `value` as a `shape`, in its words; `at` is where it stands."""
    yield from _against({"$ref": shape}, value, at)


def _against(rule: Mapping[str, Any], value: object, at: str) -> Iterator[str]:
    if "$ref" in rule:
        rule = _shapes()[rule["$ref"]] | {"type": "object"}
    if "oneOf" in rule:
        yield from _alternatives(rule["oneOf"], value, at)
        return
    match rule.get("type"):
        case "object":
            yield from _object(rule, value, at)
        case "array":
            yield from _array(rule, value, at)
        case "string":
            yield from _string(rule, value, at)
        case "number" | "integer":
            yield from _number(rule, value, at)
        case "boolean" if not isinstance(value, bool):
            yield f"{at} must be a boolean value"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{at} must be one of the following values: {', '.join(map(str, rule['enum']))}"


def _object(rule: Mapping[str, Any], value: object, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at} must be an object" if at else "the request body must be a JSON object"
        return
    known, others = rule.get("properties"), rule.get("additionalProperties")
    if known is None and not isinstance(others, Mapping):
        return  # anything, such as variable values
    inside = f"{at}." if at else ""
    for name, part in value.items():
        if known is not None and name in known:
            # An optional property that is null counts as left out.
            if part is not None or name in rule.get("required", ()):
                yield from _against(known[name], part, inside + name)
        elif isinstance(others, Mapping):
            yield from _against(others, part, inside + name)
        else:
            yield f"{inside}property {name} should not exist"
    for name in rule.get("required", ()):
        if name not in value:
            yield next(_against((known or {})[name], None, inside + name), f"{inside}{name} should not be empty")


def _array(rule: Mapping[str, Any], value: object, at: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{at} must be an array"
        return
    items = rule.get("items", {})
    if "enum" in items:
        if any(item not in items["enum"] for item in value):
            yield f"each value in {at} must be one of the following values: {', '.join(map(str, items['enum']))}"
        return
    for place, item in enumerate(value):
        yield from _against(items, item, f"{at}.{place}")


def _string(rule: Mapping[str, Any], value: object, at: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{at} must be a string"
        return
    if len(value) > rule.get("maxLength", len(value)):
        yield f"{at} must be shorter than or equal to {rule['maxLength']} characters"
    if len(value) < rule.get("minLength", 0):
        yield f"{at} must be longer than or equal to {rule['minLength']} characters"
    if "pattern" in rule and not re.search(rule["pattern"], value):
        yield f"{at} must match {rule['pattern']} regular expression"


def _number(rule: Mapping[str, Any], value: object, at: str) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{at} must be a number conforming to the specified constraints"
        return
    if value < rule.get("minimum", value):
        yield f"{at} must not be less than {rule['minimum']}"
    if value > rule.get("maximum", value):
        yield f"{at} must not be greater than {rule['maximum']}"


def _alternatives(rules: list[Mapping[str, Any]], value: object, at: str) -> Iterator[str]:
    """Nothing when one alternative fits; else what is wrong with the one that comes closest."""
    if isinstance(value, dict):
        named = [rule for rule in rules if _is_meant(rule, value)]
        kind = next((kind for kind in _KINDS if value.get(kind) is not None), None)
        if not named and kind is not None:
            values = dict.fromkeys(word for rule in rules for word in _words(rule, kind))
            named = [rule for rule in rules if not _words(rule, kind)]  # some leave open what they are called
            if values and not named:
                yield f"{at}.{kind} must be one of the following values: {', '.join(map(str, values))}"
                return
        rules = named or rules
    found = [list(_against(rule, value, at)) for rule in rules]
    yield from min(found, key=len)


def _words(rule: Mapping[str, Any], kind: str) -> list[Any]:
    """What an alternative allows its telling property `kind` to say; empty when it does not have it."""
    properties = _shapes()[rule["$ref"]].get("properties", {}) if "$ref" in rule else {}
    words: list[Any] = properties.get(kind, {}).get("enum", [])
    return words


def _is_meant(rule: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether `value` says that it is this alternative."""
    if "$ref" not in rule:
        return rule.get("type") == "object"
    told = [kind for kind in _KINDS if kind in value and _words(rule, kind)]
    return bool(told) and all(value[kind] in _words(rule, kind) for kind in told)
