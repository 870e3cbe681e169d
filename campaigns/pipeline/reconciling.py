"""What we do not know is asked about, never guessed: lost answers, lost webhooks, calls that fell silent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from campaigns.ledger import Locked, due_again, heard, lock, lock_all, move, spoken_of
from campaigns.models import Call
from campaigns.rules.call_state import LIVE, CallState, Evidence
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.timing import Timing

MISSES = 3  # one answer may lag behind; three in a row, a question's interval apart, do not
LISTED_NEAR = (timedelta(seconds=10), timedelta(seconds=70))
"""Real time before and after the intent in which a call is created: its send budget and the longest answer, and clocks
that differ by seconds. One listing holds it up to ten calls a second."""
LISTED_FAR = (timedelta(minutes=2), timedelta(minutes=2))  # with clocks that differ by more
IN_ORDER = timedelta(milliseconds=1)  # between the next questions about calls that are asked about together now
BEHIND = timedelta(seconds=1)  # more than all of these


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
    quiet: bool
    """Whether its quiet period is over: where it is not found now, it is looked for once more, further around."""


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
    # All at once, in the ledger's order: in that of the deadlines we and whoever applies their events would deadlock.
    found = lock_all(session, ids, timing=timing)
    questions: list[Question] = []
    for call_id in ids:
        if call_id not in found:
            continue
        locked = found[call_id]
        call = locked.call
        if call.check_at is None or call.check_at > real or call.state == CallState.CLAIMED:
            continue
        if call.state == CallState.PLACING:
            why = "the worker vanished between the intent and the answer"
            move(locked, Evidence.UNCLEAR, now=now, real=real, why=why)
        # In the same order again, but for whom the provider did not answer: see `put_behind`.
        call.check_at = real + locked.timing.ask_again - (len(ids) - len(questions)) * IN_ORDER
        questions.append(
            Question(
                call_id=call_id,
                account_id=call.account_id,
                account=locked.campaign.account,
                provider_id=call.provider_id,
                intent_at=call.intent_at or call.claimed_at,
                settling=call.state == CallState.ENDED,
                quiet=call.quiet_at is None or call.quiet_at <= real,
            )
        )
    return questions


def put_behind(session: Session, call_id: UUID) -> None:
    """Ask about this call after all others: where no answer comes because of it, they are answered first."""
    waits = (Call.id == call_id, Call.state != CallState.CLAIMED, Call.check_at.is_not(None))
    session.execute(update(Call).where(*waits).values(check_at=Call.check_at + BEHIND))


def hand_back(session: Session, call_ids: Sequence[UUID], *, real: datetime) -> None:
    """Let these calls, which nobody got round to asking about, be the first to be asked about next time."""
    waiting = session.scalars(
        select(Call.id)
        .where(Call.id.in_(call_ids), Call.state != CallState.CLAIMED, Call.check_at.is_not(None))
        .with_for_update(skip_locked=True, key_share=True)  # whoever holds one is busy with what it says
    ).all()
    session.execute(update(Call).where(Call.id.in_(waiting)).values(check_at=real))


def seen(session: Session, call_id: UUID, *, real: datetime, timing: Timing) -> None:
    """The provider answered what it had answered before: nothing new, but the call is there."""
    locked = lock(session, call_id, timing=timing)
    if locked is not None:
        heard(locked, real=real)


def missed(session: Session, question: Question, *, now: datetime, real: datetime, timing: Timing) -> bool:
    """The provider says that it does not know the call; True where the call is over and can be settled without it.

    Only such answers count, three in a row: a provider that did not answer has not said that there is no call. Then
    one that had ended gets no report any more, and one that the provider had accepted is over. Of any other nobody
    can tell: it keeps holding its person until its quiet period is over, and after that until a person decides, or
    as the account's `unresolved` has it.
    """
    locked = lock(session, question.call_id, timing=timing)
    if locked is None:
        return False
    call = locked.call
    if call.provider_id != question.provider_id:
        return False  # its id came while we asked without it
    if call.settled_at is not None or call.state not in LIVE | {CallState.UNKNOWN, CallState.ENDED}:
        return False
    if call.state is CallState.UNKNOWN and call.provider_id is None and not question.quiet:
        return False  # it was looked for only where nearly all are
    call.asked = min(call.asked + 1, MISSES)
    if call.asked < MISSES:
        return False
    if call.state in LIVE and call.provider_id is not None:
        move(locked, Evidence.ENDED, now=now, real=real, why="the provider no longer knows it")
    if call.state is CallState.ENDED:
        return True
    if question.quiet:
        _no_trace(session, locked, now=now, real=real)
    return False


def _no_trace(session: Session, locked: Locked, *, now: datetime, real: datetime) -> None:
    call = locked.call
    why = "the provider was asked and does not know it"
    if call.state is CallState.UNKNOWN and call.state_why is not None:
        why = f"{call.state_why}; {why}"
    trusting = locked.campaign.account.unresolved == "not_placed"
    if trusting and call.state is CallState.UNKNOWN and not spoken_of(session, call):
        move(locked, Evidence.WITHDRAWN, now=now, real=real, why=f"taken for not placed: {why}")
        due_again(session, locked, now=now, why="the call before was taken for not placed")
    else:
        move(locked, Evidence.NO_TRACE, now=now, real=real, why=why)


def listing_windows(
    intents: Iterable[datetime], around: tuple[timedelta, timedelta], *, speed: float
) -> list[tuple[datetime, datetime]]:
    """From when to when the provider may have created calls with these intents, in the campaign's time.

    Windows that meet are one: the calls of a worker that died are looked for together.
    """
    before, after = around
    windows: list[tuple[datetime, datetime]] = []
    for intent_at in sorted(intents):
        start, end = intent_at - before * speed, intent_at + after * speed
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows
