"""People and their wishes, the lists that brought them, and their place in each campaign."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from campaigns.models.base import Base, one_of, word
from campaigns.rules.prospect_state import ProspectState


class Person(Base):
    """A number across all campaigns. One row each, so that it can be locked: suppression updates the row that every
    intent share-locks.
    """

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)
    """E.164."""
    kind: Mapped[str | None]
    """What sort of line it is, as far as the number tells: mobile, fixed_line, toll_free and so on."""
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
    call_id: Mapped[UUID | None] = mapped_column(ForeignKey("calls.id", ondelete="SET NULL"), unique=True)
    """The call in which the person said so."""
    created_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    """When whoever waited was done because of it; NULL: about to be. Nobody is called meanwhile either."""
    lifted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_suppressions_to_apply", "id", postgresql_where=text("applied_at IS NULL")),
        Index("ix_suppressions_person", "person_id"),
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
    """A person's own consent, as a list brought it. The latest outranks a campaign's declaration, withdrawn or not."""

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    campaign_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaigns.id"))
    source: Mapped[str]
    obtained_at: Mapped[datetime | None]
    proof: Mapped[str | None]
    level: Mapped[str | None]
    """None: the one that the campaign declares, else express. With `none` the list says that there is no consent."""
    expires_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    __table_args__ = (CheckConstraint(one_of("level", ("express", "none", "written")), name="level"),)


class Import(Base):
    """One file that was read into a campaign, and what became of its rows."""

    __tablename__ = "imports"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), index=True)
    source: Mapped[str]
    who: Mapped[str | None]
    """Who brought it; NULL: nobody said."""
    digest: Mapped[str | None]
    """SHA-256 of the file: by it and by its terms an interrupted import is known again."""
    terms: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """How the file is read, and what the import does beside adding people."""
    columns: Mapped[list[str]]
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    """Rows that were stored or rejected: with how many of them an interrupted import goes on."""
    new: Mapped[int] = mapped_column(BigInteger, default=0)
    already_there: Mapped[int] = mapped_column(BigInteger, default=0)
    updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rejected: Mapped[int] = mapped_column(BigInteger, default=0)
    elsewhere: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Of the new people, those whom another running campaign called, too."""
    size: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes of the file; of one that was handed over, all of which are here or were."""
    read: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Bytes of it that were read."""
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime | None]
    """When a file that a worker is to read was handed over whole."""
    failed_why: Mapped[str | None]
    """Why the worker gave up."""
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("id", "campaign_id"),
        Index(
            "ix_imports_queued",
            "queued_at",
            postgresql_where=text("queued_at IS NOT NULL AND finished_at IS NULL AND failed_why IS NULL"),
        ),
    )


class FilePiece(Base):
    """A piece of a file that a worker is to import; gone once that is done."""

    __tablename__ = "file_pieces"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]


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
    campaign_id: Mapped[UUID]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    import_id: Mapped[UUID]
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
    language: Mapped[str | None]
    """A language tag, such as pt-BR."""
    overrides: Mapped[dict[str, Any] | None]
    """What of the assistant is another for this person alone."""
    variables: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    state: Mapped[ProspectState] = mapped_column(word(ProspectState))
    state_why: Mapped[str | None]
    due_at: Mapped[datetime | None]
    """When to call next; set while `waiting`."""
    not_before: Mapped[datetime | None]
    """The wish behind `due_at`: the calling window may only move it later."""
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    own_priority: Mapped[int | None] = mapped_column(SmallInteger)
    """Their priority after the call that they were promised; NULL: none was."""
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Calls that count against the campaign's `max_attempts`, without those forgiven."""
    calls: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Every call that was placed or may have been, without those forgiven."""
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]

    __table_args__ = (
        # One key for both: the import is one of this campaign, which is there because the import is. Each key costs a
        # tenth of the time that it takes to add somebody.
        ForeignKeyConstraint(["import_id", "campaign_id"], ["imports.id", "imports.campaign_id"], ondelete="CASCADE"),
        UniqueConstraint("campaign_id", "person_id", "extension"),
        CheckConstraint(one_of("state", ProspectState), name="state"),
        CheckConstraint("(state = 'waiting') = (due_at IS NOT NULL)", name="due_while_waiting"),
        Index(
            "ix_prospects_due",
            "campaign_id",
            text("priority DESC"),
            text("least(calls, 1)"),  # 0: new, 1: called again. Two lists, each in the order of its due times
            "due_at",
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("ix_prospects_held", "campaign_id", "state_why", postgresql_where=text("state = 'held'")),
        Index("ix_prospects_person", "person_id"),
        Index(
            "uq_prospects_external_id",
            "campaign_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )
