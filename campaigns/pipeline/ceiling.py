"""What the provider shows of an account's lines: how many it has, and when it refuses one more."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from campaigns.facts import holds_line
from campaigns.ledger import lock_pace
from campaigns.models import Call, Pace
from campaigns.rules.call_state import CallState
from campaigns.rules.pacing import BELIEVED, RISE, Ceiling, lowered
from campaigns.vapi.events import Limits


def is_news(session: Session, account_id: UUID, limits: Limits, *, concurrency: int, real: datetime) -> bool:
    """Whether an answer says something of the account's lines that is to be kept. Nearly always not; takes no lock."""
    if limits.blocked or limits.limit is None:
        return limits.blocked
    pace = session.execute(select(Pace.granted, Pace.granted_at).where(Pace.account_id == account_id)).one()
    if pace.granted != limits.limit:
        return limits.limit < concurrency or (pace.granted is not None and pace.granted < concurrency)
    return limits.limit < concurrency and (pace.granted_at is None or real - pace.granted_at > BELIEVED / 5)


def told(session: Session, account_id: UUID, limits: Limits, *, real: datetime) -> None:
    """Keep how many lines the account has in all, more or fewer than before. Only a fresh answer knows."""
    if limits.limit is not None:
        pace = lock_pace(session, account_id)
        pace.granted, pace.granted_at = limits.limit, real


def refused(
    session: Session, account_id: UUID, why: str, *, now: datetime, real: datetime, remaining: int | None = None
) -> None:
    """One more call than the provider had lines for: use no more than our calls use now, until the ceiling has risen.

    To be called once for each such call, after what became of it is committed.
    """
    pace = lock_pace(session, account_id)
    # Locked first: of several that are refused at once, each counts the lines without those refused before.
    in_use = session.scalar(
        select(func.count()).where(
            Call.account_id == account_id,
            holds_line(now),
            Call.state != CallState.CLAIMED,
            ~and_(Call.state == CallState.QUEUED, Call.blocked),  # it waits for a line there
        )
    )
    before = None if pace.ceiling is None else Ceiling(pace.ceiling, pace.rises_at or real + RISE)
    after = lowered(before, in_use=in_use or 0, remaining=remaining or 0, real=real)
    pace.ceiling, pace.rises_at, pace.ceiling_why = after.lines, after.rises_at, why
