"""Children that do not outlive the supervisor, and ending those of a supervisor that was killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns.errors import SetupError

STOP_SECONDS = 30.0  # normally 0.2; a busy database writes its last checkpoint, then it is ended the hard way
LINUX = platform.system() == "Linux"
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@dataclass(frozen=True, slots=True)
class Account:
    """The user that the servers run as: ourselves, or somebody without rights if we are root."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether starting a process as this user means to become another."""
        return self.uid != os.geteuid()


def spawn(
    command: Sequence[str],
    *,
    account: Account,
    log: Path,
    dies_with_us: signal.Signals,
    stdin: bytes = b"",
) -> subprocess.Popen[bytes]:
    """Start `command` as `account`, with what it says appended to `log` and `stdin` handed over.

    It inherits neither our environment nor our open files, locks above all. When we die it is sent `dies_with_us`
    (Linux; elsewhere the next supervisor finds it and ends it).
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - programs of the two wheels, arguments of our own making
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            preexec_fn=_dies_with(dies_with_us),  # noqa: PLW1509 - the supervisor has one thread
            umask=0o077,
            user=account.uid if account.is_other else None,
            group=account.gid if account.is_other else None,
            extra_groups=[] if account.is_other else None,
        )
    finally:
        os.close(output)
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which its exit code says better
            process.stdin.write(stdin)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    return process


def run(command: Sequence[str], *, purpose: str, account: Account, log: Path, stdin: bytes = b"") -> None:
    """Run `command` to its end like `spawn`; SetupError with its words if it fails at its `purpose`."""
    before = log.stat().st_size if log.exists() else 0
    with spawn(command, account=account, log=log, dies_with_us=signal.SIGKILL, stdin=stdin) as process:
        failed = process.wait()
    if failed:
        raise SetupError(f"cannot {purpose}: {reason(said(log, since=before))}; its log is {log}")


def said(log: Path, *, since: int) -> str:
    """What was added to `log` after its first `since` bytes."""
    with log.open("rb") as file:
        file.seek(since)
        return file.read().decode(errors="replace")


def reason(words: str) -> str:
    """The last line of a failed program's `words` that sounds like a reason."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    reasons = [line for line in lines if any(sign in line for sign in ("FATAL", "PANIC", "ERROR", "error:"))]
    return (reasons or lines or ["it said nothing"])[-1]


def stop(children: Sequence[tuple[subprocess.Popen[bytes] | None, Sequence[signal.Signals]]]) -> None:
    """End our children side by side, each by the first of its signals that it obeys, and wait for them."""
    started = [(process, signals) for process, signals in children if process is not None]
    for process, signals in started:
        process.send_signal(signals[0])
    for process, signals in started:
        for number in (*signals[1:], signal.SIGKILL):
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        process.wait()


def end_orphan(pid: int, *, directory: Path, signals: Sequence[signal.Signals]) -> None:
    """End what a killed supervisor left running on `directory`; nothing happens if `pid` is something else by now."""
    for number in (*signals, signal.SIGKILL):
        if not works_on(pid, directory):
            return
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, number)
        give_up = time.monotonic() + STOP_SECONDS
        while works_on(pid, directory) and time.monotonic() < give_up:
            time.sleep(0.02)


def works_on(pid: int, directory: Path) -> bool:
    """Whether `pid` is a running process with exactly `directory` among its arguments."""
    if LINUX:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(directory) in arguments
    listing = subprocess.run(["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603 - a number
    return f" {directory} " in f"{os.fsdecode(listing.stdout).strip()} "


def is_alive(pid: int) -> bool:
    """Whether there is a process `pid`, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _dies_with(number: signal.Signals) -> Callable[[], None] | None:
    """What a child does before it becomes its program: ask the kernel to be told of our death.

    Becoming another user forgets the request, so it is made here, where that has happened already.
    """
    if not LINUX:
        return None
    prctl = ctypes.CDLL(None).prctl
    supervisor = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)  # too late to be told

    return ask
