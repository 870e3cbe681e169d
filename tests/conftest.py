"""Real servers for every test: one PostgreSQL and one Valkey for the run, a migrated database to copy from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from xdist.scheduler import LoadScopeScheduling

from campaigns import db
from campaigns.cli.database import upgrade
from campaigns.embedded import Servers, servers
from tests import databases

ROOT = Path(__file__).parents[1]

# What the harness asserts is explained when it fails, as a test's own asserts are.
pytest.register_assert_rewrite("tests.harness", "tests.processes", "tests.journeys.promises")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole systems first: they wait more than they work, and nobody is to wait for the last of them alone."""
    items.sort(key=lambda item: not {"test_readme.py", "chaos", "journeys"} & set(item.path.parts))


class TogetherWhereShared(LoadScopeScheduling):
    """A process takes a module at a time, and all journeys that share a running system at once: it starts but once."""

    def _split_scope(self, nodeid: str) -> str:
        module = str(super()._split_scope(nodeid))
        shares = module.startswith("tests/journeys/") and "shared_system: " in (ROOT / module).read_text("utf-8")
        return "tests/journeys" if shares else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What `--dist loadscope` means here."""
    return TogetherWhereShared(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One PostgreSQL and one Valkey, started for this run."""
    data = tmp_path_factory.mktemp("servers")
    with servers(data) as running:
        yield running
    note = data / "servers" / "elsewhere"  # root keeps a database where its server's user can read it
    if note.exists():
        shutil.rmtree(note.read_text(encoding="utf-8").strip(), ignore_errors=True)


@pytest.fixture(scope="session")
def template(embedded: Servers) -> Iterator[str]:
    """The address of a database that was migrated to head."""
    with databases.database(embedded.database_url) as url:
        upgrade(url)
        db.engine(url).dispose()  # a database in use is not copied
        db.forget()
        yield url


@pytest.fixture(scope="session")
def copies(embedded: Servers, template: str) -> Callable[[], AbstractContextManager[str]]:
    """Makes databases of their own, each for as long as a block lasts."""
    return partial(databases.database, embedded.database_url, template=template)


@pytest.fixture
def database(copies: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A database of this test's own, for what must commit."""
    with copies() as url:
        yield url


@pytest.fixture(scope="session")
def _shared(copies: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    with copies() as url:
        yield url


@pytest.fixture
def session(_shared: str) -> Iterator[Session]:
    """A session whose changes are rolled back."""
    engine = db.connect(_shared, pool_size=1)
    with Session(engine, expire_on_commit=False) as opened:
        yield opened
        opened.rollback()
    engine.dispose()


@pytest.fixture
def now() -> datetime:
    """A Tuesday afternoon in winter: 15:00 UTC, 10:00 in New York, 07:00 in Los Angeles."""
    return datetime(2027, 3, 2, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("OUTBOUND_", "VAPI_", "DATABASE_URL", "REDIS_URL", "FLOWER_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
