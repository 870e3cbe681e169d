"""Which file is where, and the locks.

    DATA_DIR/runner.lock             held by `outbound up`
    DATA_DIR/servers/users.lock      held shared by every user; the supervisor takes it alone in order to leave
                     supervisor.lock held from before the supervisor starts until both servers have ended
                     running.json    addresses, there only while both servers answer
                     secrets.json    the two passwords
                     *.log           one per server and one of the supervisor
                     elsewhere       path of the home below, if it is not this directory
    HOME/postgres, HOME/valkey       what the servers themselves read and write

A lock is a `flock`: the kernel lets go of it when its holder dies, so that nothing has to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaigns.errors import SetupError

USE_OTHER_SERVERS = "set DATABASE_URL and REDIS_URL to servers of your own"


@dataclass(frozen=True, slots=True)
class Desk:
    """The directory in DATA_DIR in which users and supervisor of its servers meet."""

    data_dir: Path
    path: Path

    @property
    def users_lock(self) -> Path:
        """Held shared by every user."""
        return self.path / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the one supervisor."""
        return self.path / "supervisor.lock"

    @property
    def running(self) -> Path:
        """Addresses and supervisor, there only while both servers answer."""
        return self.path / "running.json"

    @property
    def secrets(self) -> Path:
        """The two passwords."""
        return self.path / "secrets.json"

    @property
    def elsewhere(self) -> Path:
        """Says where the home is, if the servers' user cannot reach this directory."""
        return self.path / "elsewhere"

    def log(self, name: str) -> Path:
        """The log of one server, or of the supervisor."""
        return self.path / f"{name}.log"


def has_servers(data_dir: Path) -> bool:
    """Whether servers of `data_dir` were ever started; nothing is made by looking."""
    return (data_dir / "servers" / "secrets.json").exists()


def open_data_dir(data_dir: Path) -> Path:
    """The real path of `data_dir`, made if it was missing."""
    with explained(data_dir):
        _make_directory(data_dir)
        return data_dir.resolve(strict=True)


def open_desk(data_dir: Path) -> Desk:
    """The desk of `data_dir`, made if it was missing; SetupError if it is another user's."""
    data_dir = open_data_dir(data_dir)
    desk = Desk(data_dir=data_dir, path=data_dir / "servers")
    with explained(data_dir):
        _make_directory(desk.path)
        if desk.path.stat().st_uid != os.geteuid():
            raise SetupError(
                f"{desk.path} belongs to another user (number {desk.path.stat().st_uid}): run as that user, "
                "or set OUTBOUND_DATA_DIR to another directory"
            )
    return desk


@contextmanager
def explained(data_dir: Path) -> Iterator[None]:
    """Turns a refusal of the file system into a SetupError that says what to do."""
    try:
        yield
    except OSError as problem:
        raise SetupError(
            f"cannot use {data_dir}: {problem.strerror}; set OUTBOUND_DATA_DIR to a directory that you can write"
        ) from problem


def _make_directory(path: Path) -> None:
    # Ours to choose, being new. As root the servers are another user, who must be able to walk through, not to look.
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """An open file descriptor that holds the lock, or None if somebody else does. Close it to let go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path, *, against_users: bool = False) -> bool:
    """Whether somebody holds the lock alone or, with `against_users`, in any way."""
    descriptor = try_lock(path, shared=not against_users)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def write_private(path: Path, content: dict[str, Any]) -> None:
    """`write_text` of `content` as JSON."""
    write_text(path, json.dumps(content))


def write_text(path: Path, content: str) -> None:
    """Replace `path` by what only its owner reads, whole or not at all, also if the power fails."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def read_private(path: Path) -> dict[str, Any] | None:
    """What `write_private` wrote, or None."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def sync_directory(path: Path) -> None:
    """Makes a rename in `path` last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
