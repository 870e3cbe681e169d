"""Reading the files that people hand us."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

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
