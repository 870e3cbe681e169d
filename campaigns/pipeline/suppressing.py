"""Whoever asks not to be called is not called: in one campaign or in all, from the moment that this has returned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.facts import suppressed
from campaigns.ledger import finish_waiting, record, set_state
from campaigns.models import Call, Campaign, Person, Prospect, Suppression
from campaigns.rules.call_state import IN_FLIGHT, CallState
from campaigns.rules.people_file.stops import Stop
from campaigns.rules.prospect_state import CLOSABLE, ProspectState


@dataclass(frozen=True, slots=True)
class Entry:
    """One do-not-call entry that stands."""

    id: int
    phone: str
    campaign: str | None
    """None: every campaign."""
    reason: str
    since: datetime
    call: UUID | None
    """The call in which the person said so."""


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
    _stop(session, person, campaign_id, reason, now=now)
    entry = insert(Suppression).values(
        person_id=person.id, campaign_id=campaign_id, reason=reason, created_at=now, applied_at=now
    )
    added = session.scalar(entry.on_conflict_do_nothing().returning(Suppression.id)) is not None
    if added:
        _record(session, person, "suppress", campaign_id, who=who, now=now, why=reason)
    return person.id, added


@dataclass(frozen=True, slots=True)
class Stored:
    """What a lot of numbers came to."""

    added: int
    finished: int
    """Prospects who waited for a call, and are done."""


def suppress_all(
    session: Session,
    stops: Sequence[Stop],
    *,
    campaign_id: UUID | None,
    reason: str,
    source: str,
    who: str,
    now: datetime,
) -> Stored:
    """What `suppress` does for one number, for many by a few statements; `reason` is for rows without one.

    All or nothing, and again it changes nothing. In the ledger's order: people by their ids, then prospects.
    """
    once = {stop.number: stop for stop in stops}
    said = [once[number] for number in sorted(once)]
    numbers = {"numbers": [stop.number for stop in said], "kinds": [stop.kind for stop in said], "now": now}
    session.execute(_ADD_PEOPLE, numbers)
    people = session.execute(_LOCK_NEW, {"numbers": numbers["numbers"], "campaign": campaign_id}).all()
    if not people:
        return Stored(0, 0)
    ids = [person.id for person in people]
    reasons = [once[person.number].reason or reason for person in people]
    session.execute(_TOUCH, {"ids": ids, "now": now})
    whys = {person_id: f"on a do-not-call list: {why}" for person_id, why in zip(ids, reasons, strict=True)}
    finished = finish_waiting(session, whys, ProspectState.SUPPRESSED, campaign_id=campaign_id, now=now)
    entries = {
        "people": ids,
        "reasons": reasons,
        "since": [min(once[person.number].since or now, now) for person in people],
        "campaign": campaign_id,
        "now": now,
    }
    added = session.scalars(_ADD_ENTRIES, entries).all()
    after = {"campaign": None if campaign_id is None else str(campaign_id), "list": source}
    audit = {"people": added, "who": who, "now": now, "why": reason, "after": orjson.dumps(after).decode()}
    session.execute(_AUDIT_ALL, audit)
    return Stored(len(added), finished)


def in_flight(session: Session, campaign_id: UUID | None) -> list[tuple[UUID, CallState]]:
    """The calls that go on, or whose intent was committed, to people who are not to be called any more."""
    query = select(Call.id, Call.state).where(
        Call.state.in_(sorted(IN_FLIGHT)), suppressed(Call.person_id, Call.campaign_id)
    )
    if campaign_id is not None:
        query = query.where(Call.campaign_id == campaign_id)
    return [(call_id, state) for call_id, state in session.execute(query.order_by(Call.claimed_at))]


# Who is there already costs no id: the same list again would use up a million.
_ADD_PEOPLE = text("""
    INSERT INTO people (number, kind, created_at, suppressed_at)
    SELECT said.number, said.kind, :now, :now
      FROM unnest(CAST(:numbers AS text[]), CAST(:kinds AS text[])) AS said (number, kind)
     WHERE NOT EXISTS (SELECT FROM people WHERE people.number = said.number)
     ORDER BY said.number
        ON CONFLICT DO NOTHING""")
_LOCK_NEW = text("""
    SELECT people.id, people.number
      FROM people
     WHERE people.number = ANY(CAST(:numbers AS text[]))
       AND NOT EXISTS (SELECT FROM suppressions
                        WHERE suppressions.person_id = people.id AND suppressions.lifted_at IS NULL
                          AND suppressions.applied_at IS NOT NULL
                          AND suppressions.campaign_id IS NOT DISTINCT FROM CAST(:campaign AS uuid))
     ORDER BY people.id FOR NO KEY UPDATE OF people""")
_TOUCH = text("UPDATE people SET suppressed_at = :now WHERE id = ANY(:ids) AND suppressed_at IS DISTINCT FROM :now")
_ADD_ENTRIES = text("""
    INSERT INTO suppressions (person_id, campaign_id, reason, created_at, applied_at)
    SELECT said.person_id, CAST(:campaign AS uuid), said.reason, said.since, :now
      FROM unnest(CAST(:people AS bigint[]), CAST(:reasons AS text[]), CAST(:since AS timestamptz[]))
           AS said (person_id, reason, since)
        ON CONFLICT DO NOTHING
 RETURNING person_id""")
_AUDIT_ALL = text("""
    INSERT INTO changes (at, who, what, subject, after, why)
    SELECT :now, :who, 'suppress', 'person:' || person_id, CAST(:after AS jsonb), :why
      FROM unnest(CAST(:people AS bigint[])) AS person_id""")


def to_apply(session: Session, *, limit: int) -> list[int]:
    """The entries that an ended call brought and of which whoever waits is not done yet: a hint was lost."""
    return list(session.scalars(_TO_APPLY.limit(limit)))


def said_in(session: Session, call_ids: Collection[UUID]) -> list[int]:
    """Those of them that these calls brought."""
    return list(session.scalars(_TO_APPLY.where(Suppression.call_id.in_(call_ids))))


def apply(session: Session, entry_id: int, *, now: datetime) -> None:
    """Whoever waits to be called is done because of this entry; applied before, it changes nothing.

    Waits for open intents, as `suppress` does: who is called after this was about to be before.
    """
    person_id = session.scalar(select(Suppression.person_id).where(Suppression.id == entry_id))
    person = session.scalars(select(Person).where(Person.id == person_id).with_for_update(key_share=True)).one()
    entry = session.get_one(Suppression, entry_id, populate_existing=True)
    if entry.applied_at is not None:
        return
    if entry.lifted_at is None:
        _stop(session, person, entry.campaign_id, entry.reason, now=now)
    entry.applied_at = now


_TO_APPLY = select(Suppression.id).where(Suppression.applied_at.is_(None)).order_by(Suppression.id)


def _stop(session: Session, person: Person, campaign_id: UUID | None, reason: str, *, now: datetime) -> None:
    """Make whoever waits final. The entry is written after that: whoever settles a call has its prospect first, too."""
    person.suppressed_at = now
    session.flush()
    waiting = select(Prospect).where(Prospect.person_id == person.id, Prospect.state.in_(sorted(CLOSABLE)))
    if campaign_id is not None:
        waiting = waiting.where(Prospect.campaign_id == campaign_id)
    locking = waiting.order_by(Prospect.id).with_for_update(key_share=True).execution_options(populate_existing=True)
    for prospect in session.scalars(locking).all():
        set_state(prospect, ProspectState.SUPPRESSED, now=now, why=f"on a do-not-call list: {reason}")
    session.flush()


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


def entries(session: Session, *, campaign_id: UUID | None, limit: int, before: int | None = None) -> Sequence[Entry]:
    """The entries that stand, the latest first; of one campaign with those for every campaign.

    `before` is the id of the last entry of the page before.
    """
    query = (
        select(
            Suppression.id,
            Person.number,
            Campaign.name,
            Suppression.reason,
            Suppression.created_at,
            Suppression.call_id,
        )
        .join(Person, Person.id == Suppression.person_id)
        .outerjoin(Campaign, Campaign.id == Suppression.campaign_id)
        .where(Suppression.lifted_at.is_(None))
    )
    if before is not None:
        query = query.where(Suppression.id < before)
    if campaign_id is not None:
        query = query.where(Suppression.campaign_id.is_(None) | (Suppression.campaign_id == campaign_id))
    return [Entry(*row) for row in session.execute(query.order_by(Suppression.id.desc()).limit(limit))]


def _record(
    session: Session, person: Person, what: str, campaign_id: UUID | None, *, who: str, now: datetime, why: str
) -> None:
    where = {"campaign": None if campaign_id is None else str(campaign_id)}
    record(session, who=who, what=what, subject=f"person:{person.id}", after=where, now=now, why=why)
