"""A campaign with a budget in a test, and what its one row says beside what its calls say."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.ledger import spending
from campaigns.models import Call, Campaign, Spending
from campaigns.rules.call_state import CallState
from tests import factories

PRICES = {"platform": 0.05, "transport": 0.05}  # five minutes: 0.50 at most
WORST = Decimal("0.5")


def campaign_with(session: Session, now: datetime, *, total: float | None = None, **changes: Any) -> Campaign:
    """One whose calls may cost half a dollar each."""
    budget = {"total": total, "per_day": changes.pop("per_day", None)}
    terms: dict[str, Any] = {"prices": PRICES, "budget": budget, "max_duration": "5m", "zone": "America/New_York"}
    return factories.campaign(session, now, **(terms | changes))


def claimed(session: Session, campaign: Campaign, now: datetime, many: int = 1) -> list[Call]:
    return [
        factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.CLAIMED)
        for _ in range(many)
    ]


def sums(session: Session, campaign_id: UUID) -> tuple[Decimal, Decimal]:
    """What is spent and what is reserved, after the row was held against the calls."""
    ledger.write_tallies(session)
    session.flush()
    row = session.get_one(Spending, campaign_id, populate_existing=True)
    kept = {name: getattr(row, name) for name in ("spent", "reserved", "day_spent", "day_reserved")}
    assert kept == spending.from_rows(session, campaign_id, row.day), "the sums are not those of the calls"
    return row.spent, row.reserved
