"""Senders that are too slow or too many take nothing from the others."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from campaigns.embedded import Servers
from campaigns.web.webhook import ALWAYS_TAKEN, LARGEST_BODY, MOST_HELD
from tests.processes import eventually
from tests.web.conftest import Web, message, running, signed, with_accounts

HELD = 1024 * 1024  # bytes, in place of MOST_HELD: a crowd of 9 MB takes a slow machine longer than it may take

SERVE = """
from campaigns.web import server, webhook
{limits}
from campaigns.settings import settings
from workers.asgi import app
server.serve(app, host="127.0.0.1", port=settings().port)
"""


@contextmanager
def limited(embedded: Servers, template: str, directory: Path, limits: str) -> Iterator[Web]:
    """The web process with other limits than it has."""
    with (
        with_accounts(embedded, template) as database,
        running(
            database, embedded.redis_url, directory, command=[sys.executable, "-c", SERVE.format(limits=limits)]
        ) as web,
    ):
        yield web


@pytest.fixture(scope="module")
def hurried(embedded: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """With limits of one second, or these tests would take half a minute."""
    limits = "webhook.BODY_SECONDS = server.HEADER_SECONDS = 1.0"
    with limited(embedded, template, tmp_path_factory.mktemp("web"), limits) as web:
        yield web


@pytest.fixture
def narrow(embedded: Servers, template: str, tmp_path: Path) -> Iterator[Web]:
    """With room for one megabyte, and patience."""
    with limited(embedded, template, tmp_path, f"webhook.MOST_HELD, webhook.BODY_SECONDS = {HELD}, 60.0") as web:
        yield web


def connected(web: Web) -> socket.socket:
    host, port = web.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head(length: int) -> bytes:
    return f"POST /webhooks/vapi/main HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()


def until_closed(connection: socket.socket, *, drip: bytes) -> bytes:
    """What the server says until it closes the connection, to a sender that goes on and on."""
    heard = b""
    connection.settimeout(0.1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection.sendall(drip)
            piece = connection.recv(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            return heard
        if not piece:
            return heard
        heard += piece
    pytest.fail(f"never closed; it said {heard!r}")


def test_a_body_that_drips_is_cut_off(hurried: Web) -> None:
    with connected(hurried) as connection:
        connection.sendall(head(6500))
        assert until_closed(connection, drip=b" ").startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"], ids=["the first", "a later one"])
def test_headers_that_drip_are_cut_off(hurried: Web, first: bytes) -> None:
    with connected(hurried) as connection:
        if first:
            connection.sendall(first)
            heard = b""
            while b"ok" not in heard:
                heard += connection.recv(4096)
        connection.sendall(b"POST /webhooks/vapi/main HTTP/1.1\r\nx-drip: ")
        assert until_closed(connection, drip=b"x") == b""


def test_slow_senders_do_not_keep_the_others_waiting(hurried: Web) -> None:
    with ExitStack() as stack:
        for _ in range(100):  # more than there are threads
            stack.enter_context(connected(hurried)).sendall(head(6500) + b"{")
        body = message("status-ringing", provider_id="quick")
        assert hurried.post(body, signed(body)).status_code == 200


def test_more_than_fits_into_memory_is_turned_away_and_later_accepted_and_what_is_small_is_taken(narrow: Web) -> None:
    assert MOST_HELD >= 8 * LARGEST_BODY
    size = HELD // 4
    with ExitStack() as stack:
        crowd = [stack.enter_context(connected(narrow)) for _ in range(5)]
        for connection in crowd:
            connection.sendall(head(size) + b" " * (size - 1))
        (unlucky, *more), _, _ = select.select(crowd, [], [], 20)
        assert not more
        assert unlucky.recv(4096).startswith(b"HTTP/1.1 503")
        small = message("status-ringing", provider_id="small")
        large = small + b" " * ALWAYS_TAKEN
        # What the others sent may still be on its way.
        eventually(lambda: narrow.post(large, signed(large)).status_code == 503, "a full receiver", seconds=20)
        assert narrow.post(small, signed(small)).status_code == 200
    eventually(lambda: narrow.post(large, signed(large)).status_code == 200, "room", seconds=20)
