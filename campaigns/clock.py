"""The time: the database's own, or a rehearsal's that started elsewhere and runs faster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.models import LOCK_REHEARSAL, Account, Rehearsal
from campaigns.rules.definition import AccountDefinition


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of the clock."""

    now: datetime
    """The campaign's time: windows, due times and everything that people read follow it."""
    real: datetime
    """Leases, send slots and quiet periods follow this one."""
    speed: float
    """Campaign seconds per real second; 1.0 unless it is a rehearsal."""


_READ = (
    select(
        func.clock_timestamp(type_=TIMESTAMP(timezone=True)).label("real"),
        Rehearsal.origin_at,
        Rehearsal.started_at,
        Rehearsal.speed,
    )
    .select_from(select(literal_column("1")).subquery())
    .outerjoin(Rehearsal, Rehearsal.id == 1)
)


def read(session: Session) -> Moment:
    """The time by the database's clock, so that every machine agrees; read it once in a transaction."""
    row = session.execute(_READ).one()
    if row.speed is None:
        return Moment(now=row.real, real=row.real, speed=1.0)
    return Moment(now=row.origin_at + (row.real - row.started_at) * row.speed, real=row.real, speed=row.speed)


def rehearse(session: Session, *, origin_at: datetime, speed: float, started_at: datetime | None = None) -> datetime:
    """Let the clock be `origin_at` at the real instant `started_at` (now), and run at `speed`; returns that instant.

    Refused with `NotAllowed` unless every account talks to a stand-in on this machine: no real person may be called
    by a clock that is not the real one.
    """
    session.execute(text(LOCK_REHEARSAL))
    for account in session.scalars(select(Account)):
        definition = AccountDefinition.model_validate(account.definition)
        if not definition.loopback:
            raise NotAllowed(f"account {account.name} talks to {definition.base_url}: a rehearsal needs a stand-in")
    session.execute(delete(Rehearsal))
    if started_at is None:
        started_at = session.execute(select(func.clock_timestamp(type_=TIMESTAMP(timezone=True)))).scalar_one()
    session.add(Rehearsal(id=1, origin_at=origin_at, started_at=started_at, speed=speed))
    return started_at
