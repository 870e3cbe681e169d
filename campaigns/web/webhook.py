"""Where Vapi posts what happens: verify the raw bytes, store once, answer. Applying comes later, elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from campaigns import clock, db
from campaigns.errors import InvalidDefinition, MalformedMessage, OutboundError, SetupError, Unauthenticated
from campaigns.pipeline import ingesting
from campaigns.rules.definition import AccountDefinition, BearerCheck, HmacCheck, WebhookCheck
from campaigns.settings import secret, settings
from campaigns.vapi.events import read_message, reply_to
from campaigns.vapi.signature import Bearer, Hmac, SharedSecret, Strategy, verify

log = logging.getLogger(__name__)

LARGEST_BODY = 8 * 1024 * 1024  # a report carries the whole conversation and the assistant: rarely over 1 MB
LARGEST_READ = 4 * LARGEST_BODY  # read on so far, or the sender is cut off before it can see why it was refused

Wake = Callable[[int], None]
"""Hints that the event of that id is stored. Never raises and never blocks for more than 100 ms."""


def router(database_url: str, wake: Wake) -> APIRouter:
    """The webhook receiver, storing into `database_url` and waking whoever applies events."""
    routes = APIRouter()

    @routes.post("/webhooks/vapi/{account}")
    async def receive(account: str, request: Request) -> Response:
        """Store one message of the account's organisation and answer it."""
        try:
            body = await _body(request)
        except ClientDisconnect:
            return _refuse(400, "the body ended early")  # nobody is there to read it; the sender sends again
        if body is None:
            return _refuse(413, f"larger than {LARGEST_BODY} bytes")
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await run_in_threadpool(_receive, database_url, wake, account, headers, body, str(request.url))

    return routes


def strategies(checks: tuple[WebhookCheck, ...]) -> list[Strategy]:
    """The account's checks with their secrets. Raises `SetupError` where the environment lacks one."""
    found: list[Strategy] = []
    for check in checks:
        secrets = tuple(secret(name).encode() for name in check.secret_env)
        if isinstance(check, HmacCheck):
            found.append(
                Hmac(
                    secrets=secrets,
                    algorithm=check.algorithm,
                    signature_header=check.signature_header,
                    timestamp_header=check.timestamp_header,
                    prefix=check.prefix,
                    encoding=check.encoding,
                    payload_format=check.payload_format,
                    tolerance=check.tolerance,
                    message_id_header=check.message_id_header,
                )
            )
        elif isinstance(check, BearerCheck):
            found.append(Bearer(secrets=secrets, header=check.header, prefix=check.prefix))
        else:
            found.append(SharedSecret(secrets=secrets, header=check.header))
    return found


def _receive(
    database_url: str, wake: Wake, account: str, headers: Mapping[str, str], body: bytes, url: str
) -> Response:
    try:
        with db.transaction(database_url) as session:
            found = ingesting.account_named(session, account)
            if found is None:
                return _refuse(404, "no such account")
            account_id, stored = found
            moment = clock.read(session)
            definition = AccountDefinition.model_validate(stored)
            message_id = None
            if definition.public_url is not None:
                # What the sender was told to call: behind a proxy, our own view of it is another one.
                url = f"{definition.public_url}/webhooks/vapi/{account}"
            if definition.webhook or not (definition.loopback and settings().insecure_webhooks):
                message_id = verify(
                    strategies(definition.webhook),
                    headers=headers,
                    body=body,
                    method="POST",
                    url=url,
                    now=moment.real,  # a signature is about the transport: a rehearsal does not age it faster
                )
            message = read_message(body, message_id=message_id)
            event_id = None
            if ingesting.informs(message):
                event_id, _ = ingesting.store(
                    session, account_id, message, learned="pushed", now=moment.now, real=moment.real
                )
    except Unauthenticated as problem:
        log.warning("webhook for account %s refused: %s", account, problem)
        return _refuse(401, str(problem))
    except MalformedMessage as problem:
        return _refuse(400, str(problem))
    except (SetupError, InvalidDefinition, ValidationError) as problem:
        why = problem if isinstance(problem, OutboundError) else "its definition is of another version"
        log.error("webhook for account %s cannot be checked: %s", account, why)  # noqa: TRY400 - one line is enough
        return _refuse(503, "the receiver is not set up to check this account's webhooks")
    except SQLAlchemyError as problem:
        log.error("webhook for account %s was not stored: %s", account, type(problem).__name__)  # noqa: TRY400 - no data
        return _refuse(503, "not stored: please send it again")
    if event_id is not None:
        wake(event_id)
    return JSONResponse(reply_to(message))


async def _body(request: Request) -> bytes | None:
    """The raw body; None where it is larger than allowed, of which nothing is kept."""
    body = bytearray()
    read = 0
    async for piece in request.stream():
        read += len(piece)
        if read > LARGEST_READ:
            return None
        if read <= LARGEST_BODY:
            body += piece
        else:
            body.clear()
    return bytes(body) if read <= LARGEST_BODY else None


def _refuse(status: int, why: str) -> Response:
    answer: dict[str, Any] = {"error": why}
    return JSONResponse(answer, status_code=status)
