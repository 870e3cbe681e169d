"""What a command does: hold the lock of the users, find the servers or start their supervisor.

Whoever holds `users.lock` shared can rely on it that no supervisor decides to leave: leaving takes that lock alone.
Whoever gets `supervisor.lock` starts the supervisor and hands it the lock itself, as an open file: it is never free in
between, so that of any number of commands that start together one starts the servers and the others wait for it.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from campaigns.embedded import places
from campaigns.embedded.processes import is_alive
from campaigns.errors import ServerUnavailable, SetupError

START_SECONDS = 90.0  # seconds are normal; a database that crashed while it was written to replays its log first
LEAVE_SECONDS = 10.0  # normally 0.3; afterwards the supervisor goes on alone
POLL_SECONDS = 0.03

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of one data directory answer, passwords included."""

    database_url: str
    redis_url: str


@contextmanager
def servers(data_dir: Path) -> Iterator[Servers]:
    """Running servers on `data_dir`, joined or started; they stop when their last user has left.

    A process forked (not: executed) inside the block counts as a user until it ends.
    Raises SetupError if this machine cannot run them, ServerUnavailable if they do not come up; both name the log.
    """
    desk = places.open_desk(data_dir)
    membership = _enter(desk)
    try:
        yield _join(desk)
    finally:
        os.close(membership)
        _wait_for_the_end(desk)


@contextmanager
def sole_runner(data_dir: Path) -> Iterator[None]:
    """The right to be the one `outbound up` on `data_dir`; SetupError if another process has it."""
    path = places.open_data_dir(data_dir) / "runner.lock"
    with places.explained(data_dir):
        lock = places.try_lock(path)
    if lock is None:
        holder = path.read_text().strip() or "unknown"
        raise SetupError(
            f"`outbound up` already runs on this data (process {holder}); stop it first, "
            "or set OUTBOUND_DATA_DIR to another directory"
        )
    try:
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(lock)


def _enter(desk: places.Desk) -> int:
    def enter() -> int | None:
        with places.explained(desk.data_dir):
            return places.try_lock(desk.users_lock, shared=True)

    membership = _poll(enter, seconds=START_SECONDS)  # refused only while the servers of earlier users stop
    if membership is None:
        raise ServerUnavailable(
            f"the embedded servers of {desk.data_dir} have been stopping for {START_SECONDS:.0f} s; "
            f"see {desk.log('supervisor')}"
        )
    return membership


def _join(desk: places.Desk) -> Servers:
    def join_or_start() -> Servers | None:
        found = places.read_private(desk.running)
        lock = places.try_lock(desk.supervisor_lock)
        if lock is not None:
            return _start(desk, lock)
        # Left behind by a killed supervisor, the addresses may be there while the next one is about to remove them.
        if found is not None and is_alive(int(found["supervisor"])):
            return _servers_of(found)
        return None

    with places.explained(desk.data_dir):
        joined = _poll(join_or_start, seconds=START_SECONDS)
    if joined is None:
        raise ServerUnavailable(_no_answer(desk))
    return joined


def _start(desk: places.Desk, lock: int) -> Servers:
    """Start the supervisor, hand it the lock and wait for its one line; SetupError with its words if it gives up."""
    try:
        log = os.open(desk.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            launcher = subprocess.Popen(  # noqa: S603 - this interpreter, this package
                [sys.executable, "-m", "campaigns.embedded", str(desk.data_dir), str(lock)],
                cwd=Path(__file__).parents[2],  # `-m` looks here first: the same code as ours, installed or not
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C in our terminal must not end the servers before we are done
            )
        finally:
            os.close(log)
    finally:
        os.close(lock)  # without unlocking: the supervisor's copy keeps it
    with launcher:  # it forks the supervisor and ends; the answer comes from the latter
        answer = _first_line(cast("IO[bytes]", launcher.stdout), seconds=START_SECONDS)
        if answer is None and launcher.poll() is None:
            launcher.kill()  # stuck before its fork; one that has forked has ended
    try:
        report = json.loads(answer or b"")
    except ValueError:
        raise ServerUnavailable(_no_answer(desk)) from None
    if "problem" in report:
        raise (ServerUnavailable if report["unavailable"] else SetupError)(report["problem"])
    return _servers_of(report)


def _wait_for_the_end(desk: places.Desk) -> None:
    """Return when the servers have ended or others use them: what follows a command finds nothing half stopped."""

    def is_over() -> bool | None:
        try:
            if places.is_locked(desk.users_lock, against_users=True) and not places.is_locked(desk.users_lock):
                return (
                    True  # shared, so by other users; the supervisor holds it alone from deciding to leave to its end
                )
            return None if places.is_locked(desk.supervisor_lock) else True
        except OSError:
            return True  # the directory is gone, or not ours any more

    _poll(is_over, seconds=LEAVE_SECONDS)


def _first_line(stream: IO[bytes], *, seconds: float) -> bytes | None:
    """The first line, what there was before the other side closed, or None if neither came in time."""
    received = b""
    give_up = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not received.endswith(b"\n"):
            if not selector.select(max(0.0, give_up - time.monotonic())):
                return None
            chunk = os.read(stream.fileno(), 65536)
            if not chunk:
                break
            received += chunk
    return received


def _poll(ask: Callable[[], T | None], *, seconds: float) -> T | None:
    give_up = time.monotonic() + seconds
    while (answer := ask()) is None and time.monotonic() < give_up:
        time.sleep(POLL_SECONDS)
    return answer


def _servers_of(report: dict[str, Any]) -> Servers:
    return Servers(database_url=report["database_url"], redis_url=report["redis_url"])


def _no_answer(desk: places.Desk) -> str:
    return (
        f"the embedded servers of {desk.data_dir} did not come up; see {desk.log('supervisor')} "
        f"and {desk.log('postgres').name} beside it, or {places.USE_OTHER_SERVERS}"
    )
