"""Routes, and the faults of answers."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from campaigns.simulator import payloads
from campaigns.simulator.calls import PLAIN_ASSISTANT, Call, squad
from campaigns.simulator.control import control
from campaigns.simulator.exchange import Broken, Exchange, spoilt
from campaigns.simulator.faults import status_of
from campaigns.simulator.gate import Gate
from campaigns.simulator.ledger import ledger
from campaigns.simulator.listing import newest_first, read_filter
from campaigns.simulator.mistakes import SimulatorError
from campaigns.simulator.requests import Refusal, check

Handler = Callable[[Request], Awaitable[Response]]


def create_app(exchange: Exchange) -> FastAPI:
    """The HTTP face of one exchange."""
    doors = _Doors(exchange)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        exchange.close()
        await exchange.delivery.close()

    app = FastAPI(title="A stand-in for Vapi", openapi_url=None, lifespan=lifespan)
    app.add_exception_handler(Refusal, doors.refused)
    app.add_exception_handler(Broken, _broken)
    app.add_exception_handler(HTTPStatus.NOT_FOUND, _unrouted)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _unrouted)
    routes: list[tuple[str, str, Handler]] = [
        ("POST", "/call", doors.post_call),
        ("GET", "/call", doors.list_calls),
        ("GET", "/call/{id}", doors.get_call),
        ("POST", "/call/{id}/control", doors.control_call),
        ("GET", "/assistant/{id}", doors.get_assistant),
        ("GET", "/squad/{id}", doors.get_squad),
        ("GET", "/phone-number/{id}", doors.get_phone_number),
        ("GET", "/simulator/ledger", doors.get_ledger),
        ("GET", "/simulator/settings", doors.get_settings),
        ("POST", "/simulator/settings", doors.post_settings),
        ("DELETE", "/simulator/settings", doors.delete_settings),
    ]
    for method, path, handler in routes:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return app


class _Doors:
    """One method per route."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._gate = Gate(exchange.clock)
        self._since = exchange.clock.now()

    async def post_call(self, request: Request) -> Response:
        """Create a call; the answer may be spoilt on purpose."""
        exchange = self._exchange
        try:
            self._gate.admit_post(request, exchange.scenario)
            body = check(await _json(request), exchange.scenario, exchange.exists)
            call, fault = exchange.place(body, str(request.base_url).rstrip("/"))
        except Refusal as refusal:
            exchange.refused[refusal.status] += 1
            raise
        answer = JSONResponse(
            payloads.accepted(call, exchange.scenario, remaining=exchange.free_lines), HTTPStatus.CREATED
        )
        if call.early is not None:
            await asyncio.shield(call.early)
        if fault is not None:
            await self._spoil(fault, call)
        return answer

    async def list_calls(self, request: Request) -> Response:
        """List calls, newest first."""
        self._gate.admit(request, self._exchange.scenario)
        wanted = read_filter(request.query_params)
        found = newest_first(self._exchange.in_order, wanted, self._exchange.shown)
        return JSONResponse([payloads.call_object(call, self._exchange.scenario) for call in found])

    async def get_call(self, request: Request) -> Response:
        """One call as it is now."""
        self._gate.admit(request, self._exchange.scenario)
        call = self._exchange.found(request.path_params["id"])
        if call is None:
            raise _not_found()
        return JSONResponse(payloads.call_object(call, self._exchange.scenario))

    async def control_call(self, request: Request) -> Response:
        """Steer or end a live call. As at Vapi, the address is the secret: no key is asked for."""
        self._gate.weather(self._exchange.scenario)
        call = self._exchange.calls.get(request.path_params["id"])
        if call is None:
            raise _not_found()
        control(self._exchange, call, await _json(request))
        return JSONResponse({})

    async def get_assistant(self, request: Request) -> Response:
        """A saved assistant: any id while the scenario lists none."""
        wanted = self._existing("assistants", request)
        fields = PLAIN_ASSISTANT | self._exchange.scenario.assistants.get(wanted, {})
        return JSONResponse(payloads.saved(wanted, fields, self._exchange.scenario, self._since))

    async def get_squad(self, request: Request) -> Response:
        """A saved squad: any id while the scenario lists none."""
        wanted = self._existing("squads", request)
        fields = squad(wanted, self._exchange.scenario)
        return JSONResponse(payloads.saved(wanted, fields, self._exchange.scenario, self._since))

    async def get_phone_number(self, request: Request) -> Response:
        """A phone number: any id while the scenario lists none."""
        wanted = self._existing("phone_numbers", request)
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

    async def delete_settings(self, _: Request) -> Response:
        """Go back to the settings that the process started with."""
        self._exchange.reset()
        return JSONResponse(self._exchange.scenario.public())

    async def refused(self, _: Request, error: Exception) -> Response:
        """A Refusal as an answer."""
        if not isinstance(error, Refusal):
            raise error
        tells = error.status == HTTPStatus.TOO_MANY_REQUESTS and self._exchange.scenario.retry_after
        return JSONResponse(  # the window of a rate is one second
            error.body(), error.status, headers={"retry-after": "1"} if tells else None
        )

    async def _spoil(self, fault: str, call: Call) -> None:
        """Let the fault of an accepted POST happen; when this returns, the plain answer goes out."""
        status = status_of(fault)
        if status is not None:
            raise spoilt(status)
        if fault == "accept_then_reset":
            raise Broken
        wait = self._exchange.slowness(call) if fault == "slow" else self._exchange.scenario.post_faults.hang_seconds
        try:
            await asyncio.wait_for(self._exchange.closing.wait(), wait)
        except TimeoutError:
            return
        raise Broken  # the process ends

    def _existing(self, kind: str, request: Request) -> str:
        """The id in the path, if there is such a resource."""
        self._gate.admit(request, self._exchange.scenario)
        wanted: str = request.path_params["id"]
        if not self._exchange.exists(kind, wanted):
            raise _not_found()
        return wanted


def _not_found() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "Not Found")


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the request body is not valid JSON") from error


async def _broken(request: Request, _: Exception) -> Response:
    """Break the connection without a word: the caller sees a reset, not an orderly end."""
    transport: asyncio.Transport = request.scope["state"]["transport"]
    if not transport.is_closing():  # else the caller was faster
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        while not await request.is_disconnected():
            await asyncio.sleep(0)
    return Response()  # reaches nobody


async def _unrouted(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    refusal = Refusal(status, f"Cannot {request.method} {request.url.path}")
    return JSONResponse(refusal.body(), refusal.status)
