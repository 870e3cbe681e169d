"""Tallies: counted as things happen, written when the transaction commits."""

from __future__ import annotations

from collections import Counter
from typing import cast
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.ledger import spending
from campaigns.models import TALLY_SLOTS, Tally

_TALLY = insert(cast("Table", Tally.__table__))

_ADD = _TALLY.on_conflict_do_update(
    index_elements=[Tally.campaign_id, Tally.name, Tally.slot], set_={"count": Tally.count + _TALLY.excluded.count}
)

Counts = Counter[tuple[UUID, str, int]]


def count(session: Session, campaign_id: UUID, name: str, key: int, by: int) -> None:
    """Count `by` more of `name`; `key` spreads the counting over the slots. Written when the transaction commits."""
    counts: Counts = session.info.setdefault("tallies", Counter())
    counts[(campaign_id, name, key % TALLY_SLOTS)] += by


def write_tallies(session: Session) -> None:
    """Write what was counted, after every other lock was taken and in one order, so that no two writers deadlock.

    What was spent comes first: an intent holds its campaign's spending when it comes to the tallies.
    """
    spending.write(session)
    counts: Counts = session.info.pop("tallies", Counter())
    rows = [
        {"campaign_id": campaign_id, "name": name, "slot": slot, "count": by}
        for (campaign_id, name, slot), by in sorted(counts.items())
        if by
    ]
    if not rows:
        return
    session.flush()
    session.execute(_ADD, rows)
