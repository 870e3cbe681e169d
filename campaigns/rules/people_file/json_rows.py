"""JSON lines: one object to a line, its keys the columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

from campaigns.errors import InvalidList
from campaigns.rules.people_file.json_values import UnusableJson, read_row, stored
from campaigns.rules.people_file.rows import Row, Table, own_names, printable

LONGEST_LINE: Final = 1_048_576  # characters; a real row has thousands, and a file of one line must not fill the memory
MOST_COLUMNS: Final = 10_000  # a file whose keys are data has as many as people
"""Keys that differ, over all objects."""


def gather_keys(text: TextIO) -> list[str]:
    """Every key that an object of the file has, in the order in which they turn up.

    Raises `InvalidList` where no object has one, or where they never end.
    """
    keys: dict[str, None] = {}
    for _, found, _ in _objects(text):
        if isinstance(found, dict):
            keys.update(dict.fromkeys(found))
        if len(keys) > MOST_COLUMNS:
            raise InvalidList(f"the objects have more than {MOST_COLUMNS:,} different keys: name the columns by keys")
    if not keys:
        raise InvalidList("no line holds an object with keys: write one object to a line, with a key for the phone")
    return list(keys)


def read_json_rows(text: TextIO, keys: Sequence[str]) -> Table:
    """The objects of a file as rows with a cell for each of `keys`, one by one."""
    return Table(own_names([printable(key) for key in keys]), _rows(text, keys))


def _rows(text: TextIO, keys: Sequence[str]) -> Iterator[Row]:
    for line, found, written in _objects(text):
        match found:
            case dict():
                yield Row(line, [stored(found.get(key, "")) for key in keys], size=len(written))
            case str():
                yield Row(line, (), found, printable(written), len(written))
            case _:
                yield Row(line, (), "is not an object: write {...} on one line", printable(written), len(written))


def _objects(text: TextIO) -> Iterator[tuple[int, Any, str]]:
    """The value on each line that is not blank, or a sentence where there is none that can be read; and the line."""
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) >= LONGEST_LINE and line[-1] not in "\r\n":
            while (rest := text.readline(LONGEST_LINE)) and rest[-1] not in "\r\n":
                pass
            yield number, f"is a line of more than {LONGEST_LINE:,} characters", line
        elif not line.isspace():
            yield number, _value(line), line


def _value(line: str) -> Any:
    try:
        found = read_row(line)
    except UnusableJson as problem:
        return str(problem)
    return found if not isinstance(found, str) else [found]
