"""Whoever asks not to be called is not called: in one campaign or in all, from the moment that this has returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.ledger import set_state
from campaigns.models import Campaign, Change, Person, Prospect, Suppression
from campaigns.rules.prospect_state import ProspectState

_WAITING = frozenset({ProspectState.WAITING, ProspectState.HELD})


@dataclass(frozen=True, slots=True)
class Entry:
    """One do-not-call entry that stands."""

    phone: str
    campaign: str | None
    """None: every campaign."""
    reason: str
    since: datetime


def suppress(
    session: Session, number: str, *, campaign_id: UUID | None, reason: str, who: str, now: datetime
) -> tuple[int, bool]:
    """Have nobody call the number (E.164) any more, in one campaign or in all; returns the person and what is new.

    The number need not be in any list. The row that every intent share-locks is updated here, so this waits for
    intents that are open: once it is committed, no further call is placed. Who waits to be called is done at once; a
    call that is going on runs to its end, and is the last.
    """
    session.execute(insert(Person).values(number=number, created_at=now).on_conflict_do_nothing())
    person = session.scalars(select(Person).where(Person.number == number).with_for_update(key_share=True)).one()
    person.suppressed_at = now
    session.flush()
    entry = insert(Suppression).values(person_id=person.id, campaign_id=campaign_id, reason=reason, created_at=now)
    added = session.scalar(entry.on_conflict_do_nothing().returning(Suppression.id)) is not None
    waiting = select(Prospect).where(Prospect.person_id == person.id, Prospect.state.in_(sorted(_WAITING)))
    if campaign_id is not None:
        waiting = waiting.where(Prospect.campaign_id == campaign_id)
    for prospect in session.scalars(waiting.order_by(Prospect.id).with_for_update(key_share=True)).all():
        set_state(prospect, ProspectState.SUPPRESSED, now=now, why=f"on a do-not-call list: {reason}")
    if added:
        _record(session, person, "suppress", campaign_id, who=who, now=now, why=reason)
    return person.id, added


def lift(session: Session, number: str, *, campaign_id: UUID | None, who: str, why: str, now: datetime) -> None:
    """Permit calls to the number again, for people who are imported from now on: who is done stays done.

    Raises `NotAllowed` where no such entry stands.
    """
    stands = (
        select(Suppression, Person)
        .join(Person, Person.id == Suppression.person_id)
        .where(Person.number == number, Suppression.campaign_id.is_not_distinct_from(campaign_id))
        .where(Suppression.lifted_at.is_(None))
        .with_for_update(of=Suppression)
    )
    found = session.execute(stands).one_or_none()
    if found is None:
        raise NotAllowed("that number is not on this do-not-call list: `outbound suppressions list` shows who is")
    entry, person = found
    entry.lifted_at = now
    _record(session, person, "lift suppression", campaign_id, who=who, now=now, why=why)


def entries(session: Session, *, campaign_id: UUID | None, limit: int) -> Sequence[Entry]:
    """The entries that stand, the latest first; of one campaign with those for every campaign."""
    query = (
        select(Person.number, Campaign.name, Suppression.reason, Suppression.created_at)
        .join(Person, Person.id == Suppression.person_id)
        .outerjoin(Campaign, Campaign.id == Suppression.campaign_id)
        .where(Suppression.lifted_at.is_(None))
    )
    if campaign_id is not None:
        query = query.where(Suppression.campaign_id.is_(None) | (Suppression.campaign_id == campaign_id))
    return [Entry(*row) for row in session.execute(query.order_by(Suppression.id.desc()).limit(limit))]


def _record(
    session: Session, person: Person, what: str, campaign_id: UUID | None, *, who: str, now: datetime, why: str
) -> None:
    where = {"campaign": None if campaign_id is None else str(campaign_id)}
    session.add(Change(at=now, who=who, what=what, subject=f"person:{person.id}", after=where, why=why))
