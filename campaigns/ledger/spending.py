"""A campaign's money: reserved before a call is dialled, and settled once it is known what the call cost.

Every call carries what is reserved for it or what it cost, and a campaign with a budget one row with the sums. That row
is locked after every call and before the tallies; of several campaigns in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from typing import cast
from uuid import UUID

from sqlalchemy import Date, Numeric, bindparam, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts
from campaigns.models import Call, Spending
from campaigns.rules.call_state import IN_FLIGHT, CallState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.definition.money import SMALLEST, exact

Sums = dict[tuple[UUID, date], list[Decimal]]
"""By campaign and day: what is reserved and what is spent more than before."""

# One update that finds room or does not: whoever waited for another sees what that one took. A day begins with nothing
# reserved, and never comes again: whoever read the clock before midnight pays from the new day.
_RESERVE = text("""
    UPDATE spending
       SET reserved = reserved + :amount,
           day_spent = CASE WHEN day < :day THEN 0 ELSE day_spent END,
           day_reserved = CASE WHEN day < :day THEN 0 ELSE day_reserved END + :amount,
           day = greatest(day, :day)
     WHERE campaign_id = :campaign
       AND (CAST(:total AS numeric) IS NULL OR spent + reserved + :amount <= :total)
       AND (CAST(:per_day AS numeric) IS NULL
            OR CASE WHEN day < :day THEN 0 ELSE day_spent + day_reserved END + :amount <= :per_day)
 RETURNING day""").bindparams(
    bindparam("amount", type_=Numeric),
    bindparam("total", type_=Numeric),
    bindparam("per_day", type_=Numeric),
    bindparam("day", type_=Date),
)
_ADD = text("""
    UPDATE spending
       SET reserved = reserved + :reserved, spent = spent + :spent,
           day_reserved = day_reserved + CASE WHEN day = :day THEN :reserved ELSE 0 END,
           day_spent = day_spent + CASE WHEN day = :day THEN :spent ELSE 0 END
     WHERE campaign_id = :campaign""").bindparams(
    bindparam("reserved", type_=Numeric), bindparam("spent", type_=Numeric), bindparam("day", type_=Date)
)


def reserve(session: Session, calls: Iterable[tuple[Call, CampaignFacts]], *, now: datetime) -> set[UUID]:
    """Reserve the most that each of these locked calls may cost; returns those for which the money does not suffice.

    For the transaction of the intent, after its other locks. Whatever any number of workers do at once, no call is
    begun whose reservation would pass a limit. Calls of campaigns without a budget cost nothing here, not even a query.
    """
    paid = [each for each in calls if each[1].definition.budget is not None]
    unpaid: set[UUID] = set()
    for _, group in groupby(sorted(paid, key=lambda each: each[1].id), key=lambda each: each[1].id):
        mine = list(group)
        # All at once where there is room for all, else one by one while there is.
        if not _reserve(session, mine, now=now):
            short = next((turn for turn, each in enumerate(mine) if not _reserve(session, [each], now=now)), len(mine))
            unpaid |= {call.id for call, _ in mine[short:]}
    return unpaid


def _reserve(session: Session, calls: list[tuple[Call, CampaignFacts]], *, now: datetime) -> bool:
    campaign = calls[0][1]
    definition, budget = campaign.definition, campaign.definition.budget
    if budget is None:
        return True
    day = session.scalar(
        _RESERVE,
        {
            "campaign": campaign.id,
            "amount": definition.worst_case * len(calls),
            "total": None if budget.total is None else exact(budget.total),
            "per_day": None if budget.per_day is None else exact(budget.per_day),
            "day": now.astimezone(definition.own_zone).date(),
        },
    )
    if day is None:
        return False
    for call, _ in calls:
        call.reserved, call.spent_on = definition.worst_case, day
    return True


def begin(call: Call, definition: CampaignDefinition, *, now: datetime) -> None:
    """The call is or may be placed from now on. One that was not asked for its money is counted all the same."""
    if call.spent_on is None:
        call.spent_on = now.astimezone(definition.own_zone).date()
    if definition.budget is not None and call.reserved is None and call.spent is None:
        call.reserved = definition.worst_case
        _add(call, definition, reserved=definition.worst_case)


def release(call: Call, definition: CampaignDefinition) -> None:
    """The call proved not placed: what was reserved for it is free again."""
    if call.reserved is not None:
        _add(call, definition, reserved=-call.reserved)
        call.reserved = None


def charge(call: Call, definition: CampaignDefinition, cost: Decimal, *, estimated: bool = False) -> None:
    """The call cost so much, in place of what was reserved for it or was believed before.

    Booked as it is: one that cost more than was reserved may bring the campaign over its budget.
    """
    cost = cost.quantize(SMALLEST, ROUND_HALF_EVEN)  # as it is stored
    if call.spent_on is None:
        call.spent_on = (call.intent_at or call.claimed_at).astimezone(definition.own_zone).date()
    before = call.spent or Decimal(0)
    if call.reserved is not None or cost != before:
        _add(call, definition, reserved=-(call.reserved or Decimal(0)), spent=cost - before)
    call.reserved, call.spent, call.estimated = None, cost, estimated


def _add(
    call: Call, definition: CampaignDefinition, *, reserved: Decimal = Decimal(0), spent: Decimal = Decimal(0)
) -> None:
    if definition.budget is None or call.spent_on is None:
        return
    session = cast("Session", Session.object_session(call))
    sums: Sums = session.info.setdefault("spending", {})
    entry = sums.setdefault((call.campaign_id, call.spent_on), [Decimal(0), Decimal(0)])
    entry[0] += reserved
    entry[1] += spent


def write(session: Session) -> None:
    """Write what changed, after every other lock but the tallies', in one order: no two writers deadlock."""
    sums: Sums = session.info.pop("spending", {})
    rows = [
        {"campaign": campaign_id, "day": day, "reserved": reserved, "spent": spent}
        for (campaign_id, day), (reserved, spent) in sorted(sums.items())
        if reserved or spent
    ]
    if rows:
        session.flush()
        session.execute(_ADD, rows)


def open_account(session: Session, campaign_id: UUID, definition: CampaignDefinition, *, now: datetime) -> None:
    """Begin to keep the sums of a campaign that has a budget now, from what its calls cost until now.

    The campaign is locked, so that no call begins meanwhile. Calls that go on get their reservation, whether or not the
    budget has room for it: they cannot be taken back.
    """
    open_ended = or_(Call.state != CallState.ENDED, Call.settled_at.is_(None), Call.reserved.is_not(None))
    begun = Call.state.in_(sorted({*IN_FLIGHT, CallState.REVIEW, CallState.ENDED}))
    going_on = select(Call).where(Call.campaign_id == campaign_id, begun, open_ended, Call.spent.is_(None))
    # Whoever settles one of them now has looked at a campaign without a budget: wait until that is done.
    locking = going_on.order_by(Call.id).with_for_update(key_share=True).execution_options(populate_existing=True)
    for call in session.scalars(locking).all():
        begin(call, definition, now=call.intent_at or now)
    session.info.pop("spending", None)  # counted below, with all others
    session.flush()
    day = now.astimezone(definition.own_zone).date()
    sums = from_rows(session, campaign_id, day)
    statement = insert(Spending).values(campaign_id=campaign_id, day=day, **sums)
    session.execute(statement.on_conflict_do_update(index_elements=[Spending.campaign_id], set_={"day": day, **sums}))


def from_rows(session: Session, campaign_id: UUID, day: date) -> dict[str, Decimal]:
    """The sums as the calls have them: what the one row must say, where `day` is its day."""
    spent, reserved = (func.coalesce(func.sum(column), 0) for column in (Call.spent, Call.reserved))
    query = select(
        spent.label("spent"),
        reserved.label("reserved"),
        func.coalesce(func.sum(Call.spent).filter(Call.spent_on == day), 0).label("day_spent"),
        func.coalesce(func.sum(Call.reserved).filter(Call.spent_on == day), 0).label("day_reserved"),
    ).where(Call.campaign_id == campaign_id)
    return {name: Decimal(value) for name, value in session.execute(query).mappings().one().items()}
