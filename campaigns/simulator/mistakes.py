"""Mistakes in a scenario, told in words that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_SENTENCES = {
    "bool": "must be true or false",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite_number": "must be a number",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "dict": "must be a table",
    "model": "must be a table",
    "tuple": "must be a list in brackets",
    "missing": "is missing; it must be given",
    "too_long": "has too many values",
    "datetime": "must be a moment with its offset, such as 2026-03-02T09:00:00Z",
    "timezone": "must be a moment with its offset, such as 2026-03-02T09:00:00Z",
}
"""By how the kind of an error begins."""


class SimulatorError(Exception):
    """The simulator cannot start or cannot take a setting; the message names what is wrong and what is allowed."""


def in_our_words(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """One sentence for each mistake: the key, and what is allowed there."""
    return [_sentence(dict(problem), root) for problem in error.errors(include_url=False)]


def _sentence(problem: Mapping[str, Any], root: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "scenario"
    return f"{where}: {_allowed(problem, root)}"


def _allowed(problem: Mapping[str, Any], root: type[BaseModel]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"no such key; allowed here: {', '.join(_table_at(problem['loc'][:-1], root).model_fields)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "enum":
        return f"must be one of: {context['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    if kind == "greater_than_equal":
        return f"must be {context['ge']:g} or more"
    if kind == "less_than_equal":
        return f"must be {context['le']:g} or less"
    return next(
        (sentence for begin, sentence in _SENTENCES.items() if kind.startswith(begin)),
        "cannot be used; `outbound simulator --example` shows every key",
    )


def _table_at(location: tuple[int | str, ...], root: type[BaseModel]) -> type[BaseModel]:
    """The table that a location of a validation error lies in."""
    table = root
    for step in location:
        field = table.model_fields.get(str(step))
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        table = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), table)
    return table
