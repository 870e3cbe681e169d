"""Calls that wait at the provider for a line and may not start any more: paused, suppressed, or too late in the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from campaigns.facts import gather
from campaigns.ledger import lock
from campaigns.models import Call
from campaigns.rules.call_state import CallState
from campaigns.rules.eligibility import Refused, decide
from campaigns.rules.timing import Timing

AGAIN = timedelta(seconds=10)  # real time until we ask once more: its end is told within seconds


def unwanted(session: Session, *, now: datetime, real: datetime, timing: Timing, limit: int) -> list[tuple[UUID, str]]:
    """Each call that is to be ended at the provider before it starts, and why. Each is noted, so that one asker does.

    Nobody is rung by such a call yet, and it may start at any moment: it is asked again whether its person may be
    called, as at its intent.
    """
    ids = session.scalars(
        select(Call.id)
        .where(
            Call.blocked,
            Call.state == CallState.QUEUED,
            Call.provider_id.is_not(None),
            or_(Call.hang_up_at.is_(None), Call.hang_up_at <= real - AGAIN),
        )
        .order_by(Call.claimed_at)
        .limit(limit)
    ).all()
    found = []
    for call_id in ids:
        locked = lock(session, call_id, timing=timing)
        if locked is None or not locked.call.blocked or locked.call.state is not CallState.QUEUED:
            continue
        prospect, call = locked.prospect, locked.call
        if call.hang_up_at is not None and call.hang_up_at > real - AGAIN:
            continue
        facts = gather(session, [prospect.id])[prospect.id]
        # The call itself was within its budget when it was made.
        decision = decide(replace(facts, calls=facts.calls - 1), now)
        if isinstance(decision, Refused):
            call.hang_up_at = real
            found.append((call_id, decision.why))
    return found
