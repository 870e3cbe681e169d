"""What JSON says, as the database can store it: whatever it cannot is told, and no number becomes another one."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from campaigns.rules.people_file.rows import printable

DEEPEST: Final = 20  # levels of lists and objects; whatever walks through them later has a limit of its own
EXACT: Final = 15  # digits that a number with a fraction keeps
LARGEST: Final = 1 << 53  # up to which every program that reads JSON knows the whole numbers

_PERHAPS_INEXACT: Final = re.compile(r"[0-9][eE][-+]?[0-9]|[0-9][0-9.]{15}")


class UnusableJson(Exception):
    """Text that cannot be used as JSON; the same few words for all that are alike."""


def read_json(text: str) -> Any:
    """The value that the text is. A whole number that is too large to be known exactly remains text, as written.

    Raises `UnusableJson`.
    """
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise UnusableJson("cannot be read as JSON") from None
    if text.count("[") + text.count("{") > DEEPEST and _is_deeper(found, DEEPEST):
        raise UnusableJson(f"holds objects or lists within one another, more than {DEEPEST} deep")
    return json.loads(text, parse_int=_whole) if _PERHAPS_INEXACT.search(text) else found


def read_row(text: str) -> Any:
    """The same of a row, whose cells shall not become others either where they have an exponent or many digits:
    4.9151E+12 is what a spreadsheet has left of a telephone number.

    Raises `UnusableJson`.
    """
    found = read_json(text)
    if not isinstance(found, dict) or not _PERHAPS_INEXACT.search(text):
        return found
    written = json.loads(text, parse_float=_fraction)
    return {key: written[key] if isinstance(value, float) else value for key, value in found.items()}


def stored(value: Any) -> Any:
    """The value with every text in it as the database can store it."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable(key): stored(inner) for key, inner in value.items()}
        case list():
            return [stored(inner) for inner in value]
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    match value:
        case dict():
            inner = list(value.values())
        case list():
            inner = value
        case _:
            return False
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _whole(written: str) -> int | str:
    return int(written) if len(written) <= len(str(-LARGEST)) and abs(int(written)) <= LARGEST else written


def _fraction(written: str) -> float | str:
    digits = sum(map(str.isdecimal, written))
    return written if digits > EXACT or "e" in written.lower() else float(written)
