"""What the analysis extracts from a conversation: data that fits the schema and what the person wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from campaigns.simulator.chance import dice
from campaigns.simulator.clock import iso
from campaigns.simulator.scenario import Mood

DEFAULT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "interested": {"type": "boolean"},
        "callback_requested": {"type": "boolean"},
        "callback_at": {"type": ["string", "null"], "format": "date-time"},
        "do_not_call": {"type": "boolean"},
        "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
    },
}
"""What a saved assistant extracts when the scenario says no more about it."""

# Properties whose name says what they mean follow the conversation; the first pattern that fits decides.
_CALLBACK = re.compile(r"call_?back|call_?again|follow_?up", re.IGNORECASE)
_OPT_OUT = re.compile(r"do_?not_?call|dnc|opt(ed)?_?out|unsubscribe|stop_?calling|remove", re.IGNORECASE)
_INTEREST = re.compile(r"interest|confirmed|agreed|qualified|success|accept", re.IGNORECASE)
_SENTIMENT = {
    Mood.INTERESTED: "positive",
    Mood.CALLBACK: "neutral",
    Mood.NOT_INTERESTED: "neutral",
    Mood.OPT_OUT: "negative",
}
_WORDS = ("the blue one", "next month", "by email", "two rooms", "the annual plan", "a colleague decides", "no change")
_DEEPEST = 6  # schemas nest a level or two; deeper is a schema that contains itself


@dataclass(frozen=True, slots=True)
class Asked:
    """One conversation, as far as the answers depend on it."""

    seed: int
    number: str
    nth: int
    mood: Mood
    ended: datetime

    def dice_for(self, path: str) -> Random:
        """Dice of one property: another property more or less does not change them."""
        return dice(self.seed, self.number, self.nth, "answers", path)


def extract(schema: Mapping[str, Any] | None, asked: Asked) -> Any:
    """A value that fits `schema` (string, enum, number, integer, boolean, null, array, object, const, anyOf).

    Depends on the seed, the number and its count alone, save that a callback time lies after the end of the call.
    """
    return _value(DEFAULT_SCHEMA if schema is None else schema, asked, path="", depth=0)


def _value(schema: object, asked: Asked, *, path: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    name = path.rsplit(".", 1)[-1]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return _choice(list(schema["enum"]), asked, path)
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _value(schema[union][0], asked, path=path, depth=depth + 1)
    kinds = _kinds(schema)
    if "null" in kinds and _CALLBACK.search(name) and asked.mood is not Mood.CALLBACK:
        return None
    kind = next((kind for kind in kinds if kind != "null"), "null")
    if kind == "object":
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        return {
            key: _value(part, asked, path=f"{path}.{key}" if path else key, depth=depth + 1)
            for key, part in properties.items()
            if key in required or not _is_moot(key, part, asked)
        }
    if kind == "array":
        count = max(int(schema.get("minItems", 1)), 0)
        return [_value(schema.get("items"), asked, path=f"{path}.{item}", depth=depth + 1) for item in range(count)]
    if kind == "boolean":
        return _truth(name, asked, path)
    if kind in {"integer", "number"}:
        return _number(schema, asked, path, whole=kind == "integer")
    return _text(schema, asked, path) if kind == "string" else None


def _is_moot(name: str, schema: object, asked: Asked) -> bool:
    """Whether a text asks for the callback of somebody who wants none, and could not say so by null."""
    if not isinstance(schema, Mapping) or asked.mood is Mood.CALLBACK or schema.get("enum"):
        return False
    return _kinds(schema) == ["string"] and _CALLBACK.search(name) is not None


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if kind is None:
        return ["object"] if "properties" in schema else ["string"]
    return [kind] if isinstance(kind, str) else list(kind)


def _truth(name: str, asked: Asked, path: str) -> bool:
    for pattern, mood in ((_CALLBACK, Mood.CALLBACK), (_OPT_OUT, Mood.OPT_OUT), (_INTEREST, Mood.INTERESTED)):
        if pattern.search(name):
            return asked.mood is mood
    return asked.dice_for(path).random() < 0.5


def _choice(options: list[Any], asked: Asked, path: str) -> Any:
    """The option that says what the person wanted, if one does; else any."""
    wanted = {asked.mood.value, asked.mood.value.replace("_", ""), _SENTIMENT[asked.mood]}
    patterns = {Mood.CALLBACK: _CALLBACK, Mood.OPT_OUT: _OPT_OUT}
    for option in options:
        said = str(option).lower().replace("-", "_").replace(" ", "_")
        pattern = patterns.get(asked.mood)
        if said in wanted or (pattern is not None and pattern.search(said)):
            return option
    rest = [option for option in options if not any(pattern.search(str(option)) for pattern in (_CALLBACK, _OPT_OUT))]
    return asked.dice_for(path).choice(rest or options)


def _number(schema: Mapping[str, Any], asked: Asked, path: str, *, whole: bool) -> int | float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 10))
    least += (1 if whole else 0.01) if "exclusiveMinimum" in schema else 0
    most -= (1 if whole else 0.01) if "exclusiveMaximum" in schema else 0
    rng = asked.dice_for(path)
    return rng.randint(int(least), max(int(most), int(least))) if whole else round(rng.uniform(least, most), 2)


def _text(schema: Mapping[str, Any], asked: Asked, path: str) -> str:
    rng = asked.dice_for(path)
    form = schema.get("format")
    if form in {"date-time", "date"} or re.search(r"(_at|_time|_date|At|Time|Date)$", path):
        later = asked.ended + timedelta(hours=rng.randint(2, 48))
        later = later.replace(minute=rng.choice((0, 15, 30, 45)), second=0, microsecond=0)
        return later.date().isoformat() if form == "date" else iso(later)
    if form == "email":
        return "someone@example.com"
    text = rng.choice(_WORDS)
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text
