"""Where the caller numbers of an account stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session, aliased

from campaigns.models import Call, PhoneNumber
from campaigns.rules.definition import AccountDefinition


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """One of an account's caller numbers, and what it did."""

    id: UUID
    provider_id: str
    used_at: datetime | None
    """When the latest call from it was claimed that was sent."""
    made: int
    """Calls in the last 24 hours, as far as a cap counts them."""
    free_at: datetime | None
    """When it may make one more; None: now."""


_DAY = timedelta(hours=24)  # any 24 hours: no definition of a day holds more of them

_sent = aliased(Call)

_NUMBERS = select(
    PhoneNumber.id,
    PhoneNumber.provider_id,
    select(_sent.claimed_at)
    .where(_sent.phone_number_id == PhoneNumber.id, _sent.intent_at.is_not(None))
    .order_by(_sent.intent_at.desc())
    .limit(1)
    .scalar_subquery()
    .label("used_at"),
).where(PhoneNumber.account_id == bindparam("account"))

_MADE = text("""
    SELECT number, count(made.intent_at) AS made, min(made.intent_at) AS first_at
      FROM unnest(CAST(:ids AS uuid[]), CAST(:caps AS integer[])) AS capped (number, cap)
           CROSS JOIN LATERAL (
           SELECT intent_at FROM calls
            WHERE phone_number_id = number AND intent_at > :since AND (state <> 'not_placed' OR incident IS NOT NULL)
            ORDER BY intent_at DESC LIMIT cap) AS made
     GROUP BY number""")


def about_numbers(
    session: Session, account_id: UUID, definition: AccountDefinition, *, now: datetime
) -> list[NumberFacts]:
    """The account's caller numbers; calls are counted only of those that may make so many a day."""
    known = session.execute(_NUMBERS, {"account": account_id}).all()
    caps = {row.id: cap for row in known if (cap := definition.number(row.provider_id).per_day) is not None}
    made = {}
    if caps:
        asked = {"ids": list(caps), "caps": list(caps.values()), "since": now - _DAY}
        made = {row.number: (row.made, row.first_at) for row in session.execute(_MADE, asked)}
    found = []
    for row in known:
        count, first_at = made.get(row.id, (0, None))
        full = first_at is not None and count >= caps[row.id]
        found.append(NumberFacts(row.id, row.provider_id, row.used_at, count, first_at + _DAY if full else None))
    return found
