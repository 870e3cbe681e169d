"""Calls that wait at the provider for a line and may not start any more: paused, suppressed, or too late in the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from campaigns.facts import gather
from campaigns.ledger import lock_all
from campaigns.models import Call
from campaigns.rules.call_state import CallState
from campaigns.rules.eligibility import Facts, Refused, decide
from campaigns.rules.timing import Timing

AGAIN = timedelta(seconds=10)  # real time until we ask once more: its end is told within seconds


def unwanted(session: Session, *, now: datetime, real: datetime, timing: Timing, limit: int) -> list[tuple[UUID, str]]:
    """Each call that is to be ended at the provider before it starts, and why. Each is noted, so that one asker does.

    Nobody is rung by such a call yet, and it may start at any moment: it is asked again whether its person may be
    called, as at its intent.
    """
    waiting = session.execute(
        select(Call.id, Call.prospect_id)
        .where(
            Call.blocked,
            Call.state == CallState.QUEUED,
            Call.provider_id.is_not(None),
            or_(Call.hang_up_at.is_(None), Call.hang_up_at <= real - AGAIN),
        )
        .order_by(Call.claimed_at)
    ).all()
    # Looked at without locks first: nearly all may go on waiting, and must not hide those behind them.
    facts = gather(session, [row.prospect_id for row in waiting])
    ids = [row.id for row in waiting if _why_not(facts[row.prospect_id], now) is not None][:limit]
    locked = lock_all(session, ids, timing=timing)
    facts = gather(session, [one.prospect.id for one in locked.values()])
    found = []
    for call_id, one in locked.items():
        call, why = one.call, _why_not(facts[one.prospect.id], now)
        again = call.hang_up_at is not None and call.hang_up_at > real - AGAIN
        if why is not None and call.blocked and call.state is CallState.QUEUED and not again:
            call.hang_up_at = real
            found.append((call_id, why))
    return found


def _why_not(facts: Facts, now: datetime) -> str | None:
    # The call itself was within its budget when it was made.
    decision = decide(replace(facts, calls=facts.calls - 1), now)
    return decision.why if isinstance(decision, Refused) else None
