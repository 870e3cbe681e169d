"""When nothing is sent: the provider asks us to wait, or says of no request what became of it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from campaigns.ledger import lock_pace
from campaigns.models import Call, Pace
from campaigns.rules.call_state import CallState
from campaigns.rules.pacing import DOUBTS, TRIED_EVERY, pause_after


def back_off(session: Session, account_id: UUID, *, until: datetime) -> None:
    """Claim nothing for the account before the real instant `until`."""
    session.execute(
        update(Pace)
        .where(Pace.account_id == account_id, or_(Pace.backoff_until.is_(None), Pace.backoff_until < until))
        .values(backoff_until=until)
    )


def doubt(session: Session, account_id: UUID, *, real: datetime) -> None:
    """One more request came to nothing. After some in a row only one is tried now and then, until one is answered.

    Those under way when it came to this say nothing new; each later one is counted when it is tried.
    """
    pace = lock_pace(session, account_id)
    if pace.doubts < DOUBTS:
        pace.doubts += 1
        if pace.doubts == DOUBTS:
            pause = real + pause_after(DOUBTS)
            pace.backoff_until = max(pace.backoff_until or pause, pause)


def answers(session: Session, account_id: UUID, *, real: datetime) -> None:
    """The provider answered a question: it is there, so one request is tried if none was for a while."""
    doubted = select(Pace).where(Pace.account_id == account_id, Pace.doubts >= DOUBTS)
    pace = session.scalar(doubted.with_for_update(key_share=True).execution_options(populate_existing=True))
    if pace is not None and pace.backoff_until is not None:
        tried_at = pace.backoff_until - pause_after(pace.doubts)
        pace.backoff_until = min(pace.backoff_until, max(real, tried_at + TRIED_EVERY))


def trust(session: Session, account_id: UUID, *, real: datetime) -> None:
    """The provider answered a request, whatever it said: all are sent again now, or when it asked us to."""
    doubted = select(Pace).where(Pace.account_id == account_id, Pace.doubts > 0).with_for_update(key_share=True)
    for pace in session.scalars(doubted.execution_options(populate_existing=True)):
        pause, pace.doubts = pause_after(pace.doubts), 0
        if pace.backoff_until is None or not real < pace.backoff_until <= real + pause:
            continue  # over; or longer than our own pause, so the provider asked for it
        claimed = (Call.account_id == account_id, Call.state == CallState.CLAIMED)
        let_go = select(Call.id).where(*claimed, Call.slot_at <= pace.backoff_until)  # no worker waited so long
        ids = session.scalars(let_go.with_for_update(skip_locked=True, key_share=True)).all()
        session.execute(update(Call).where(Call.id.in_(ids)).values(check_at=real))
        pace.backoff_until = real
