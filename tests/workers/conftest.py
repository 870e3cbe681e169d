"""Tasks run here and now, on a database of the test's own, against whatever listens on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar

import pytest

from campaigns.settings import settings
from workers.app import _client


class Asked(NamedTuple):
    """One request."""

    path: str
    body: Any


class Answering(ThreadingHTTPServer):
    """A provider that answers in JSON what `answer` says, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, asked: Asked) -> tuple[int, Any] | None:
        """Status and body; None: it reads what it is asked and hangs up without a word."""
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        assert isinstance(self.server, Answering)
        self.server.asked.append(f"{self.command} {self.path}")
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if (answer := self.server.answer(Asked(self.path, json.loads(sent or b"null")))) is None:
            self.close_connection = True
            return
        status, found = answer
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Silent(Answering):
    """A provider that never says a word."""

    def answer(self, asked: Asked) -> None:
        pass


Server = TypeVar("Server", bound=Answering)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, answering in a thread of its own until the end of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def silent_provider() -> Iterator[Silent]:
    with serving(Silent()) as server:
        yield server


@pytest.fixture
def working_database(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The database that tasks find in their environment, with a key for the provider."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("VAPI_API_KEY", "a-key")
    settings.cache_clear()
    _client.cache_clear()
    yield database
    settings.cache_clear()
    _client.cache_clear()
