"""One HTTP POST at a time over connections that are kept: small, because it is most of the work of a rehearsal."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import h11

KEEP_IDLE = 2  # seconds; shorter than the 5 that common servers keep, so that none is lost on a closing connection
_AT_ONCE = 65536  # bytes read at a time: a whole answer, save for odd ones


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: h11.Connection
    idle_since: float = 0

    def is_fresh(self) -> bool:
        return time.monotonic() - self.idle_since < KEEP_IDLE and not self.reader.at_eof()


class Sender:
    """POSTs to any number of servers. Must be used from one event loop."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], list[_Connection]] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises OSError, ValueError for a wrong URL, h11.ProtocolError."""
        parts = urlsplit(url)
        connection = await self._connected(parts)
        keep = False
        try:
            status = await _exchanged(connection, parts, headers, body)
            states = connection.protocol.states
            keep = states[h11.CLIENT] is h11.DONE and states[h11.SERVER] is h11.DONE
        finally:
            if not keep:
                connection.writer.close()
        if keep:
            connection.protocol.start_next_cycle()
            connection.idle_since = time.monotonic()
            self._idle.setdefault((parts.scheme, parts.netloc), []).append(connection)
        return status

    def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.writer.close()
        self._idle.clear()

    async def _connected(self, parts: SplitResult) -> _Connection:
        idle = self._idle.get((parts.scheme, parts.netloc), [])
        while idle:
            connection = idle.pop()
            if connection.is_fresh():
                return connection
            connection.writer.close()
        if not parts.hostname:
            raise ValueError(f"{parts.geturl()} names no host")
        secure = parts.scheme == "https"
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80), ssl=ssl.create_default_context() if secure else None
        )
        return _Connection(reader, writer, h11.Connection(h11.CLIENT))


async def _exchanged(connection: _Connection, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> int:
    protocol = connection.protocol
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {"host": parts.netloc.rpartition("@")[2], **headers, "content-length": str(len(body))}
    request = h11.Request(method="POST", target=target, headers=list(fields.items()))
    head, content = protocol.send(request), protocol.send(h11.Data(data=body))
    protocol.send(h11.EndOfMessage())
    connection.writer.write((head or b"") + (content or b""))
    status = 0
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await connection.reader.read(_AT_ONCE))  # nothing is the end, which it judges
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.EndOfMessage):
            return status
