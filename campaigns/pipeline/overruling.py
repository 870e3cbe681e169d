"""What an operator makes of the calling rules is kept where every process finds it, with who, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.errors import UnknownName
from campaigns.ledger import lock_to_change, record
from campaigns.models import Account, Campaign, RuleOverride
from campaigns.rules.campaign_state import CampaignState

_OVER = frozenset({CampaignState.COMPLETED, CampaignState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator made of one row."""

    code: str
    row: Mapping[str, Any]
    who: str
    since: datetime

    @property
    def why(self) -> str | None:
        """The reason that was given with it."""
        reason = self.row.get("why")
        return None if reason is None else str(reason)


def apply(session: Session, rows: Mapping[str, Mapping[str, Any]], *, who: str, now: datetime) -> dict[str, bool]:
    """Put these rows, which were checked, in place of those of the same codes; says of each whether it is another now.

    Others stay. Intents that are open are waited for: once this is committed, each call is decided by the new rules.
    People who wait have their due times from the old ones until they are worked out anew.
    """
    _wait_for_intents(session)
    there = {found.code: found for found in session.scalars(select(RuleOverride).with_for_update())}
    changed: dict[str, bool] = {}
    for code, row in sorted(rows.items()):
        found = there.get(code)
        before = None if found is None else found.row
        changed[code] = before != row
        if before == row:
            continue
        if found is None:
            session.add(RuleOverride(code=code, row=dict(row), who=who, changed_at=now))
        else:
            found.row, found.who, found.changed_at = dict(row), who, now
        why = row.get("why")
        record(session, who=who, what="apply", subject=f"rule:{code}", before=before, after=row, now=now, why=why)
    return changed


def remove(session: Session, code: str, *, who: str, why: str, now: datetime) -> None:
    """Let the row of that code be as it is shipped again. Raises `UnknownName` where it is."""
    _wait_for_intents(session)
    found = session.get(RuleOverride, code, with_for_update=True)
    if found is None:
        raise UnknownName(f"the rules of {code} are as they are shipped: `outbound rules list` shows which are not")
    record(session, who=who, what="remove", subject=f"rule:{code}", before=found.row, now=now, why=why)
    session.delete(found)


def standing(session: Session) -> dict[str, Override]:
    """Code → what an operator made of its row."""
    rows = session.scalars(select(RuleOverride).order_by(RuleOverride.code))
    return {each.code: Override(each.code, each.row, each.who, each.changed_at) for each in rows}


def open_campaigns(session: Session) -> Sequence[UUID]:
    """The campaigns whose people may wait for a call."""
    query = select(Campaign.id).where(Campaign.state.not_in(sorted(_OVER)))
    return session.scalars(query.order_by(Campaign.id)).all()


def _wait_for_intents(session: Session) -> None:
    # Every intent share-locks its account, and reads the rules under that lock.
    lock_to_change(session, Account)
