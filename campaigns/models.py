"""The tables, in the order in which a prospect meets them.

Lock order, everywhere: account → pace → campaign → person → prospect → call → a provider's id (`ledger.guard_ids`) →
event; tallies last (see `ledger`). An intent takes the pace after its calls: whoever holds a pace waits for neither
prospects nor calls.
Times in columns named `…_at` are the campaign's clock; `check_at`, `slot_at` and the leases are real time, because a
rehearsal that runs faster must not shorten the seconds in which a process may be believed dead.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    Enum,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from campaigns.rules.call_state import HOLDS_LINE, HOLDS_PERSON, CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState

TALLY_SLOTS = 8  # as many settlements as workers run at once can count without waiting for one row


def _in(column: str, values: Iterable[str]) -> str:
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({listed})"


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


def _word(kind: type[StrEnum]) -> Enum:
    """A column that holds one of our words as text; a check on the table says which, easier to change than a type."""
    return Enum(kind, native_enum=False, create_constraint=False, length=32, values_callable=_values)


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: TIMESTAMP(timezone=True),
        str: Text(),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
        list[str]: ARRAY(Text()),
        Decimal: Numeric(12, 6),
    }


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
    """An account's hot counters, apart from its row so that intents do not wait for each other."""

    __tablename__ = "pace"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    next_slot: Mapped[datetime]
    """Real time at which the next call may be sent."""
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


class Campaign(Base):
    """A definition and its prospects. Every intent share-locks its row, so pause and cancel wait for open intents."""

    __tablename__ = "campaigns"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[CampaignState] = mapped_column(_word(CampaignState))
    state_why: Mapped[str | None]
    definition: Mapped[dict[str, Any]]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(_in("state", CampaignState), name="state"),
        Index(
            "ix_campaigns_active",
            "account_id",
            postgresql_where=text(_in("state", frozenset({"scheduled", "running"}))),
        ),
    )


class Person(Base):
    """A number across all campaigns. One row each, so that it can be locked: suppression updates the row that every
    intent share-locks.
    """

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    """E.164."""
    suppressed_at: Mapped[datetime | None]
    """When the latest suppression took effect; which ones apply is in `suppressions`."""
    created_at: Mapped[datetime]


class Suppression(Base):
    """One do-not-call entry, for one campaign or (no campaign) for all."""

    __tablename__ = "suppressions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    campaign_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaigns.id"))
    reason: Mapped[str]
    created_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_suppressions_active", "person_id", postgresql_where=text("lifted_at IS NULL")),
        Index(
            "uq_suppressions_active",
            "person_id",
            "campaign_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("lifted_at IS NULL"),
        ),
    )


class Consent(Base):
    """A person's own consent, where the list brought one; it outranks what the campaign declares."""

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    campaign_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaigns.id"))
    source: Mapped[str]
    obtained_at: Mapped[datetime | None]
    proof: Mapped[str | None]
    withdrawn_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Import(Base):
    """One file that was read into a campaign, and what became of its rows."""

    __tablename__ = "imports"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    source: Mapped[str]
    digest: Mapped[str | None]
    """SHA-256 of the file, once it was read to its end."""
    columns: Mapped[list[str]]
    rows: Mapped[int] = mapped_column(BigInteger)
    new: Mapped[int] = mapped_column(BigInteger)
    already_there: Mapped[int] = mapped_column(BigInteger)
    rejected: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class RejectedRow(Base):
    """A row that could not become a prospect, and why."""

    __tablename__ = "rejected_rows"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    line: Mapped[int] = mapped_column(BigInteger)
    column: Mapped[str | None]
    value: Mapped[str | None]
    reason: Mapped[str]
    original: Mapped[dict[str, Any]]

    __table_args__ = (Index("ix_rejected_rows_import", "import_id", "line"),)


class Prospect(Base):
    """One person in one campaign."""

    __tablename__ = "prospects"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id"))
    line: Mapped[int] = mapped_column(BigInteger)
    """The line of the file that brought it, from 1, the header included."""
    extension: Mapped[str] = mapped_column(server_default="")
    name: Mapped[str | None]
    external_id: Mapped[str | None]
    country: Mapped[str | None]
    states: Mapped[list[str]] = mapped_column(server_default="{}")
    """ISO 3166-2 codes of every state whose rules apply."""
    zones: Mapped[list[str]] = mapped_column(server_default="{}")
    """Every time zone that the person may be in; empty: unknown."""
    variables: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    state: Mapped[ProspectState] = mapped_column(_word(ProspectState))
    state_why: Mapped[str | None]
    due_at: Mapped[datetime | None]
    """When to call next; set while `waiting`."""
    not_before: Mapped[datetime | None]
    """The wish behind `due_at`: the calling window may only move it later."""
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Calls that count against the campaign's `max_attempts`, without those forgiven."""
    calls: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Every call that was placed or may have been, without those forgiven."""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("campaign_id", "person_id", "extension"),
        CheckConstraint(_in("state", ProspectState), name="state"),
        CheckConstraint("(state = 'waiting') = (due_at IS NOT NULL)", name="due_while_waiting"),
        Index(
            "ix_prospects_due",
            "campaign_id",
            text("priority DESC"),
            "due_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_prospects_person", "person_id"),
    )


class Call(Base):
    """One attempt to reach one prospect: at most one `POST /call`."""

    __tablename__ = "calls"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    prospect_id: Mapped[int] = mapped_column(ForeignKey("prospects.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    phone_number_id: Mapped[UUID] = mapped_column(ForeignKey("phone_numbers.id"))
    state: Mapped[CallState] = mapped_column(_word(CallState))
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
    forgiven: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """It failed among many, by nobody's fault: no longer in the prospect's `calls` and `attempts`."""
    incident: Mapped[str | None]
    """Evidence against our own ledger: somebody was or may have been rung twice."""
    incident_seen_at: Mapped[datetime | None]
    """When a person looked at the incident; until then it is a trouble."""
    changed_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(_in("state", CallState), name="state"),
        CheckConstraint("state <> 'placing' OR intent_at IS NOT NULL", name="intent_before_placing"),
        # The two locks of promise 2: whoever inserts first has the person, the other finds out at once.
        Index("uq_calls_prospect_held", "prospect_id", unique=True, postgresql_where=text(_in("state", HOLDS_PERSON))),
        Index("uq_calls_person_held", "person_id", unique=True, postgresql_where=text(_in("state", HOLDS_PERSON))),
        Index("ix_calls_lines", "account_id", "campaign_id", postgresql_where=text(_in("state", HOLDS_LINE))),
        Index("ix_calls_check", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("uq_calls_provider", "account_id", "provider_id", unique=True),
        Index("ix_calls_campaign_claimed", "campaign_id", "claimed_at"),
        Index(
            "ix_calls_campaign_settled", "campaign_id", "settled_at", postgresql_where=text("settled_at IS NOT NULL")
        ),
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
        CheckConstraint(_in("learned", frozenset({"pushed", "asked", "answered"})), name="learned"),
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

    __table_args__ = (CheckConstraint(_in("became", frozenset({"stored", "counted", "refused"})), name="became"),)


class Outcome(Base):
    """What an ended call means in our words, and what was learned in it."""

    __tablename__ = "outcomes"

    call_id: Mapped[UUID] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    prospect_id: Mapped[int] = mapped_column(ForeignKey("prospects.id", ondelete="CASCADE"), index=True)
    outcome: Mapped[OutcomeClass] = mapped_column(_word(OutcomeClass))
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
        CheckConstraint(_in("outcome", OutcomeClass), name="outcome"),
        Index("ix_outcomes_campaign_created", "campaign_id", "created_at"),
    )


class Tally(Base):
    """Running counts of one campaign, kept in the transaction that changes what they count.

    Split over slots so that settlements do not queue behind one row; the sum over the slots is the figure.
    """

    __tablename__ = "tallies"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """`prospect:<state>`, `outcome:<class>` or `call:placed`."""
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)


class Change(Base):
    """The audit: who changed what, from what to what, and why."""

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str]
    what: Mapped[str]
    subject: Mapped[str]
    """`account:<name>`, `campaign:<name>`, `person:<id>`, `call:<id>`, `event:<id>` or `database`."""
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    why: Mapped[str | None]

    __table_args__ = (Index("ix_changes_subject", "subject", "id"), Index("ix_changes_at", "at"))
