"""What stops the dialling of an account by itself: a key that is refused, a ledger that may have forgotten calls."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Select, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.ledger import US, lock_to_change, record
from campaigns.models import Account, Home

log = logging.getLogger(__name__)


def stop_account(session: Session, account_id: UUID, reason: str, *, now: datetime) -> None:
    """Claim nothing more for the account: its key or the account itself is refused."""
    (account,) = lock_to_change(session, Account, Account.id == account_id)
    if account.stop_reason is None:
        account.stop_reason = reason
        record(session, who="provider", what="stop", subject=f"account:{account.name}", now=now, why=reason)


@dataclass(frozen=True, slots=True)
class _Place:
    """Which database this is, as far as we may ask."""

    system_id: str | None
    timeline: int | None
    database_id: int


_WHAT = {"system_id": "another server", "timeline": "another timeline", "database_id": "another database"}


def moved(session: Session) -> str | None:
    """Why this is not the database that the ledger was used in before; None where it is, or where there was none.

    Then the ledger is an older copy of itself: it was restored, or a replica took over that had not received
    everything. Calls may have been placed that it does not know, so nothing may be claimed or sent.
    """
    home, here = _home_and_here(session)
    if home is None:
        return None
    known = _Place(home.system_id, home.timeline, home.database_id)
    differing = [what for name, what in _WHAT.items() if _differs(getattr(known, name), getattr(here, name))]
    if not differing:
        return None
    return (
        f"the ledger is in {' and '.join(differing)} than before: it was restored or failed over, and calls that were "
        "placed after the copy was made may be missing"
    )


def guard_home(session: Session, *, now: datetime) -> list[str]:
    """Freeze every account where the ledger has moved, and return the names of those that were not frozen before.

    A ledger that was never used remembers where it is. A plain restart of the server changes nothing.
    """
    reason = moved(session)
    if reason is None:
        _remember(session, now=now)
        return []
    frozen: list[str] = []
    accounts = lock_to_change(session, Account)
    if moved(session) is None:
        return frozen  # somebody said while we waited that it is at home here
    for account in accounts:
        if account.frozen_at is None:
            account.frozen_at, account.frozen_why = now, reason
            record(session, who=US, what="freeze", subject=f"account:{account.name}", now=now, why=reason)
            frozen.append(account.name)
    return sorted(frozen)


def accept_home(session: Session, *, who: str, why: str | None, now: datetime) -> None:
    """Let the ledger be at home where it is now: somebody has looked after the calls that it forgot."""
    home, place = _home_and_here(session)
    here = asdict(place)
    before = None if home is None else {name: getattr(home, name) for name in here}
    session.execute(
        insert(Home)
        .values(id=1, known_since=now, **here)
        .on_conflict_do_update(index_elements=[Home.id], set_={"known_since": now, **here})
    )
    record(session, who=who, what="accept", subject="database", before=before, after=here, now=now, why=why)


def _remember(session: Session, *, now: datetime) -> None:
    home, place = _home_and_here(session)
    here = asdict(place)
    if home is None:
        session.execute(insert(Home).values(id=1, known_since=now, **here).on_conflict_do_nothing())
        return
    for name, value in here.items():
        if getattr(home, name) is None and value is not None:
            setattr(home, name, value)  # we may ask now


def _differs(known: object, found: object) -> bool:
    return known is not None and found is not None and known != found


def _home_and_here(session: Session) -> tuple[Home | None, _Place]:
    """In one query: it is asked before every intent, in the transaction that commits it."""
    bind = session.get_bind()
    question = _question(bind if isinstance(bind, Engine) else bind.engine)
    row = session.execute(question.execution_options(populate_existing=True)).one()
    return row.Home, _Place(row.system_id, row.timeline, row.database_id)


_SYSTEM_ID = "(SELECT system_identifier::text FROM pg_control_system())"
# Of the log that is being written: the control file learns of a failover only at its first checkpoint.
_TIMELINE = """CASE WHEN NOT pg_is_in_recovery()
    THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END"""
_DATABASE_ID = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())"
_MAY_ASK = text("""
    SELECT has_function_privilege('pg_catalog.pg_control_system()', 'execute'),
           has_function_privilege('pg_catalog.pg_walfile_name(pg_lsn)', 'execute')
           AND has_function_privilege('pg_catalog.pg_current_wal_lsn()', 'execute')""")


@lru_cache(maxsize=8)
def _question(engine: Engine) -> Select[Any]:
    """The query for where we are, without what this user may not ask: that is said once in a process."""
    with engine.connect() as connection:
        system, log_name = connection.execute(_MAY_ASK).one()
    for allowed, what in ((system, "pg_control_system()"), (log_name, "pg_walfile_name(pg_current_wal_lsn())")):
        if not allowed:
            log.warning(
                "this database user may not ask %s, so a restore or a failover may go unnoticed: grant it, or say "
                "`outbound freeze` after one, before anything runs",
                what,
            )
    here = select(
        literal_column(_SYSTEM_ID if system else "NULL").label("system_id"),
        literal_column(_TIMELINE if log_name else "NULL").label("timeline"),
        literal_column(_DATABASE_ID).label("database_id"),
    ).subquery()
    return select(Home, *here.c).select_from(here).outerjoin(Home, Home.id == 1)
