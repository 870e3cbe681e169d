"""Reports stored and acknowledged per second, beside an endpoint that inserts one row and one that only reads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from campaigns import clock, db
from campaigns.embedded import Servers
from campaigns.pipeline import defining
from campaigns.rules.definition import AccountDefinition
from tests.benchmarks.load import SECRET
from tests.benchmarks.results import Result

RECEIVER = "/webhooks/vapi/bench"
TARGETS = {"ours": RECEIVER, "one bare insert": "/peers/insert", "reading the body": "/peers/read"}
ROUNDS = 7  # of each target, in turns: what disturbs the machine hits all of them alike
SECONDS = 2.0  # of each turn
CONNECTIONS = 32  # enough to keep the server busy; Vapi delivers as many at once as calls end in one moment
PER_SECOND = 200.0  # reports a second: a thousand lines with calls of five seconds
OPEN_ROUNDS, OPEN_SECONDS = 3, 6.0
LIMIT_MS = 100.0  # Vapi waits 20 s; more than this at a fifth of the load means that something queues


def measure(servers: Servers, *, rounds: int = ROUNDS, seconds: float = SECONDS) -> list[Result]:
    """The rate and the 99th percentile of the time to the answer; medians over the rounds."""
    _add_account(servers.database_url)
    with _server(servers) as address, _sender() as send:
        rates: dict[str, list[float]] = {name: [] for name in TARGETS}
        slowest: list[float] = []
        for path in TARGETS.values():
            send({"address": address, "path": path, "seconds": min(1.0, seconds), "connections": CONNECTIONS})
        for turn in range(rounds):
            names = list(TARGETS)
            for name in names[turn % 3 :] + names[: turn % 3]:
                job = {"address": address, "path": TARGETS[name], "seconds": seconds, "connections": CONNECTIONS}
                rates[name].append(send(job)["per_second"])
            if turn < OPEN_ROUNDS:
                job = {"address": address, "path": RECEIVER, "seconds": OPEN_SECONDS, "per_second": PER_SECOND}
                times = send(job)["milliseconds"]
                slowest.append(times[int(len(times) * 0.99)])
    ours, *peers = (median(rates[name]) for name in TARGETS)
    return [
        Result("webhooks", "a second", "at_least", ours, dict(zip(list(TARGETS)[1:], peers, strict=True)), 1.0),
        Result("webhooks p99 at 200/s", "ms", "at_most", median(slowest), {"limit": LIMIT_MS}, 1.0),
    ]


def _add_account(database_url: str) -> None:
    definition = AccountDefinition.model_validate(
        {"name": "bench", "key_env": "BENCH_KEY", "webhook": [{"type": "hmac", "secret_env": ["BENCH_SECRET"]}]}
    )
    with db.transaction(database_url) as session:
        moment = clock.read(session)
        defining.apply_account(session, definition, who="bench", now=moment.now, real=moment.real)


@contextmanager
def _server(servers: Servers) -> Iterator[str]:
    """The address of the web process with the peers in it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).parents[2]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(root),
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "BENCH_SECRET": SECRET,
        "OUTBOUND_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.webhook_server"], env=environment)
    address = f"127.0.0.1:{port}"
    try:
        _until_ready(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"http://{address}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the web process did not become ready")


class _Sender:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, job: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("the sender of webhooks ended; its last words are above")
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def _sender() -> Iterator[_Sender]:
    command = [sys.executable, str(Path(__file__).with_name("load.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Sender(process)
        finally:
            process.terminate()
