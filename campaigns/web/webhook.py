"""Where Vapi posts what happens: verify the raw bytes, store once, answer. Applying comes later, elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from campaigns.errors import MalformedMessage, SetupError, Unauthenticated
from campaigns.pipeline import ingesting
from campaigns.pipeline.ingesting import Became
from campaigns.rules.definition import NAME
from campaigns.vapi.events import read_message, reply_to
from campaigns.web.counting import Counts
from campaigns.web.doors import Door, Doors
from campaigns.web.storing import Store

log = logging.getLogger(__name__)

LARGEST_BODY = 8 * 1024 * 1024  # a report carries the whole conversation and the assistant: rarely over 1 MB
MOST_HELD = 8 * LARGEST_BODY  # bytes of all bodies under way; parsed they take some times as much memory
ALWAYS_TAKEN = 64 * 1024  # bytes of one body: nine strangers who say nothing must not silence everybody who is proven
BODY_SECONDS = 15.0  # from the headers to the last byte; Vapi itself gives up after 20 s
QUICK_TO_READ = 256 * 1024  # bytes; parsing more would keep everybody else waiting for over 10 ms


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Bodies:
    """Reads bodies within limits: of size, of time, and of memory for all that are under way."""

    def __init__(self) -> None:
        self._held = 0

    @contextmanager
    def room(self) -> Iterator[bytearray]:
        """An empty body to read into; what it takes up counts until the block ends."""
        body = bytearray()
        try:
            yield body
        finally:
            self._held -= len(body)

    async def read(self, request: Request, body: bytearray) -> bytes:
        """The raw body. Raises `_Refused` at the first byte too many and at the last moment; no thread waits for it."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in request.stream():
                    body += piece
                    self._held += len(piece)
                    if len(body) > LARGEST_BODY:
                        raise _Refused(413, f"larger than {LARGEST_BODY} bytes")
                    if self._held > MOST_HELD and len(body) > ALWAYS_TAKEN:
                        raise _Refused(503, "too much at once: please send it again")
        except TimeoutError:
            raise _Refused(408, f"not sent within {BODY_SECONDS:g} s") from None
        except ClientDisconnect:
            raise _Refused(400, "the body ended early") from None  # nobody reads this; the sender sends again
        return bytes(body)


def route(doors: Doors, store: Store, counts: Counts) -> Route:
    """The webhook receiver. A plain route: there is nothing for a framework to validate before the sender is proven."""
    bodies = Bodies()

    async def receive(request: Request) -> Response:
        """Store one message of the account's organisation and answer it."""
        account: str = request.path_params["account"]
        if not NAME.fullmatch(account):
            return _refuse(404, "no such account")  # nor may it reach a log or the database
        with bodies.room() as room:
            try:
                body = await bodies.read(request, room)
                door = await doors.find(account)
                if door is None:
                    return _refuse(404, "no such account")
                return await _receive(door, request, body)
            except _Refused as refused:
                return _refuse(refused.status, str(refused))
            except Unauthenticated as problem:
                log.warning("webhook for account %s refused: %s", account, problem)
                return _refuse(401, str(problem))
            except MalformedMessage as problem:
                return _refuse(400, str(problem))
            except SetupError as problem:
                log.error("webhook for account %s cannot be checked: %s", account, problem)  # noqa: TRY400 - one line
                return _refuse(503, "the receiver is not set up to check this account's webhooks")
            except SQLAlchemyError as problem:
                log.error("webhook for account %s was not stored: %s", account, type(problem).__name__)  # noqa: TRY400 - no data
                return _refuse(503, "not stored: please send it again")

    async def _receive(door: Door, request: Request, body: bytes) -> Response:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.raw}
        try:
            message_id = door.check(headers=headers, body=body, url=door.url or str(request.url), now=doors.now())
        except Unauthenticated:
            counts.add(door.account_id, "", Became.REFUSED)
            raise
        if len(body) <= QUICK_TO_READ:
            message = read_message(body, message_id=message_id, with_ending=False)
        else:
            message = await run_in_threadpool(read_message, body, message_id=message_id, with_ending=False)
        stored = ingesting.informs(message)
        if stored:
            await store.keep(door.account_id, message)
        counts.add(door.account_id, message.type, Became.STORED if stored else Became.COUNTED)
        return JSONResponse(reply_to(message))

    return Route("/webhooks/vapi/{account}", receive, methods=["POST"])


def _refuse(status: int, why: str) -> Response:
    # Whoever was too slow would go on, on a connection that is kept.
    headers = {"connection": "close"} if status == 408 else None
    return JSONResponse({"error": why}, status_code=status, headers=headers)
