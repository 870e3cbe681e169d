"""Tasks run here and now, on a database of the test's own, against whatever listens on loopback."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from campaigns.settings import settings
from workers.app import _client


class Silent(socketserver.ThreadingTCPServer):
    """A provider that reads what it is asked and hangs up without a word."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HangUp)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _HangUp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Silent)
        self.server.asked.append(self.request.recv(65_536).decode().splitlines()[0])


Server = TypeVar("Server", bound=socketserver.BaseServer)


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
