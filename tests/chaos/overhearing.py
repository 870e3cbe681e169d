"""Everything that is said to Redis while a case runs, kept in a file: hints with their arguments above all."""

from __future__ import annotations

import base64
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from tests.chaos.servers import PASSWORD, Servers

BODY = re.compile(rb'body\\*": ?\\*"([A-Za-z0-9+/=]+)')


class Overhearing:
    """Inside the block, listens; where Redis goes away it comes back."""

    def __init__(self, servers: Servers, file: Path) -> None:
        self._servers = servers
        self._file = file
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def said(self) -> Iterator[str]:
        """Line by line, with the bodies of messages decoded."""
        with self._file.open("rb") as file:
            for line in file:
                yield line.decode(errors="replace")
                for body in BODY.findall(line):
                    yield base64.b64decode(body).decode(errors="replace")

    def _listen(self) -> None:
        with self._file.open("wb") as file:
            while not self._done.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", self._servers.valkey.port), timeout=2) as connection:
                        connection.sendall(f"AUTH {PASSWORD}\r\nMONITOR\r\n".encode())
                        connection.settimeout(0.5)
                        self._keep(connection, file)
                except OSError:
                    self._done.wait(0.2)  # it is away

    def _keep(self, connection: socket.socket, file: BinaryIO) -> None:
        while not self._done.is_set():
            try:
                heard = connection.recv(1 << 16)
            except TimeoutError:
                continue
            if not heard:
                return
            file.write(heard)
