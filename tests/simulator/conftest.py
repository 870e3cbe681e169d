"""A simulator as a real process, and a real receiver of its webhooks."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx
import pytest

KEY = "simulator-key"
CREDENTIAL = "rehearsal-credential"
SECRET = "a-secret-for-rehearsals"  # noqa: S105 - protects nothing but this test
PATIENCE = 15  # seconds until a test gives up waiting; on an idle machine none waits a second

_numbers = itertools.count(2_000_000)


def eventually(ready: Callable[[], Any], what: str) -> Any:
    """What `ready` returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if result := ready():
            return result
        time.sleep(0.005)
    pytest.fail(f"not within {PATIENCE} s: {what}")


class Simulator:
    """A running simulator and a client that has its key."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "campaigns.simulator", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.url = line.split()[-1]
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.terminate()
        _, complaints = self.process.communicate(timeout=PATIENCE)
        assert complaints == ""
        assert self.process.returncode == 0

    def new_number(self) -> str:
        """A number that no other test calls."""
        return f"+1415{next(_numbers)}"

    def body(self, number: str | None = None, **more: Any) -> dict[str, Any]:
        """A request that is taken."""
        customer = {"number": number or self.new_number()} | more.pop("customer", {})
        return {"assistantId": "an-assistant", "phoneNumberId": "a-line", "customer": customer} | more

    def post(self, number: str | None = None, **more: Any) -> httpx.Response:
        """The answer to a `POST /call`."""
        return self.client.post("/call", json=self.body(number, **more))

    def place(self, number: str | None = None, **more: Any) -> dict[str, Any]:
        """A call that was accepted."""
        answer = self.post(number, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def get(self, call_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/call/{call_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finished(self, call_id: str) -> dict[str, Any]:
        """The call when post-processing is done."""
        return eventually(lambda: (call := self.get(call_id)) and "artifact" in call and call, f"{call_id} finished")

    def set(self, **changes: Any) -> None:
        answer = self.client.post("/simulator/settings", json=changes)
        assert answer.status_code == 200, answer.text

    def ledger(self) -> dict[str, Any]:
        return self.client.get("/simulator/ledger").json()

    def until_all_is_sent(self) -> dict[str, int]:
        """How webhooks fared, once none is on its way; only where no message is retried."""

        def settled() -> dict[str, int] | None:
            now = self.client.get("/simulator/ledger?calls=false").json()["totals"]["webhooks"]
            sent = now["messages"] - now.get("lost", 0) + now.get("doubled", 0)
            return now if now["delivered"] == sent else None

        return eventually(settled, "every message has been delivered")

    def entry(self, call_id: str) -> dict[str, Any]:
        """What the ledger says about one call."""
        return next(entry for entry in self.ledger()["calls"] if entry["id"] == call_id)


@dataclass(frozen=True)
class Received:
    """One webhook as it came over the wire."""

    path: str
    headers: dict[str, str]
    raw: bytes
    message: dict[str, Any] = field(repr=False)

    @property
    def label(self) -> str:
        return self.message.get("status") or self.message["type"]


class Receiver:
    """Keeps what it is sent, and answers 200 or what `reply` says."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.reply: Callable[[Received], int] = lambda _: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                webhook = Received(self.path, headers, raw, json.loads(raw)["message"])
                receiver.received.append(webhook)
                status = receiver.reply(webhook)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def server(self, **more: Any) -> dict[str, Any]:
        """The `server` of an assistant that reports here."""
        return {"url": f"http://127.0.0.1:{self._server.server_port}/hook", "credentialId": CREDENTIAL} | more

    def overrides(self, **more: Any) -> dict[str, Any]:
        """Overrides of an assistant that reports here what our product wants to hear."""
        wanted = ["status-update", "end-of-call-report", "hang"]
        return {"server": self.server(**more.pop("server", {})), "serverMessages": wanted} | more

    def about(self, call_id: str) -> list[Received]:
        return [webhook for webhook in self.received if webhook.message["call"]["id"] == call_id]

    def until(self, call_id: str, label: str, count: int = 1) -> list[Received]:
        """Everything received about a call, once `count` messages called `label` have come."""
        eventually(
            lambda: sum(webhook.label == label for webhook in self.about(call_id)) >= count,
            f"{count} x {label} about {call_id}",
        )
        return self.about(call_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="session")
def _shared_simulator() -> Iterator[Simulator]:
    with Simulator("--speed", "1000") as running:
        yield running


@pytest.fixture
def simulator(_shared_simulator: Simulator) -> Iterator[Simulator]:
    """The one that most tests share; settings are put back afterwards, calls stay."""
    _shared_simulator.set(concurrency=1000, credentials={CREDENTIAL: SECRET})
    yield _shared_simulator
    assert _shared_simulator.client.delete("/simulator/settings").json()["concurrency"] == 10


@pytest.fixture
def start() -> Iterator[Callable[..., Simulator]]:
    """Starts simulators of a test's own. They are killed: only the shared one takes the time to end well."""
    started: list[Simulator] = []

    def starter(*options: str) -> Simulator:
        started.append(Simulator(*options))
        return started[-1]

    yield starter
    for simulator in started:
        simulator.client.close()
        simulator.process.kill()
        simulator.process.communicate()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any], str], Any]:
    return eventually
