"""Files that a worker is to import: handed over in pieces, kept until that is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.facts import AWAITS_WORKER
from campaigns.models import Campaign, FilePiece, Import


@dataclass(frozen=True, slots=True)
class Job:
    """A file to import."""

    campaign_id: UUID
    digest: str | None
    terms: Mapping[str, Any]
    rows: int
    """Those of its rows that are stored already."""


def keep(session: Session, import_id: UUID, number: int, content: bytes) -> None:
    """Keep a piece of the file; one that is there already stays."""
    statement = insert(FilePiece).values(import_id=import_id, number=number, content=content)
    session.execute(statement.on_conflict_do_nothing())


def queue(session: Session, import_id: UUID, *, now: datetime) -> None:
    """Say that the file is here whole. What somebody else has imported meanwhile is dropped."""
    session.execute(update(Import).where(Import.id == import_id).values(queued_at=now, failed_why=None))
    done = select(Import.id).where(Import.id == import_id, Import.finished_at.is_not(None))
    session.execute(delete(FilePiece).where(FilePiece.import_id.in_(done)))


def waiting(session: Session) -> list[UUID]:
    """The imports that a worker is to run, or runs, the oldest first."""
    return list(session.scalars(select(Import.id).where(AWAITS_WORKER).order_by(Import.queued_at)))


def job(session: Session, import_id: UUID) -> Job | None:
    """What is to be done; None where nothing is."""
    found = session.execute(
        select(Import.campaign_id, Import.digest, Import.terms, Import.rows)
        .where(Import.id == import_id, AWAITS_WORKER)
        .with_for_update(key_share=True)  # what a killed worker had begun to store is stored or forgotten first
    ).one_or_none()
    return None if found is None else Job(found.campaign_id, found.digest, found.terms, found.rows)


def piece(session: Session, import_id: UUID, number: int) -> bytes | None:
    """A piece of the file; None after its last."""
    return session.scalar(select(FilePiece.content).where(FilePiece.import_id == import_id, FilePiece.number == number))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an import is."""

    id: UUID
    campaign: str
    source: str
    state: str
    """finished, waiting, interrupted, or why it failed."""
    rows: int
    new: int
    already_there: int
    updated: int
    rejected: int
    share: float | None
    """Of the file, what was read."""
    begun_at: datetime


def standing(session: Session, *, limit: int) -> list[Standing]:
    """The imports, the latest first."""
    found = session.execute(
        select(Import, Campaign.name)
        .join(Campaign, Campaign.id == Import.campaign_id)
        .order_by(Import.created_at.desc(), Import.id)
        .limit(limit)
    )
    return [
        Standing(
            id=each.id,
            campaign=name,
            source=each.source,
            state=_state(each),
            rows=each.rows,
            new=each.new,
            already_there=each.already_there,
            updated=each.updated,
            rejected=each.rejected,
            share=1.0 if each.finished_at else each.read / each.size if each.size else None,
            begun_at=each.created_at,
        )
        for each, name in found
    ]


def _state(record: Import) -> str:
    if record.finished_at is not None:
        return "finished"
    if record.failed_why is not None:
        return f"failed: {record.failed_why}"
    if record.queued_at is not None:
        return "handed over, a part is stored" if record.read else "waits for a worker"
    return "not finished: import the same file again to go on"


def give_up(session: Session, import_id: UUID, why: str) -> None:
    """Keep why the file cannot be imported, and drop it."""
    session.execute(update(Import).where(Import.id == import_id).values(failed_why=why))
    session.execute(delete(FilePiece).where(FilePiece.import_id == import_id))


@contextmanager
def sole_runner(engine: Engine, import_id: UUID) -> Iterator[bool]:
    """Whether nobody else runs the import: True for one at a time, until the block or the process ends."""
    word = func.hashtextextended(f"import {import_id}", 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        alone = bool(connection.scalar(select(func.pg_try_advisory_lock(word))))
        try:
            yield alone
        finally:
            if alone:
                connection.execute(select(func.pg_advisory_unlock(word)))
