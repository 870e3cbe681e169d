"""uvicorn, with limits for senders that are too many or too slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol
else:
    Protocol = AutoHTTPProtocol

HEADER_SECONDS = 10.0  # a request's headers fit into one packet or two
IDLE_SECONDS = 5  # a connection that is kept for the next request; uvicorn's own default
MOST_CONNECTIONS = 500  # the answer to more is 503; as many calls as end at once are far fewer


class Impatient(Protocol):
    """A connection that is cut when a request's headers are not there within `HEADER_SECONDS`.

    uvicorn itself waits for them for ever: whoever opened enough connections and sent a byte now and then would have
    them all.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to watch."""
        super().connection_made(transport)
        self._watch(self.cycle)

    def _watch(self, seen: object) -> None:
        self._look = self.loop.call_later(HEADER_SECONDS, self._look_again, seen)

    def _look_again(self, seen: object) -> None:
        between_requests = self.cycle is None or self.cycle.response_complete
        if between_requests and self.cycle is seen:
            self.transport.close()
        else:
            self._watch(self.cycle if between_requests else self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._look.cancel()
        super().connection_lost(exc)


def serve(app: Any, *, host: str, port: int) -> None:
    """Serve `app` until the process is told to end."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=Impatient,
        ws="none",
        timeout_keep_alive=IDLE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        access_log=False,
        log_level="warning",
    )
