"""The rows of a list, whatever it was written as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson


class Row(NamedTuple):
    """One row: a cell for each column of the header and, where it cannot be used as it stands, why."""

    line: int
    """Of its first line in the file, from 1; of a spreadsheet, its row."""
    cells: Sequence[Any]
    """Text without surrounding space; what a list of JSON says may be anything that JSON has."""
    problem: str | None = None
    text: str | None = None
    """What the problem is about, where that is more than the cells show."""
    size: int = 0
    """Characters, about."""


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a list, each with a name of its own, and its rows one by one."""

    header: tuple[str, ...]
    rows: Iterator[Row]


def printable(text: str) -> str:
    """`text` without surrounding space, as the database can store it: what is no character becomes a mark."""
    if text.isascii() and "\x00" not in text:
        return text.strip()
    return text.strip().replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def own_names(header: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns, with one for each that has none, and another for each that repeats an earlier one."""
    names: dict[str, None] = {}
    taken = {name for name in header if name}
    turns: dict[str, int] = {}
    for place, name in enumerate(header, start=1):
        wanted = name or f"column {place}"
        turn = turns.get(wanted, 1)  # those before are taken
        own = wanted if turn == 1 else f"{wanted} {turn}"
        while own in names or (turn > 1 and own in taken):
            turn += 1
            own = f"{wanted} {turn}"
        turns[wanted] = turn
        names[own] = None
    return tuple(names)


def as_text(value: Any) -> str:
    """A cell as text; what JSON has beside text as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else printable(orjson.dumps(value).decode())
