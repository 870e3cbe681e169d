"""What we do not know is asked about, never guessed: lost answers, lost webhooks, calls that fell silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.ledger import lock, move
from campaigns.models import Call
from campaigns.rules.call_state import LIVE, CallState, Evidence
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.timing import Timing

LISTINGS_BEFORE_REVIEW = 3  # one listing may lag; three that are complete and spread over the quiet period do not
LISTING_MARGIN = timedelta(minutes=2)  # real time around the intent in which the provider may have created the call


@dataclass(frozen=True, slots=True)
class Question:
    """One call that the provider is to be asked about."""

    call_id: UUID
    account_id: UUID
    account: AccountDefinition
    provider_id: str | None
    """None: the answer to our request was lost, so it is looked for in a listing."""
    intent_at: datetime
    settling: bool
    """Whether only the report of an ended call is missing."""


def overdue(session: Session, *, now: datetime, real: datetime, timing: Timing, limit: int) -> list[Question]:
    """The calls to ask about now. Each is postponed at once, so that two askers do not ask the same.

    A call whose worker vanished between intent and answer becomes `unknown` here; claimed calls are not ours: nothing
    was sent for them, and the dispatcher offers them again.
    """
    ids = session.scalars(
        select(Call.id)
        .where(Call.check_at <= real, Call.state != CallState.CLAIMED)
        .order_by(Call.check_at)
        .limit(limit)
    ).all()
    questions = []
    for call_id in ids:
        locked = lock(session, call_id, timing=timing)
        if locked is None:
            continue
        call = locked.call
        if call.check_at is None or call.check_at > real or call.intent_at is None:
            continue
        if call.state == CallState.PLACING:
            why = "the worker vanished between the intent and the answer"
            move(locked, Evidence.UNCLEAR, now=now, real=real, why=why)
        call.check_at = real + locked.timing.ask_again
        questions.append(
            Question(
                call_id=call_id,
                account_id=call.account_id,
                account=locked.campaign.account,
                provider_id=call.provider_id,
                intent_at=call.intent_at,
                settling=call.state == CallState.ENDED,
            )
        )
    return questions


def no_trace(session: Session, call_id: UUID, *, now: datetime, real: datetime, timing: Timing) -> bool:
    """A complete listing does not show the call; True where it is now for a person to review.

    Nobody is rung again meanwhile: the call keeps holding its person until its quiet period is over and three
    listings agree, and after that until somebody decides.
    """
    locked = lock(session, call_id, timing=timing)
    if locked is None:
        return False
    call = locked.call
    if call.state != CallState.UNKNOWN or call.quiet_at is None:
        return False
    call.asked += 1  # here, not with the question: a provider that did not answer has not said that there is no call
    if real < call.quiet_at or call.asked < LISTINGS_BEFORE_REVIEW:
        return False
    why = "the provider does not list it, and its answer never came"
    move(locked, Evidence.NO_TRACE, now=now, real=real, why=why)
    return True


def gone(session: Session, call_id: UUID, *, now: datetime, real: datetime, timing: Timing) -> bool:
    """The provider no longer knows a call that it had accepted; True where that ended it."""
    locked = lock(session, call_id, timing=timing)
    if locked is None:
        return False
    call = locked.call
    if call.state not in LIVE:
        return False
    call.asked += 1
    if call.asked < LISTINGS_BEFORE_REVIEW:
        return False
    move(locked, Evidence.ENDED, now=now, real=real, why="the provider no longer knows it")
    return True


def listing_window(question: Question, *, speed: float) -> tuple[datetime, datetime]:
    """From when to when the provider may have created the call, in the campaign's time."""
    margin = LISTING_MARGIN * speed
    return question.intent_at - margin, question.intent_at + margin
