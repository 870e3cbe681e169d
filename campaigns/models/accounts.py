"""The organisations that campaigns call through, and what is true of the whole database."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.models.base import Base


class Rehearsal(Base):
    """The one row that moves the campaign's clock and lets it run faster; no row: the clock is the database's own."""

    __tablename__ = "rehearsal"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    origin_at: Mapped[datetime]
    """The campaign's time at `started_at`."""
    started_at: Mapped[datetime]
    speed: Mapped[float] = mapped_column(Double)

    __table_args__ = (CheckConstraint("id = 1", name="one_row"), CheckConstraint("speed > 0", name="forwards"))


LOCK_REHEARSAL = "LOCK TABLE rehearsal IN SHARE ROW EXCLUSIVE MODE"
"""Taken by whoever begins a rehearsal and whoever applies a real account, so that one sees the other. Reads go on."""


class Home(Base):
    """The one row that says which database the ledger lives in: in another one it is an older copy of itself."""

    __tablename__ = "home"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    system_id: Mapped[str | None]
    """The server's own, given when it was created. NULL: we may not ask."""
    timeline: Mapped[int | None] = mapped_column(BigInteger)
    """Counted up by every failover and every recovery to a point in time. NULL: we may not ask."""
    database_id: Mapped[int] = mapped_column(BigInteger)
    """Another one for every database that a dump is loaded into."""
    known_since: Mapped[datetime]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class Heartbeat(Base):
    """When a periodic task last got through: nobody else would say that no worker or no beat runs, or that it fails."""

    __tablename__ = "heartbeats"

    task: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    """Real time."""


class Account(Base):
    """One Vapi organisation. Every intent share-locks its row, so a freeze waits for open intents."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    definition: Mapped[dict[str, Any]]
    frozen_at: Mapped[datetime | None]
    frozen_why: Mapped[str | None]
    stop_reason: Mapped[str | None]
    """Set when the provider refuses the key or the account: no call is claimed until it is cleared."""
    created_at: Mapped[datetime]


class Pace(Base):
    """An account's hot counters, apart from its row, which every intent share-locks."""

    __tablename__ = "pace"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    next_slot: Mapped[datetime]
    """Real time of the next send slot that is to be given out."""
    left_at: Mapped[datetime | None]
    """The turn of the latest request that left or is leaving: real time."""
    granted: Mapped[int | None]
    """Lines that the provider last said the account has in all, calls that come in included."""
    granted_at: Mapped[datetime | None]
    """Real time at which it said so."""
    ceiling: Mapped[int | None]
    """Lines that our calls may use, where the provider last refused one more; NULL: it refuses none."""
    ceiling_why: Mapped[str | None]
    rises_at: Mapped[datetime | None]
    """Real time at which the ceiling rises by one line, if nothing is refused until then."""
    backoff_until: Mapped[datetime | None]
    """Real time before which nothing is claimed or sent: the provider asked us to wait, or is away."""
    doubts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """How many requests in a row came to nothing: the provider did not say what became of them."""


class PhoneNumber(Base):
    """One caller number that an account may call from."""

    __tablename__ = "phone_numbers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    provider_id: Mapped[str]
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("account_id", "provider_id"),)
