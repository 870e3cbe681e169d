"""Campaigns, what is counted of them, and who changed what."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Numeric, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.models.base import Base, one_of, word
from campaigns.rules.campaign_state import CampaignState

TALLY_SLOTS = 8  # as many settlements as workers run at once can count without waiting for one row


class Campaign(Base):
    """A definition and its prospects. Every intent share-locks its row, so pause and cancel wait for open intents."""

    __tablename__ = "campaigns"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[CampaignState] = mapped_column(word(CampaignState))
    state_why: Mapped[str | None]
    definition: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("state", CampaignState), name="state"),
        Index(
            "ix_campaigns_active",
            "account_id",
            postgresql_where=text(one_of("state", frozenset({"scheduled", "running"}))),
        ),
    )


class Tally(Base):
    """Running counts of one campaign, kept in the transaction that changes what they count.

    Split over slots so that settlements do not queue behind one row; the sum over the slots is the figure.
    """

    __tablename__ = "tallies"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """`prospect:<state>`, `outcome:<class>` or `call:made`."""
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)


class Spending(Base):
    """What a campaign with a budget has spent and holds reserved, in US dollars.

    One row, so that one update says whether there is room for a call. It can be counted anew from the calls.
    """

    __tablename__ = "spending"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    spent: Mapped[Decimal] = mapped_column(Numeric(18, 6), server_default="0")
    reserved: Mapped[Decimal] = mapped_column(Numeric(18, 6), server_default="0")
    """For calls whose cost is not known yet: each at the most that it may cost."""
    day: Mapped[date]
    """The latest day in which money was reserved. It never goes back: the next two would begin at nothing again."""
    day_spent: Mapped[Decimal] = mapped_column(Numeric(18, 6), server_default="0")
    """Of what was reserved in that day, what came to be spent."""
    day_reserved: Mapped[Decimal] = mapped_column(Numeric(18, 6), server_default="0")


class RuleOverride(Base):
    """What an operator made of the calling rules of one place. Read with the facts of every decision."""

    __tablename__ = "rule_overrides"

    code: Mapped[str] = mapped_column(primary_key=True)
    """ISO 3166-1 or 3166-2, or EU."""
    row: Mapped[dict[str, Any]]
    """What the operator's file says of it."""
    who: Mapped[str]
    changed_at: Mapped[datetime]


class Change(Base):
    """The audit: who changed what, from what to what, and why."""

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str]
    what: Mapped[str]
    subject: Mapped[str]
    """`account:<name>`, `campaign:<name>`, `person:<id>`, `call:<id>`, `event:<id>`, `rule:<code>` or `database`."""
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    why: Mapped[str | None]

    __table_args__ = (Index("ix_changes_subject", "subject", "id"), Index("ix_changes_at", "at"))
