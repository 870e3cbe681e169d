"""Several processes in one terminal: started together, printed with their names, stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FrameType, TracebackType
from typing import IO, Self

from campaigns.errors import SetupError

STOP_SECONDS = 15.0  # a call that is being placed takes at most its read timeout to record; the rest stop in one
FAST_DEATH_SECONDS = 10.0  # a process that dies sooner than this after its start is not merely unlucky
FAST_DEATHS = 3  # so many in a row mean that it cannot run here at all
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


@dataclass(slots=True)
class _Member:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[str]
    started: float
    ends_at_once: bool = False
    """Whether nothing is lost where it is not asked to finish, as beat: a request to may come to nothing there."""
    fast_deaths: int = 0
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=15))


class Fleet:
    """Processes that live and die with the block. One that dies alone is started again, unless it cannot run."""

    def __init__(self, environment: Mapping[str, str], *, show: Callable[[str, str], None]) -> None:
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._show = show
        self._members: list[_Member] = []
        self._stopping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], *, ends_at_once: bool = False) -> None:
        """Start one more process; its output appears line by line under `name`."""
        process = self._spawn(command, ends_at_once=ends_at_once)
        member = _Member(name, command, process, time.monotonic(), ends_at_once)
        self._members.append(member)
        self._follow(member)

    def wait_for(self, name: str, text: str, *, seconds: float, stopped: Callable[[], bool] = lambda: False) -> None:
        """Return when process `name` has printed `text`, or as soon as `stopped` says so.

        Raises `SetupError` where it does not within `seconds`.
        """
        member = next(member for member in self._members if member.name == name)
        deadline = time.monotonic() + seconds
        while not stopped() and not any(text in line for line in list(member.last_lines)):
            if time.monotonic() > deadline:
                raise SetupError(f"{name} did not start within {seconds:g} s: {' / '.join(member.last_lines)}")
            self.look_after()
            time.sleep(0.05)

    def look_after(self) -> None:
        """Start again whatever died. Raises `SetupError` where a process cannot run, with its last words."""
        for member in self._members:
            code = member.process.poll()
            if code is None:
                continue
            lived = time.monotonic() - member.started
            member.fast_deaths = member.fast_deaths + 1 if lived < FAST_DEATH_SECONDS else 0
            if member.fast_deaths >= FAST_DEATHS:
                raise SetupError(f"{member.name} cannot run: {' / '.join(member.last_lines) or f'exit code {code}'}")
            self._show(member.name, f"stopped with exit code {code}: starting it again")
            member.process = self._spawn(member.command, ends_at_once=member.ends_at_once)
            member.started = time.monotonic()
            self._follow(member)

    def stop(self) -> None:
        """Ask all of them to finish, the last started first; end those that do not within fifteen seconds."""
        if self._stopping:
            return
        self._stopping = True
        for member in reversed(self._members):
            if member.process.poll() is None:
                member.process.send_signal(_last_signal(ends_at_once=member.ends_at_once))
        deadline = time.monotonic() + STOP_SECONDS
        for member in reversed(self._members):
            try:
                member.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._show(member.name, "did not stop in time and is killed")
                member.process.kill()
                member.process.wait()

    def _spawn(self, command: Sequence[str], *, ends_at_once: bool) -> subprocess.Popen[str]:
        # A session of its own: Ctrl-C reaches us alone, and we stop the others in order. Should we be killed, the
        # kernel tells them.
        return subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            # Started before any lock of ours could be held by a thread.
            preexec_fn=partial(_die_with_parent, _last_signal(ends_at_once=ends_at_once)),  # noqa: PLW1509
        )

    def _follow(self, member: _Member) -> None:
        output = member.process.stdout
        if output is not None:
            threading.Thread(target=self._read, args=(member, output), daemon=True).start()

    def _read(self, member: _Member, output: IO[str]) -> None:
        for line in output:
            text = line.rstrip()
            if text:
                member.last_lines.append(text)
                self._show(member.name, text)


def python(*arguments: str) -> list[str]:
    """A command that runs a module with this very Python."""
    return [sys.executable, "-m", *arguments]


def stop_on_signals() -> threading.Event:
    """An event that is set by Ctrl-C and by SIGTERM."""
    stopped = threading.Event()

    def _stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    return stopped


def _last_signal(*, ends_at_once: bool) -> signal.Signals:
    return signal.SIGKILL if ends_at_once else signal.SIGTERM


def _die_with_parent(last: signal.Signals) -> None:
    _libc.prctl(PR_SET_PDEATHSIG, last)
