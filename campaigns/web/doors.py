"""Each account's door: how whoever posts to its URL has to prove who they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import ValidationError

from campaigns import clock, db
from campaigns.errors import InvalidDefinition, SetupError
from campaigns.pipeline import ingesting
from campaigns.rules.definition import AccountDefinition, BearerCheck, HmacCheck, WebhookCheck
from campaigns.settings import secret, secret_bytes, settings
from campaigns.vapi.signature import Bearer, Hmac, SharedSecret, Strategy, verify

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0  # a changed account is obeyed this soon; asking for each message would cost as much as storing it


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked of whoever posts to one account's URL."""

    account_id: UUID
    url: str | None
    """What the sender was told to call: behind a proxy, our own view of it is another one."""
    strategies: Sequence[Strategy]
    is_open: bool = False
    """Anybody may enter: a rehearsal that was told to be insecure."""
    problem: str | None = None
    """What is to be mended in the account or in this process's environment; without any strategy nobody is let in."""

    def check(self, *, headers: Mapping[str, str], body: bytes, url: str, now: datetime) -> str | None:
        """The sender's own id of the message, if one was signed. Raises `Unauthenticated` or `SetupError`."""
        if self.problem is not None and not self.strategies:
            raise SetupError(self.problem)
        if self.is_open:
            return None
        return verify(self.strategies, headers=headers, body=body, method="POST", url=url, now=now)


class Doors:
    """The doors of all accounts, read from the database at most once a second while messages come."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._doors: Mapping[str, Door] = {}
        self._read_at = float("-inf")
        self._real: datetime
        self._reading: asyncio.Task[None] | None = None

    async def find(self, account: str) -> Door | None:
        """The account's door; None where there is no such account. Raises what the database raises."""
        if account not in self._doors or time.monotonic() - self._read_at > FRESH_SECONDS:
            # However many ask at once, whatever they ask for: one query.
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        return self._doors.get(account)

    def now(self) -> datetime:
        """Real time by the database's clock, which all machines share. Known once a door was found."""
        return self._real + timedelta(seconds=time.monotonic() - self._read_at)

    async def _read(self) -> None:
        try:
            self._doors, self._real = await asyncio.to_thread(self._query)
            self._read_at = time.monotonic()
        finally:
            self._reading = None

    def _query(self) -> tuple[Mapping[str, Door], datetime]:
        with db.transaction(self._database_url) as session:
            rows = ingesting.accounts(session)
            real = clock.read(session).real
        doors = {name: _door(account_id, stored) for account_id, name, stored in rows}
        for name, door in doors.items():
            before = self._doors.get(name)
            if door.problem is not None and (before is None or before.problem != door.problem):
                log.error("the webhooks of account %s: %s", name, door.problem)
        return doors, real


def strategies(checks: Sequence[WebhookCheck]) -> list[Strategy]:
    """The account's checks with their secrets. Raises `SetupError` where the environment lacks one."""
    return [_strategy(check, check.secret_env) for check in checks]


def _usable(checks: Sequence[WebhookCheck]) -> list[Strategy]:
    """The same with the secrets that are there: one that is missing must not shut out whoever signs with another."""
    found: list[Strategy] = []
    for check in checks:
        known = []
        for name in check.secret_env:
            with suppress(SetupError):
                _strategy(check, [name])
                known.append(name)
        if known:
            found.append(_strategy(check, known))
    return found


def _strategy(check: WebhookCheck, names: Sequence[str]) -> Strategy:
    secrets = tuple(secret(name).encode() for name in names)
    if isinstance(check, HmacCheck):
        if check.secret_is_base64:
            secrets = tuple(secret_bytes(name) for name in names)
        return Hmac(
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
    if isinstance(check, BearerCheck):
        return Bearer(secrets=secrets, header=check.header, prefix=check.prefix)
    return SharedSecret(secrets=secrets, header=check.header)


def require_checks(database_url: str) -> None:
    """Raises `SetupError` where an account expects webhooks and this process could not tell who sends them.

    An account expects them if it has a `public_url` or any check. One that has neither runs by asking: whatever is
    posted to its URL is refused, and nothing has to be set.
    """
    with db.transaction(database_url) as session:
        rows = ingesting.accounts(session)
    for account_id, name, stored in rows:
        door = _door(account_id, stored)
        problem = door.problem
        if problem is None and door.url is not None and not (door.strategies or door.is_open):
            problem = "it has a public_url and no [[webhook]] check"
        if problem is not None:
            raise SetupError(
                f"nobody could tell who sends account {name}'s webhooks: {problem}. Mend that, or apply the account "
                "without public_url and [[webhook]] to ask for results instead"
            )


def _door(account_id: UUID, stored: Mapping[str, object]) -> Door:
    try:
        definition = AccountDefinition.model_validate(stored)
    except ValidationError:
        return Door(account_id, None, (), problem="its definition is of another version: apply it again")
    url = f"{definition.public_url}/webhooks/vapi/{definition.name}" if definition.public_url is not None else None
    insecure = definition.loopback and settings().insecure_webhooks
    try:
        found = strategies(definition.webhook)
    except InvalidDefinition as problem:
        return Door(account_id, url, (), is_open=insecure, problem=None if insecure else str(problem))
    except SetupError as problem:
        usable = _usable(definition.webhook)
        return Door(
            account_id, url, usable, is_open=insecure and not usable, problem=None if insecure else str(problem)
        )
    return Door(account_id, url, found, is_open=insecure and not found)
