"""Files that people hand us, and files that we hand them."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from campaigns.cli.output import counted, say, shown_path
from campaigns.errors import InvalidDefinition, InvalidInput


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises `InvalidDefinition` that says where it is wrong."""
    try:
        return tomllib.loads(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        raise InvalidDefinition(f"{path}: not UTF-8 text") from problem
    except tomllib.TOMLDecodeError as problem:
        raise InvalidDefinition(f"{path}: not valid TOML: {problem}") from problem


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises `InvalidInput` that says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as problem:
        raise InvalidInput(f"{path}: {(problem.strerror or 'cannot be read').lower()}") from problem


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file to write, which appears under its name only once the block has ended well: nobody finds half of it.

    Raises `InvalidInput` that says why it cannot be written.
    """
    try:
        with _whole(path) as file:
            yield file
    except OSError as problem:
        raise InvalidInput(f"{path}: {(problem.strerror or 'cannot be written').lower()}") from problem


def write_rows(output: Path | None, write: Callable[[TextIO], int]) -> None:
    """Have `write`, which returns how many, write rows to that file and say so; without one, to standard output."""
    if output is None or str(output) == "-":
        write(sys.stdout)
        return
    with whole_file(output) as file:
        rows = write(file)
    say(f"{counted(rows, 'row')} written to {shown_path(output)}")


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("w", encoding="utf-8", newline="") as file:  # a pipe or a device: nothing to rename
            yield file
        return
    if path.is_dir():
        raise IsADirectoryError(None, "is a directory", str(path))
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
