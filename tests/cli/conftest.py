"""The `outbound` command as people run it: a process of its own, in an empty directory, against a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from campaigns import db
from campaigns.embedded import Servers
from campaigns.models import Base
from tests import databases

ACCOUNT = """
name = "main"
base_url = "http://127.0.0.1:9"
key_env = "VAPI_API_KEY"
concurrency = 10
"""
CAMPAIGN = """
name = "spring"
account = "main"
assistant_id = "a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10"
phone_number_ids = ["number-1"]
windows = "Mon-Sun 09:00-20:00"
default_region = "US"

[consent]
source = "web form"
level = "written"
"""


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert (self.code, self.err) == (0, ""), self
        return json.loads(self.out)

    def wrong(self) -> str:
        """The one line that says what is wrong."""
        assert self.code != 0, self
        assert self.out == "", self
        assert self.err.count("\n") == 1, self
        assert self.err.startswith("outbound: "), self
        return self.err.removeprefix("outbound: ").rstrip("\n")


class Forks:
    """One process that has imported everything, from which commands are forked."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn = count()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=directory,
        )

    def run(self, arguments: Sequence[str], *, stdin: bytes, directory: Path, environment: dict[str, str]) -> Ran:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        turn = next(self._turn)
        files = {name: self._directory / f"{turn}.{name}" for name in ("stdin", "stdout", "stderr")}
        files["stdin"].write_bytes(stdin)
        wanted = {name: str(path) for name, path in files.items()}
        wanted |= {"arguments": arguments, "directory": str(directory), "environment": environment}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ran(tuple(arguments), code, files["stdout"].read_bytes().decode(), files["stderr"].read_bytes().decode())

    def stop(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait(60)  # an interpreter that has imported everything takes a while to end on a busy machine


class Outbound:
    """Runs commands in one directory with one environment."""

    def __init__(self, forks: Forks, directory: Path, **environment: str) -> None:
        self._forks = forks
        self.directory = directory
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), **environment}

    def __call__(self, *arguments: str, stdin: bytes = b"", **environment: str | None) -> Ran:
        values = {name: value for name, value in {**self.environment, **environment}.items() if value is not None}
        return self._forks.run(arguments, stdin=stdin, directory=self.directory, environment=values)

    def afresh(self, *arguments: str, **environment: str) -> Ran:
        """The same in an interpreter of its own, from the start."""
        done = subprocess.run(
            [sys.executable, "-m", "campaigns.cli.outbound", *arguments],
            capture_output=True,
            cwd=self.directory,
            env={**self.environment, **environment},
            timeout=60,
            check=False,
        )
        return Ran(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())

    def write(self, name: str, content: str | bytes) -> str:
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    started = Forks(tmp_path_factory.mktemp("commands"))
    yield started
    started.stop()


@pytest.fixture
def outbound(forks: Forks, database: str, tmp_path: Path) -> Outbound:
    """The command, with a database that has the tables and nothing in them."""
    return Outbound(forks, tmp_path, DATABASE_URL=database, VAPI_API_KEY="key of the tests")


@pytest.fixture
def empty_database(embedded: Servers) -> Iterator[str]:
    """The address of a database without tables."""
    with databases.database(embedded.database_url) as url:
        yield url


def execute(url: str, statement: str) -> None:
    """Run one statement by hand."""
    with psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        connection.execute(statement)  # type: ignore[arg-type] # psycopg wants literals


@pytest.fixture
def counts(database: str) -> Callable[[], dict[str, int]]:
    """How many rows each table has."""

    def read() -> dict[str, int]:
        with db.engine(database).connect() as connection:
            return {
                table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - our tables
                for table in Base.metadata.tables
            }

    return read
