"""One process per data directory that owns both servers and leaves when no user is left.

It is nobody's child and in a session of its own, so that neither Ctrl-C nor the end of a terminal or of the command
that started it concerns it. It looks for users twenty times a second by trying to take their lock alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from campaigns.embedded import places
from campaigns.embedded.installing import Programs, can_reach, find_programs, root_place
from campaigns.embedded.postgres import Postgres
from campaigns.embedded.processes import reason, said, stop
from campaigns.embedded.valkey import Valkey
from campaigns.errors import ServerUnavailable, SetupError

LOOK_SECONDS = 0.05  # how long servers outlive their last user; a look costs microseconds
START_SECONDS = 80.0  # less than a user waits, so that the reason reaches it
RESTART_PAUSE_SECONDS = 0.5  # a server that cannot stay up must not keep the machine busy
HOME_FREE_SECONDS = 10.0  # the servers of a deleted data directory notice within LOOK_SECONDS, then stop
LOG_BYTES = 10_000_000  # a longer log is put aside at the next start, over the one put aside before

PORT_TAKEN = "Address already in use"
NOT_YET = "pre-existing shared memory block"  # backends of a killed Postgres are still on their way out

Server = Postgres | Valkey


def supervise(data_dir: Path) -> int:
    """Run both servers until no user is left; the exit code. Stdout gets one line: the addresses, or the problem."""
    desk = places.open_desk(data_dir)
    stop_asked = _stop_requests()
    users = _UsersLock(desk.users_lock)
    pair: Sequence[Server] = ()
    try:
        pair = _prepare(desk)
        _bring_up(pair, stop_asked)
        _announce(desk, pair)
        _answer(_addresses(pair))
        while not stop_asked() and not users.have_left():  # once they have, the lock is ours until we end
            time.sleep(LOOK_SECONDS)
            _keep_up(desk, pair, stop_asked)
    except SetupError as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - stderr is our log
        _answer({"problem": str(problem), "unavailable": isinstance(problem, ServerUnavailable)})
        return 1
    except Exception as problem:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
        traceback.print_exc()
        _answer({"problem": f"the embedded servers: {problem!r}; see {desk.log('supervisor')}", "unavailable": True})
        return 1
    finally:
        desk.running.unlink(missing_ok=True)
        stop([(server.process, server.stop_signals) for server in pair])
    return 0


class _UsersLock:
    """The lock that every user holds shared."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def have_left(self) -> bool:
        """Whether nobody uses the servers. If so the lock is now held by us, and nobody can begin to."""
        try:
            if not os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                return True
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except FileNotFoundError:  # somebody deleted the data directory below us
            return True
        return True


def _prepare(desk: places.Desk) -> tuple[Postgres, Valkey]:
    """Both servers, ready to start: programs found, what a crash left behind cleared, the cluster made."""
    for name in ("supervisor", "postgres", "valkey"):
        if desk.log(name).exists() and desk.log(name).stat().st_size > LOG_BYTES:
            desk.log(name).replace(desk.log(f"{name}.old"))
    programs = find_programs()
    home = _home(desk, programs)
    known = places.read_private(desk.secrets)
    passwords = known or {"postgres": secrets.token_urlsafe(24), "valkey": secrets.token_urlsafe(24)}
    postgres = Postgres(programs, home, desk.log("postgres"), passwords["postgres"])
    valkey = Valkey(programs, home, desk.log("valkey"), passwords["valkey"])
    postgres.end_orphan()
    valkey.end_orphan()
    if known is None:
        if postgres.cluster.exists():  # somebody removed the passwords but not the data
            postgres.set_password()
        places.write_private(desk.secrets, passwords)
    postgres.initialise()
    valkey.initialise()
    return postgres, valkey


def _home(desk: places.Desk, programs: Programs) -> Path:
    """Where the servers read and write: the desk, or a place that their user can reach. Ours as long as we live."""
    home = desk.path
    if programs.account.is_other:
        if desk.elsewhere.exists():
            home = Path(desk.elsewhere.read_text().strip())
            if not home.is_dir():
                raise SetupError(
                    f"the database of {desk.data_dir} was kept in {home}, which is gone: "
                    f"bring it back, or remove {desk.path} to begin with an empty one"
                )
        elif not (home / "postgres").exists() and not can_reach(programs.account, home):
            home = _home_elsewhere(desk, programs)
    # Not the supervisor's lock again: a data directory that was copied leads to the same home.
    if _lock_home(home) is None:  # never closed: it is ours until we end
        raise SetupError(f"the database in {home} is used through another copy of {desk.data_dir}; stop that first")
    return home


def _home_elsewhere(desk: places.Desk, programs: Programs) -> Path:
    name = hashlib.sha256(os.fsencode(desk.data_dir)).hexdigest()[:16]
    home = root_place(programs.account) / f"data-{name}"
    if home.exists():
        # Of a data directory that was here before and was deleted, or is not mounted today. Kept once, to be safe.
        lock = _lock_home(home)
        if lock is None:
            raise SetupError(f"the servers of an earlier {desk.data_dir} still run on {home}; try again")
        old = home.with_suffix(".old")
        if (home / "postgres").exists():
            shutil.rmtree(old, ignore_errors=True)
            home.rename(old)
        else:  # begun, and killed before it held anything
            shutil.rmtree(home)
        os.close(lock)
    home.mkdir()
    home.chmod(0o711)
    (home / "belongs-to").write_text(f"{desk.data_dir}\n")
    places.write_text(desk.elsewhere, f"{home}\n")
    return home


def _lock_home(home: Path) -> int | None:
    give_up = time.monotonic() + HOME_FREE_SECONDS
    while (lock := places.try_lock(home / "in-use.lock")) is None and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
    return lock


def _bring_up(servers: Sequence[Server], stop_asked: Callable[[], bool]) -> None:
    """Start all `servers` and return when they answer. A port once had is kept: users know it by now."""
    give_up = time.monotonic() + START_SECONDS
    log_before: dict[str, int] = {}
    keeps_port = {server.name for server in servers if server.port}

    def start(server: Server) -> None:
        if server.name not in keeps_port:
            server.port = _free_port()
        log_before[server.name] = server.log.stat().st_size if server.log.exists() else 0
        server.start()

    for server in servers:
        start(server)
    while waiting := [server for server in servers if not server.is_ready()]:
        if stop_asked():
            raise ServerUnavailable("the embedded servers were told to stop while they started")
        for server in waiting:
            if server.process is not None and server.process.poll() is not None:
                words = said(server.log, since=log_before[server.name])
                if PORT_TAKEN not in words and NOT_YET not in words:
                    raise ServerUnavailable(f"{server.name} does not start: {reason(words)}; its log is {server.log}")
                time.sleep(LOOK_SECONDS)
                start(server)
        if time.monotonic() > give_up:
            raise ServerUnavailable(
                f"{waiting[0].name} did not answer within {START_SECONDS:.0f} s; its log is {waiting[0].log}"
            )
        time.sleep(0.01)


def _keep_up(desk: places.Desk, servers: Sequence[Server], stop_asked: Callable[[], bool]) -> None:
    """Start again what was killed, where its users expect it."""
    ended = [server for server in servers if server.process is not None and server.process.poll() is not None]
    if ended:
        desk.running.unlink(missing_ok=True)
        time.sleep(RESTART_PAUSE_SECONDS)
        _bring_up(ended, stop_asked)
        _announce(desk, servers)


def _announce(desk: places.Desk, servers: Sequence[Server]) -> None:
    pids = {server.name: server.process.pid for server in servers if server.process is not None}
    places.write_private(desk.running, {"supervisor": os.getpid(), "pids": pids, **_addresses(servers)})


def _addresses(servers: Sequence[Server]) -> dict[str, str]:
    return {f"{'database' if isinstance(server, Postgres) else 'redis'}_url": server.url for server in servers}


def _answer(report: dict[str, Any]) -> None:
    """Tell whoever started us, once, and let go of the pipe to it."""
    with contextlib.suppress(BrokenPipeError):  # it has gone meanwhile
        os.write(1, json.dumps(report).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def _stop_requests() -> Callable[[], bool]:
    asked: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, remember)
    signal.signal(signal.SIGINT, remember)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return lambda: bool(asked)


def _free_port() -> int:
    """A loopback port that was free just now; taken by another in between, the server says so and gets the next."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
