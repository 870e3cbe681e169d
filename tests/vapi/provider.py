"""A provider of real HTTP over real sockets, which answers whatever a test tells it to: also wrongly, or not at all."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The first connection is 1."""


class Provider:
    """Answers each request with what `reply` makes of it: bytes as they go out, or None to break the connection."""

    def __init__(self, reply: Callable[[Asked], bytes | None]) -> None:
        self.asked: list[Asked] = []
        self.reply = reply
        self.send: Callable[[socket.socket, bytes], None] = lambda connection, answer: connection.sendall(answer)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ending = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def posts(self) -> int:
        return sum(asked.method == "POST" for asked in self.asked)

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection, number)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(0.05)
        with connection, suppress(OSError):
            while (asked := self._read(connection, number)) is not None:
                self.asked.append(asked)
                answer = self.reply(asked)
                if answer is None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                connection.settimeout(5)
                self.send(connection, answer)
                connection.settimeout(0.05)
                if b"connection: close" in answer.split(b"\r\n\r\n")[0].lower():
                    return

    def _read(self, connection: socket.socket, number: int) -> Asked | None:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._receive(connection)
            if piece is None:
                return None
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            piece = self._receive(connection)
            if piece is None:
                return None
            body += piece
        method, target, _ = first.split(" ")
        return Asked(method, target, headers, body, number)

    def _receive(self, connection: socket.socket) -> bytes | None:
        while not self.ending.is_set():
            try:
                return connection.recv(65536) or None
            except TimeoutError:
                continue
        return None


def answer(status: int, body: Any = None, **headers: str) -> bytes:
    """An answer as it goes over the wire: JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"content-length": str(len(content)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode() + content
