"""Something that waits for a lock in a test, for as long as the test likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.orm import Session

from campaigns import db
from tests.processes import eventually

Result = TypeVar("Result")

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@contextmanager
def held_up(database: str, work: Callable[[], Result]) -> Iterator[Future[Result]]:
    """`work` in a thread, once it waits for a lock that the caller's transaction has; let go of it in the block."""
    before = _waiting(database)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)

        def waits() -> bool:
            if done.done():
                done.result()
            return _waiting(database) > before

        eventually(waits, "it waits for the lock")
        yield done


def _waiting(database: str) -> int:
    with db.transaction(database) as session:
        return session.execute(_WAITING).scalar_one()


def alone(database: str, work: Callable[[Session], Result]) -> Result:
    """What `work` returns, in a transaction of its own."""
    with db.transaction(database) as session:
        return work(session)
