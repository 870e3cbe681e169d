"""Stored before it is answered: messages that arrive while one transaction commits share the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from fastapi.concurrency import run_in_threadpool
from psycopg.errors import ProgramLimitExceeded
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection

from campaigns import clock, db
from campaigns.pipeline import ingesting
from campaigns.vapi.events import Message

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.005  # where many come, twice as many share a commit; as long as a commit takes or two
LARGEST_BATCH = 100  # messages; more make the first of them wait longer without saving the disk anything

Wake = Callable[[int], None]
"""Hints that the event of that id is stored. Never raises and never blocks for more than 100 ms."""

Pushed = tuple[UUID, Message]
"""The account's id, and what it was sent."""


class Store:
    """Stores messages for requests that wait for it.

    A commit is mostly waiting for the disk, which takes as long for one message as for fifty.
    """

    def __init__(self, database_url: str, wake: Wake) -> None:
        self._database_url = database_url
        self._wake = wake
        self._waiting: list[tuple[Pushed, asyncio.Future[None]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def keep(self, account_id: UUID, message: Message) -> None:
        """Return once the message is durable. Raises `SQLAlchemyError` where it is not."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(((account_id, message), done))
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_waiting())
        await done

    async def _store_waiting(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            try:
                problems = await run_in_threadpool(self._store, [pushed for pushed, _ in batch])
            except Exception as problem:  # noqa: BLE001 - whatever it is, somebody waits for an answer
                problems = [problem] * len(batch)
            for (_, done), outcome in zip(batch, problems, strict=True):
                if done.done():
                    continue  # whoever waited has gone
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)
        self._storing = None

    def _store(self, batch: Sequence[Pushed]) -> Sequence[Exception | None]:
        """For each message None, or why it is not stored."""
        try:
            with db.transaction(self._database_url) as session:
                moment = clock.read(session)
                new = ingesting.store_pushed(session, batch, now=moment.now, real=moment.real)
        except SQLAlchemyError as problem:
            if len(batch) == 1 or _is_away(problem):
                return [problem] * len(batch)
            middle = len(batch) // 2  # one of them is to blame: the others must not pay for it
            return [*self._store(batch[:middle]), *self._store(batch[middle:])]
        for event_id in new:
            self._wake(event_id)
        return [None] * len(batch)


def _is_away(problem: SQLAlchemyError) -> bool:
    """Whether the database is away or overloaded, as it would be for each half of a batch, too."""
    if isinstance(problem, DBAPIError) and isinstance(problem.orig, ProgramLimitExceeded):
        return False  # one message, or all of them together, are more than PostgreSQL takes: halves may fit
    return isinstance(problem, OperationalError | NoConnection)
