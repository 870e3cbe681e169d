"""The listening socket and the process around it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from campaigns.simulator.app import create_app
from campaigns.simulator.clock import Clock, real_now
from campaigns.simulator.delivery import Delivery
from campaigns.simulator.exchange import Exchange
from campaigns.simulator.mistakes import SimulatorError
from campaigns.simulator.scenario import Scenario


class _ResettableProtocol(H11Protocol):
    """Hands the connection to the application, which must be able to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as its parent has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Leaves the signals to `_run`: uvicorn would raise them again after its shutdown, with a traceback."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(scenario: Scenario, clock: Clock, *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Answer requests until interrupted or terminated. Port 0 takes a free one.

    `announce` gets the address once requests are taken. Raises SimulatorError for a host that is not loopback
    or a port that cannot be had.
    """
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}"
    asyncio.run(_run(scenario, clock, listening, lambda: announce(f"simulator listening on {address}")))


def read_clock(origin: str | None, started: str | None, speed: float) -> Clock:
    """The clock that three options describe; left out, an end is now. Raises SimulatorError."""
    if not 0 < speed < float("inf"):
        raise SimulatorError(f"--speed {speed:g} cannot be; give a number above 0, such as 60")
    now = real_now()
    return Clock(origin=_moment("--origin", origin, now), started=_moment("--started", started, now), speed=speed)


def _moment(option: str, value: str | None, otherwise: datetime) -> datetime:
    if value is None:
        return otherwise
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SimulatorError(
            f"{option} {value!r} cannot be used; give an ISO 8601 moment with its offset, such as 2026-03-02T09:00:00Z"
        )
    return moment.astimezone(UTC)


def _listen(host: str, port: int) -> socket.socket:
    if host != "localhost" and not _is_loopback(host):
        raise SimulatorError(
            f"--host {host} would let others in; the simulator has no protection and listens on loopback only:"
            " give 127.0.0.1, ::1 or localhost"
        )
    if not 0 <= port <= 65535:
        raise SimulatorError(f"--port {port} cannot be; give a number from 0 (any free port) to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle off only then: without it each answer takes 40 ms longer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)  # a burst of callers must not be turned away before the loop gets to them
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise SimulatorError(f"port {port} on {host} is in use; stop what uses it or give another --port") from None
        raise SimulatorError(f"cannot listen on {host} port {port}: {error.strerror}; give another --port") from None
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _run(scenario: Scenario, clock: Clock, listening: socket.socket, ready: Callable[[], None]) -> None:
    exchange = Exchange(scenario, clock, Delivery(), new_id=lambda: str(uuid4()))
    config = uvicorn.Config(
        create_app(exchange),
        http=_ResettableProtocol,
        access_log=False,
        proxy_headers=False,
        log_level="error",
        timeout_graceful_shutdown=5,  # seconds; far more than any answer takes that is not meant to hang
    )
    server = _Server(config)

    def stop(number: int) -> None:
        exchange.closing.set()
        server.handle_exit(number, None)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    ready()
    await server.serve(sockets=[listening])
