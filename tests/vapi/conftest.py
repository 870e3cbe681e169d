from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture
def recording() -> Callable[[str], Any]:
    """A recording by name, parsed, to read as an answer or to change before it is sent."""
    return lambda name: json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def pushed() -> Callable[[str], bytes]:
    """A recording by name, as bytes off the wire."""
    return lambda name: (RECORDINGS / f"{name}.json").read_bytes()
