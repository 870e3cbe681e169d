"""Running systems for journeys; see `tests/harness.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from campaigns import db
from campaigns.embedded import Servers
from tests.harness import System

SPEED = 60.0  # a simulated minute in a second: slow enough that two minutes before closing time are two real seconds


@pytest.fixture
def system(embedded: Servers, database: str, tmp_path: Path) -> Iterator[System]:
    """One of the journey's own. Nothing runs yet: it says what it needs with `start`."""
    with System(database, embedded.redis_url, tmp_path) as running:
        yield running


@pytest.fixture(scope="package")
def _shared_system(
    embedded: Servers, copies: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    with copies() as url, System(url, embedded.redis_url, tmp_path_factory.mktemp("system")) as running:
        running.start()
        yield running


@pytest.fixture
def shared_system(_shared_system: System) -> Iterator[System]:
    """Everything runs, at `SPEED`. For journeys that end no process: each has a simulator, account and campaign."""
    yield _shared_system
    _shared_system.check_processes()
    _shared_system.end_providers()
    db.engine(_shared_system.database_url).dispose()  # other tests forget engines, and an open one would complain
