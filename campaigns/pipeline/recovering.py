"""Calls that the provider has and a restored ledger lost are taken in again, so that nobody is called on top."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.ledger import due_again, lock, move, record, set_state
from campaigns.models import Account, Call, Campaign, Person, PhoneNumber, Prospect
from campaigns.rules.call_state import CallState, Evidence
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.prospect_state import FINAL, ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.records import Placed

BEFORE = timedelta(minutes=10)  # a claimed call is sent within seconds; the rest is for clocks that differ


class TakenIn(StrEnum):
    """What became of a call that the provider has."""

    KNOWN = "known"
    """The ledger has it; the record is one more word about it."""
    NEW = "taken in"
    NOBODY = "its campaign or its person is not in the ledger"
    HELD = "another call holds its person"


def accounts(session: Session) -> list[tuple[UUID, AccountDefinition, datetime]]:
    """Every account, and from when on the provider may have calls that the ledger lost.

    That is the last claim: a copy without claims is as old as that at least, and nothing is claimed in a ledger that
    was restored before somebody accepts it.
    """
    last = select(func.max(Call.claimed_at)).where(Call.account_id == Account.id).scalar_subquery()
    rows = session.execute(
        select(Account.id, Account.definition, func.coalesce(last, Account.created_at)).order_by(Account.name)
    )
    return [
        (account_id, AccountDefinition.model_validate(definition), since - BEFORE)
        for account_id, definition, since in rows
    ]


def take_in(
    session: Session, account_id: UUID, placed: Placed, *, who: str, now: datetime, real: datetime, timing: Timing
) -> TakenIn:
    """Have the call in the ledger, as one whose request was sent; what the provider says of it is applied after this.

    Take them in the order in which they were placed: the same person may have been called several times.
    """
    known = or_(Call.id == placed.call_id, Call.provider_id == placed.provider_id)
    if session.scalar(select(Call.id).where(Call.account_id == account_id, known)) is not None:
        return TakenIn.KNOWN
    # All in which it is this person, and in their order: another's call to them may be withdrawn below.
    of_the_person = session.scalars(
        select(Prospect)
        .join(Person, Person.id == Prospect.person_id)
        .where(Person.number == placed.number)
        .order_by(Prospect.id)
        .with_for_update(of=Prospect, key_share=True)
    ).all()
    theirs = select(Campaign.id).where(Campaign.account_id == account_id, Campaign.name == placed.campaign)
    campaign_id = session.scalars(theirs).one_or_none()
    meant = (campaign_id, placed.extension)
    prospect = next((each for each in of_the_person if (each.campaign_id, each.extension) == meant), None)
    numbers = select(PhoneNumber.id).where(PhoneNumber.account_id == account_id)
    number_id = session.scalars(
        numbers.order_by((PhoneNumber.provider_id == placed.phone_number_id).desc()).limit(1)
    ).one_or_none()
    if prospect is None or number_id is None:
        return TakenIn.NOBODY
    _withdraw_unsent(session, prospect.person_id, now=now, real=real, timing=timing)
    statement = insert(Call).values(
        id=placed.call_id,
        account_id=account_id,
        campaign_id=prospect.campaign_id,
        prospect_id=prospect.id,
        person_id=prospect.person_id,
        phone_number_id=number_id,
        state=CallState.CLAIMED,
        slot_at=real,
        claimed_at=placed.created_at,
        changed_at=now,
    )
    if session.scalar(statement.on_conflict_do_nothing().returning(Call.id)) is None:
        return TakenIn.HELD
    if prospect.state not in FINAL:
        set_state(prospect, ProspectState.IN_CALL, now=now)
    session.flush()
    locked = lock(session, placed.call_id, timing=timing)
    if locked is not None:
        move(locked, Evidence.INTENT, now=placed.created_at, real=real)
    found = {"provider_id": placed.provider_id, "placed_at": placed.created_at.isoformat()}
    why = "the provider has it, and the ledger had not"
    record(session, who=who, what="take in", subject=f"call:{placed.call_id}", after=found, now=now, why=why)
    return TakenIn.NEW


def _withdraw_unsent(session: Session, person_id: int, *, now: datetime, real: datetime, timing: Timing) -> None:
    """A claimed call of the person: had it been sent before this one, the provider would have named it by now."""
    held = select(Call.id).where(Call.person_id == person_id, Call.state == CallState.CLAIMED)
    for call_id in session.scalars(held).all():
        locked = lock(session, call_id, timing=timing)
        if locked is not None and locked.call.state is CallState.CLAIMED:
            why = "the provider has another call in its place"
            move(locked, Evidence.WITHDRAWN, now=now, real=real, why=why)
            due_again(session, locked, now=now, why=why)
            session.flush()
