"""Calls, what is heard of them, and what they came to."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.models.base import Base, one_of, word
from campaigns.rules.call_state import HOLDS_LINE, HOLDS_PERSON, CallState
from campaigns.rules.outcome import OutcomeClass

_HOLDS_PERSON = text(one_of("state", HOLDS_PERSON))


class Call(Base):
    """One attempt to reach one prospect: at most one `POST /call`."""

    __tablename__ = "calls"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    prospect_id: Mapped[int] = mapped_column(ForeignKey("prospects.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    phone_number_id: Mapped[UUID] = mapped_column(ForeignKey("phone_numbers.id"))
    state: Mapped[CallState] = mapped_column(word(CallState))
    state_why: Mapped[str | None]
    provider_id: Mapped[str | None]
    blocked: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """The provider had no line for it: it waits there, or ended for want of one. False again as soon as it rings."""
    hang_up_at: Mapped[datetime | None]
    """Real time at which we last had it ended at the provider because it may not start any more."""
    slot_at: Mapped[datetime]
    """Real time at which it may be sent."""
    check_at: Mapped[datetime | None]
    """Real time at which upkeep looks at it, if nothing has happened by then. NULL: nothing more is expected."""
    claimed_at: Mapped[datetime]
    intent_at: Mapped[datetime | None]
    quiet_at: Mapped[datetime | None]
    """Real time from which no trace of an unknown call means that a person must decide."""
    asked: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """How many answers in a row said that there is no such call, since the provider last spoke of it; at most three."""
    line_until: Mapped[datetime | None]
    """While `unknown`: the campaign's time from which it can no longer be using a line."""
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_reason: Mapped[str | None]
    counted: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """Whether it counts among the prospect's `calls`; taken back when it proves not placed."""
    settled_at: Mapped[datetime | None]
    again: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """Whether its prospect had been called before it was claimed."""
    forgiven: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """It failed among many, by nobody's fault: no longer in the prospect's `calls` and `attempts`."""
    reserved: Mapped[Decimal | None]
    """US dollars held of the campaign's budget, the most that it may cost; NULL: nothing, or nothing any more."""
    spent: Mapped[Decimal | None]
    """US dollars that it cost, in place of what was reserved; NULL: not known yet, or never placed."""
    estimated: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """Nobody said what it cost: `spent` is what was reserved for it."""
    spent_on: Mapped[date | None]
    """The day of the campaign's zone in which it began, whose budget it is paid from."""
    incident: Mapped[str | None]
    """Evidence against our own ledger: somebody was or may have been rung twice."""
    incident_seen_at: Mapped[datetime | None]
    """When a person looked at the incident; until then it is a trouble."""
    changed_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("state", CallState), name="state"),
        CheckConstraint("state <> 'placing' OR intent_at IS NOT NULL", name="intent_before_placing"),
        # The two locks of promise 2: whoever inserts first has the person, the other finds out at once.
        Index(
            "uq_calls_prospect_held", "prospect_id", unique=True, postgresql_where=text(one_of("state", HOLDS_PERSON))
        ),
        Index("uq_calls_person_held", "person_id", unique=True, postgresql_where=text(one_of("state", HOLDS_PERSON))),
        Index("ix_calls_lines", "account_id", "campaign_id", postgresql_where=text(one_of("state", HOLDS_LINE))),
        Index("ix_calls_check", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("uq_calls_provider", "account_id", "provider_id", unique=True),
        Index("ix_calls_person_intent", "person_id", "intent_at", postgresql_where=text("intent_at IS NOT NULL")),
        Index("ix_calls_number_intent", "phone_number_id", "intent_at", postgresql_where=text("intent_at IS NOT NULL")),
        Index("ix_calls_campaign_claimed", "campaign_id", "claimed_at"),
        Index(
            "ix_calls_campaign_settled", "campaign_id", "settled_at", postgresql_where=text("settled_at IS NOT NULL")
        ),
        Index("ix_calls_reserved", "settled_at", postgresql_where=text("reserved IS NOT NULL")),
        Index("ix_calls_estimated", "campaign_id", postgresql_where=text("estimated")),
        Index("ix_calls_blocked", "account_id", postgresql_where=text("blocked AND state = 'queued'")),
    )


class Event(Base):
    """One stored message about a call: pushed by a webhook, asked for, or the answer to our own request."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    call_id: Mapped[UUID | None] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    provider_id: Mapped[str | None]
    learned: Mapped[str]
    """`pushed`, `asked` or `answered`."""
    type: Mapped[str]
    dedupe_key: Mapped[str]
    body: Mapped[dict[str, Any]]
    """Redacted before it was stored."""
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    effect: Mapped[str | None]
    """What it did when it was applied."""
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    error: Mapped[str | None]
    retry_at: Mapped[datetime | None]
    """Real time of the next try to apply it; NULL: applied, or in the dead letter."""

    __table_args__ = (
        UniqueConstraint("account_id", "dedupe_key"),
        CheckConstraint(one_of("learned", frozenset({"pushed", "asked", "answered"})), name="learned"),
        Index("ix_events_due", "retry_at", postgresql_where=text("retry_at IS NOT NULL")),
        Index("ix_events_dead", "provider_id", postgresql_where=text("applied_at IS NULL AND retry_at IS NULL")),
    )


class MessageCount(Base):
    """How many messages of one type an account was sent on one day, and what became of them."""

    __tablename__ = "message_counts"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    """In UTC."""
    type: Mapped[str] = mapped_column(primary_key=True)
    """Empty for what was refused: its type was never read."""
    became: Mapped[str] = mapped_column(primary_key=True)
    """`stored`, `counted` (answered and let go) or `refused` (its sender was not proven)."""
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint(one_of("became", frozenset({"stored", "counted", "refused"})), name="became"),)


class Outcome(Base):
    """What an ended call means in our words, and what was learned in it."""

    __tablename__ = "outcomes"

    call_id: Mapped[UUID] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    prospect_id: Mapped[int] = mapped_column(ForeignKey("prospects.id", ondelete="CASCADE"), index=True)
    outcome: Mapped[OutcomeClass] = mapped_column(word(OutcomeClass))
    ended_reason: Mapped[str | None]
    answered: Mapped[bool | None]
    duration_seconds: Mapped[Decimal | None] = mapped_column(Numeric(10, 3))
    cost: Mapped[Decimal | None]
    """US dollars."""
    costs: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    summary: Mapped[str | None]
    success: Mapped[str | None]
    structured: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    transcript: Mapped[str | None]
    recording: Mapped[str | None]
    learned: Mapped[str]
    """How the final facts came: `pushed` or `asked`."""
    complete: Mapped[bool] = mapped_column(Boolean)
    """Whether the report is in; without it only the ended reason is known."""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(one_of("outcome", OutcomeClass), name="outcome"),
        Index("ix_outcomes_campaign_created", "campaign_id", "created_at"),
    )
