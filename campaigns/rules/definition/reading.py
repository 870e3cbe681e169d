"""A file as it was written becomes a definition, or one line that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from campaigns.errors import InvalidDefinition
from campaigns.rules.definition.account import AccountDefinition
from campaigns.rules.definition.campaign import CampaignDefinition

Definition = TypeVar("Definition", AccountDefinition, CampaignDefinition)


def read_definition(kind: type[Definition], values: Mapping[str, Any], *, source: str) -> Definition:
    """The checked definition. Raises `InvalidDefinition` that names `source`, the key and what is allowed there."""
    other, foreign = ("a campaign", "account") if kind is AccountDefinition else ("an account", "key_env")
    if foreign in values:
        command = f"outbound {'campaign' if kind is AccountDefinition else 'accounts'} apply"
        raise InvalidDefinition(f"{source} describes {other}: apply it with `{command}`")
    try:
        return kind.model_validate(values)
    except ValidationError as problems:
        found = problems.errors(include_url=False)
        # A misspelt key before the key that is missing because of it.
        first = min(found, key=lambda problem: problem["type"] != "extra_forbidden")
        section, key = _place(kind, first["loc"])
        where = f"{source}: {key}" if key else source
        # A list whose only entry is wrong is also called too short.
        others = sum(problem["loc"] != first["loc"][: len(problem["loc"])] for problem in found)
        more = f" (and {others} more)" if others else ""
        raise InvalidDefinition(f"{where}: {_explain(section, first)}{more}") from problems


_FORMS = {
    "string_type": "write text, in quotes",
    "int_type": "write a whole number, without quotes",
    "float_type": "write a number, without quotes",
    "tuple_type": 'write a list in brackets, such as ["one", "two"]',
    "frozenset_type": 'write a list in brackets, such as ["one", "two"]',
    "too_short": "give at least one",
    "string_too_short": "must not be empty",
    "dict_type": "write a section of its own with key = value lines",
    "mapping_type": "write a section of its own with key = value lines",
    "model_type": "write a section of its own with key = value lines",
    "model_attributes_type": "write a section of its own with key = value lines",
    "datetime_from_date_parsing": "give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00",
    "datetime_parsing": "give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00",
}
"""What to write where pydantic only says what the value is not."""


def _explain(section: type[BaseModel], problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "extra_forbidden":
            allowed = sorted(section.model_fields)
            near = get_close_matches(str(problem["loc"][-1]).lower(), allowed, n=1)
            meant = f", did you mean {near[0]}?" if near else ";"
            return f"no such key{meant} allowed here: {', '.join(allowed)}"
        case "missing":
            return "is missing"
        case "union_tag_not_found" | "union_tag_invalid":
            return 'needs type = "hmac", "bearer" or "secret"'
        case known if known in _FORMS:
            return _FORMS[known]
        case _:
            message = str(problem["msg"]).removeprefix("Value error, ")
            return message[:1].lower() + message[1:]


def _place(kind: type[BaseModel], location: tuple[str | int, ...]) -> tuple[type[BaseModel], str]:
    """The section in which the last key of `location` stands, and that key as the reader of the file knows it."""
    section, inside, key = kind, {kind}, ""
    for part in location:
        if isinstance(part, int):
            key += f" #{part + 1}"
            continue
        holder = next((model for model in inside if part in model.model_fields), None)
        if holder is not None:
            section, inside = holder, _sections(holder.model_fields[part].annotation)
        elif chosen := {model for model in inside if part in get_args(_annotation(model, "type"))}:
            inside = chosen  # not a key of the file: pydantic names the kind of check that it took
            continue
        elif inside:
            section = next(iter(inside))
        key += f".{part}" if key else part
    return section, key


def _sections(annotation: Any) -> set[type[BaseModel]]:
    """The sections that an annotation mentions, however deep inside unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in get_args(annotation) for found in _sections(part)}


def _annotation(model: type[BaseModel], key: str) -> Any:
    field = model.model_fields.get(key)
    return field.annotation if field is not None else None
