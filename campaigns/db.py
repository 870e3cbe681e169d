"""Connections and transactions. The only module that commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import orjson
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.errors import ServerUnavailable, SetupError

LOCK_TIMEOUT_MS = 10_000  # every lock is held for milliseconds; ten seconds means something is wrong, so say so
STATEMENT_TIMEOUT_MS = 30_000  # no statement of a task takes a second; a bulk job sets its own
SILENT_SERVER_MS = 12_000  # its machine acknowledges within one second if it is there; Vapi waits 20 s for our answer
IDLE_TIMEOUT_MS = 60_000  # a worker that was suspended inside a transaction must not keep its locks


def connect(url: str, *, pool_size: int = 5) -> Engine:
    """An engine for `url` with bounded waits. Raises `SetupError` for anything but PostgreSQL."""
    address = make_url(url)
    if address.get_backend_name() != "postgresql":
        raise SetupError(f"DATABASE_URL names {address.get_backend_name()}; only postgresql is supported")
    return create_engine(
        address.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=True,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # an error must not carry a phone number into a log
        connect_args={
            "connect_timeout": 10,
            # A server that vanished without a word, as in a failover, would be waited for a quarter of an hour.
            "tcp_user_timeout": SILENT_SERVER_MS,
            "keepalives_idle": SILENT_SERVER_MS // 2000,
            "keepalives_interval": 2,
            "application_name": "outbound",
            "options": (
                f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
                f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS}"
            ),
        },
    )


@lru_cache(maxsize=4)
def engine(url: str) -> Engine:
    """This process's engine for `url`. A forked child must call `forget` first."""
    return connect(url)


def forget() -> None:
    """Drop inherited connections without closing the parent's sockets."""
    engine.cache_clear()


@contextmanager
def transaction(url: str) -> Iterator[Session]:
    """A session that commits at the end of the block, or rolls back if the block raises."""
    with Session(engine(url), expire_on_commit=False) as session, session.begin():
        yield session


def check(url: str) -> None:
    """Raises `ServerUnavailable` where nobody answers, `SetupError` where a commit would not be durable."""
    try:
        with engine(url).connect() as connection:
            durable = connection.execute(text("SHOW synchronous_commit")).scalar_one()
            fsync = connection.execute(text("SHOW fsync")).scalar_one()
    except OperationalError as problem:
        where = make_url(url).render_as_string(hide_password=True)
        first = str(problem.orig).strip().splitlines()[0]
        raise ServerUnavailable(f"PostgreSQL at {where} does not answer: {first}") from problem
    if durable == "off" or fsync == "off":
        raise SetupError(
            "PostgreSQL runs with synchronous_commit or fsync off: a crash could forget a call that was placed. "
            "Turn both on"
        )


@event.listens_for(Session, "before_commit")
def _count_last(session: Session) -> None:
    ledger.write_rulings(session)
    ledger.write_tallies(session)
