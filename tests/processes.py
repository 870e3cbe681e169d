"""Real processes for tests: started with a log of their own, ended by their own id, waited for with patience."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 120.0  # seconds until something that must happen counts as not happening; an idle machine needs a few
KEY = "a-key-that-no-log-may-show"
SECRET = "a-secret-for-webhooks"  # noqa: S105 - protects nothing but this test
CREDENTIAL = "journey-credential"

NOT_OURS = ("OUTBOUND_", "VAPI_", "DATABASE_URL", "REDIS_URL", "FLOWER_")
"""Settings of whoever runs the tests."""

BRISK = {"dial": [0.5, 2], "ring": [3, 8], "no_answer": [6, 12], "busy": [1, 4], "talk": [8, 40], "voicemail": [5, 10]}
"""Simulated seconds: people who hurry, so that a campaign's length is ours and not theirs."""

CONTENT = {"interested": 1, "not_interested": 1}
"""What a person wants who answers: neither another call nor none ever again, unless a test is about these."""


class NotInTime(AssertionError):
    """Something that must happen did not."""


def eventually(
    ready: Callable[[], Any], what: str | Callable[[], str], *, seconds: float = PATIENCE, every: float = 0.15
) -> Any:
    """What `ready` returns once it is true. Raises `NotInTime`, saying `what` was waited for, after `seconds`.

    Asking costs what is waited for processor time: seldom enough, `every` so many seconds, that it does not show.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := ready():
            return result
        time.sleep(every)
    raise NotInTime(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, at whatever depth."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it ended while we looked
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def is_running(pid: int) -> bool:
    """Whether the process is there and more than a remnant that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Process:
    """One real process in a session of its own, with what it says kept in a file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def said(self) -> str:
        """What it has said since it was started."""
        return self.log.read_bytes()[self._said_before :].decode(errors="replace")

    def until_it_says(self, text: str) -> str:
        """The first line with `text` in it, as soon as it is there."""

        def line() -> str | None:
            assert self.exit_code is None or text in self.said(), f"{self.name} ended:\n{self.said()[-3000:]}"
            return next((line for line in self.said().splitlines() if text in line), None)

        return str(eventually(line, lambda: f"{self.name} says {text!r}; it said:\n{self.said()[-3000:]}"))

    def interrupt(self) -> None:
        """What Ctrl-C does to it."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask it to finish what it does and leave, as a deploy does."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = PATIENCE) -> int:
        return self._process.wait(seconds)

    def kill(self, *, children: bool = False) -> None:
        """End it without a word, as the kernel does when memory is short; with its children, as a power cut does."""
        if children:
            os.killpg(self.pid, signal.SIGKILL)  # its own session, so its own group
        else:
            self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Nothing of it runs afterwards, however it stands now."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Provider(Process):
    """A simulator process, and a client that has its key."""

    url: str
    client: httpx.Client

    def connect(self, **settings: Any) -> None:
        self.url = self.until_it_says("listening on").split()[-1]
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {KEY}"}, timeout=10, trust_env=False
        )
        plain = {"key": KEY, "credentials": {CREDENTIAL: SECRET}, "durations": BRISK, "moods": CONTENT}
        self.set(**plain | settings)

    def set(self, **changes: Any) -> None:
        """Change the scenario for what happens from now on."""
        answer = self.client.post("/simulator/settings", json=changes)
        assert answer.status_code == 200, answer.text

    def ledger(self) -> dict[str, Any]:
        """What really happened: `totals`, and every accepted POST as `calls`, oldest first."""
        found: dict[str, Any] = self.client.get("/simulator/ledger").json()
        return found

    def posts(self) -> int:
        """How many POSTs were accepted so far."""
        return int(self.client.get("/simulator/ledger?calls=false").json()["totals"]["accepted"])

    def call(self, provider_id: str) -> dict[str, Any]:
        """One call as the provider shows it: what we sent, and what became of it."""
        answer = self.client.get(f"/call/{provider_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def end(self) -> None:
        self.client.close()
        super().end()
