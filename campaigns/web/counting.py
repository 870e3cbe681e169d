"""How much of what comes in: counted in memory, written every second."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from campaigns import clock, db
from campaigns.pipeline import ingesting

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0  # what a killed process may forget; a row for each message would double the work


class Counts:
    """Messages by account, type and what became of them."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._counts: Counter[ingesting.Counted] = Counter()

    def add(self, account_id: UUID, type_: str, became: ingesting.Became) -> None:
        """One more."""
        self._counts[ingesting.Counted(account_id, type_, became)] += 1

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write the counts every second while the block lasts, and once more at its end."""
        writer = asyncio.create_task(self._write_often())
        try:
            yield
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            await self._write()

    async def _write_often(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self._write()

    async def _write(self) -> None:
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await run_in_threadpool(self._store, counts)
        except SQLAlchemyError as problem:
            log.warning("counts of messages are kept for later: %s", type(problem).__name__)
            self._counts += counts

    def _store(self, counts: Counter[ingesting.Counted]) -> None:
        with db.transaction(self._database_url) as session:
            ingesting.count(session, counts, now=clock.read(session).now)
