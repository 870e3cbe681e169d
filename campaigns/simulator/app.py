"""Routes, the bearer key, the rate limits, and the faults of answers."""

from __future__ import annotations

import asyncio
import hmac
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from campaigns.simulator import payloads
from campaigns.simulator.calls import PLAIN_ASSISTANT
from campaigns.simulator.exchange import Exchange
from campaigns.simulator.ledger import ledger
from campaigns.simulator.listing import newest_first, read_filter
from campaigns.simulator.rates import SlidingSecond
from campaigns.simulator.requests import Refusal, check
from campaigns.simulator.scenario import SimulatorError

Handler = Callable[[Request], Awaitable[Response]]

WRONG_KEY = (
    "Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa."  # Vapi's words
)


def create_app(exchange: Exchange) -> FastAPI:
    """The HTTP face of one exchange."""
    doors = _Doors(exchange)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        exchange.close()
        await exchange.delivery.close()

    app = FastAPI(title="A stand-in for Vapi", openapi_url=None, lifespan=lifespan)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPStatus.NOT_FOUND, _unrouted)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _unrouted)
    routes: list[tuple[str, str, Handler]] = [
        ("POST", "/call", doors.post_call),
        ("GET", "/call", doors.list_calls),
        ("GET", "/call/{id}", doors.get_call),
        ("POST", "/call/{id}/control", doors.control_call),
        ("GET", "/assistant/{id}", doors.get_assistant),
        ("GET", "/phone-number/{id}", doors.get_phone_number),
        ("GET", "/simulator/ledger", doors.get_ledger),
        ("GET", "/simulator/settings", doors.get_settings),
        ("POST", "/simulator/settings", doors.post_settings),
    ]
    for method, path, handler in routes:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return app


class _Doors:
    """One method per route."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._requests = SlidingSecond()
        self._posts = SlidingSecond()
        self._since = exchange.clock.now()

    async def post_call(self, request: Request) -> Response:
        """Create a call; the answer may be spoilt on purpose."""
        exchange = self._exchange
        try:
            self._admit(request)
            _within(self._posts, exchange.scenario.posts_per_second)
            body = check(await _json(request), exchange.scenario)
            call, fault = exchange.place(body, str(request.base_url).rstrip("/"))
        except Refusal as refusal:
            exchange.refused[refusal.status] += 1
            raise
        answer = JSONResponse(
            payloads.accepted(call, exchange.scenario, remaining=exchange.free_lines), HTTPStatus.CREATED
        )
        if fault == "accept_then_500":
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")
        if fault == "accept_then_reset":
            await _reset(request)
        if fault == "accept_then_hang":
            await self._hang(request)
        return answer

    async def list_calls(self, request: Request) -> Response:
        """List calls, newest first."""
        self._admit(request)
        wanted = read_filter(request.query_params)
        found = newest_first(reversed(self._exchange.calls.values()), wanted)
        return JSONResponse([payloads.call_object(call, self._exchange.scenario) for call in found])

    async def get_call(self, request: Request) -> Response:
        """One call as it is now."""
        self._admit(request)
        call = self._exchange.calls.get(request.path_params["id"])
        if call is None:
            raise _not_found()
        return JSONResponse(payloads.call_object(call, self._exchange.scenario))

    async def control_call(self, request: Request) -> Response:
        """End a live call. As at Vapi, the address is the secret: no key is asked for."""
        call = self._exchange.calls.get(request.path_params["id"])
        if call is None:
            raise _not_found()
        wish = await _json(request)
        if not isinstance(wish, dict) or wish.get("type") != "end-call":
            raise Refusal(HTTPStatus.BAD_REQUEST, 'the simulator understands {"type": "end-call"} only')
        if not self._exchange.hang_up(call):
            raise _not_found()  # nobody serves the address of a call that is over
        return JSONResponse({})

    async def get_assistant(self, request: Request) -> Response:
        """A saved assistant: any id while the scenario lists none."""
        self._admit(request)
        listed, wanted = self._exchange.scenario.assistants, request.path_params["id"]
        if listed and wanted not in listed:
            raise _not_found()
        fields = PLAIN_ASSISTANT | listed.get(wanted, {})
        return JSONResponse(payloads.assistant(wanted, fields, self._exchange.scenario, self._since))

    async def get_phone_number(self, request: Request) -> Response:
        """A phone number: any id while the scenario lists none."""
        self._admit(request)
        listed, wanted = self._exchange.scenario.phone_numbers, request.path_params["id"]
        if listed and wanted not in listed:
            raise _not_found()
        return JSONResponse(payloads.phone_number(wanted, self._exchange.scenario, self._since))

    async def get_ledger(self, request: Request) -> Response:
        """What really happened; `?calls=false` for the totals alone."""
        return JSONResponse(ledger(self._exchange, with_calls=request.query_params.get("calls") != "false"))

    async def get_settings(self, _: Request) -> Response:
        """The settings in force, without secrets."""
        return JSONResponse(self._exchange.scenario.public())

    async def post_settings(self, request: Request) -> Response:
        """Change settings while running."""
        changes = await _json(request)
        if not isinstance(changes, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the settings must be a JSON object with the keys of a scenario")
        try:
            self._exchange.change(changes)
        except SimulatorError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        return JSONResponse(self._exchange.scenario.public())

    async def _hang(self, request: Request) -> None:
        """Keep the caller waiting; break the connection if the process ends meanwhile."""
        try:
            await asyncio.wait_for(self._exchange.closing.wait(), self._exchange.scenario.post_faults.hang_seconds)
        except TimeoutError:
            return
        await _reset(request)

    def _admit(self, request: Request) -> None:
        """Let a request pass that has the key and keeps to the rate. Raises Refusal."""
        expected = f"Bearer {self._exchange.scenario.key}".encode()
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            raise Refusal(HTTPStatus.UNAUTHORIZED, WRONG_KEY)
        _within(self._requests, self._exchange.scenario.requests_per_second)


def _within(passed: SlidingSecond, limit: int | None) -> None:
    if passed.wait_before(limit, time.monotonic()) > 0:
        raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "Rate limit exceeded")


def _not_found() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "Not Found")


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the request body is not valid JSON") from error


async def _reset(request: Request) -> None:
    """Break the connection without a word: the caller sees a reset, not an orderly end."""
    transport: asyncio.Transport = request.scope["state"]["transport"]
    if transport.is_closing():
        return  # the caller was faster
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while not await request.is_disconnected():
        await asyncio.sleep(0)


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    later = {"retry-after": "1"} if error.status is HTTPStatus.TOO_MANY_REQUESTS else None  # the window is one second
    return JSONResponse(error.body(), error.status, headers=later)


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    refusal = Refusal(HTTPStatus(status), f"Cannot {request.method} {request.url.path}")
    return JSONResponse(refusal.body(), refusal.status)
