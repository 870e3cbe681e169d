"""Placing: for each claimed call one request and one recorded answer; several side by side where slots are close."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from campaigns import clock
from campaigns.clock import Moment
from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent, SetupError, Throttled
from campaigns.pipeline import calling, ceiling, doubting, halting
from campaigns.pipeline.calling import Prepared
from campaigns.rules.call_state import PLACED, CallState
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.pacing import EARLY, TOGETHER
from campaigns.settings import settings
from campaigns.vapi.client import Client
from campaigns.vapi.events import Limits, Message, read_call
from workers.app import app, client, hint, one_line, pause_if_at_fault, transaction

log = logging.getLogger(__name__)

BACK_OFF = timedelta(seconds=5)  # when the provider says *later* without saying when, or cannot be reached
GATHER_SECONDS = 0.05  # after an answer, in which others come that are recorded in the same transaction


@dataclass(frozen=True, slots=True)
class Ready:
    """A call to be sent once: at `send_at` by the monotonic clock, and not when the uptime is past `send_until`.

    Without `send_at` its turn would come too late, and it is not sent at all.
    """

    prepared: Prepared
    connection: Client | AccountRefused
    send_at: float | None
    send_until: timedelta


@app.task(name="calls.place")
def place_calls(*call_ids: str) -> None:
    """Place claimed calls, each at its slot. Run twice, it places each once: `prepare` hands them out a single time."""
    waiting = {UUID(call_id) for call_id in call_ids}
    while waiting:
        prepared, waiting = _intend(waiting)
        # Who is not among them must not wait until the slowest of them is answered.
        if prepared and waiting and hint(place_calls, *map(str, waiting)):
            waiting = set()
        _send(prepared)


def _intend(calls: set[UUID]) -> tuple[list[Ready], set[UUID]]:
    """Those of the calls whose slots come first, their intents committed, and who waits still."""
    timing = settings().timing
    with transaction() as session:
        waits = calling.await_slots(session, calls, real=clock.read(session).real)
    if not waits:
        return [], set()
    first = min(waits.values())
    time.sleep(max(first - EARLY, timedelta(0)).total_seconds())
    began = _uptime()
    with transaction() as session:
        if halting.moved(session) is not None:
            # The ledger may have forgotten that they were sent: they stay claimed until somebody looks.
            return [], set()
        held = calling.hold_still(
            session, [call for call, wait in waits.items() if wait < first + TOGETHER], timing=timing
        )
        moment, read_at = clock.read(session), time.monotonic()
        prepared = calling.prepare(session, held, now=moment.now, real=moment.real)
    # The others were withdrawn, taken by another, or have another slot: the next look tells. Those that were only taken
    # along have a hint of their own.
    left = (calls & waits.keys()) - {each.call_id for each in prepared}
    by_account: dict[UUID, list[Prepared]] = {}
    for each in prepared:
        by_account.setdefault(each.account_id, []).append(each)
    return [ready for each in by_account.values() for ready in _queue_up(each, began, moment.real, read_at)], left


def _queue_up(prepared: Sequence[Prepared], began: timedelta, real: datetime, read_at: float) -> list[Ready]:
    """The calls of one account, each with the moment at which it is its turn to leave.

    `real` was at `read_at` by the monotonic clock, when the slots were looked at: should the database be away now, the
    calls leave at their slots. Their intents are committed, and of a call that never left nobody could tell.
    """
    connection = _connected(prepared[0].account)  # before its turn: the first one of a process takes a while
    turns: list[datetime | None] = [max(each.slot_at, real) for each in prepared]
    try:
        with transaction() as session:
            pace = calling.lock_turns(session, prepared[0].account_id)
            moment, then = clock.read(session), time.monotonic()
            taken = calling.take_turns(pace, prepared, real=moment.real)
        turns, real, read_at = taken, moment.real, then
    except SQLAlchemyError as problem:
        log.warning("%s calls leave at their slots, in no line: %s", len(prepared), type(problem).__name__)
    send_at = [None if turn is None else read_at + (turn - real).total_seconds() for turn in turns]
    return [Ready(each, connection, at, began + each.send_budget) for each, at in zip(prepared, send_at, strict=True)]


def _send(ready: Sequence[Ready]) -> None:
    """Make the requests, side by side, and record the answers as they come."""
    if not ready:
        return
    with ThreadPoolExecutor(len(ready)) as pool:
        unanswered = {pool.submit(_request, each): each.prepared for each in ready}
        while unanswered:
            wait(unanswered, return_when=FIRST_COMPLETED)
            done, _ = wait(unanswered, timeout=GATHER_SECONDS)
            answered = [(unanswered.pop(future), future) for future in done]
            with one_line(f"recording the answers for {len(answered)} calls"):
                _record([(prepared, future.result()) for prepared, future in answered])


def _connected(account: AccountDefinition) -> Client | AccountRefused:
    try:
        return client(account)
    except SetupError as problem:
        return AccountRefused(str(problem))


def _request(ready: Ready) -> Mapping[str, Any] | CallFailure:
    """The provider's answer to the one request, made at its slot, or why there is none."""
    if isinstance(ready.connection, AccountRefused):
        return ready.connection
    budget = ready.prepared.send_budget.total_seconds()
    if ready.send_at is None:
        return NotSent(f"its turn would come more than {budget:g} s after the intent")
    time.sleep(max(0.0, ready.send_at - time.monotonic()))
    if _uptime() > ready.send_until:
        return NotSent(f"more than {budget:g} s passed between the intent and the request")
    try:
        return ready.connection.create_call(ready.prepared.request)
    except CallFailure as failure:
        return failure


def _record(answers: Sequence[tuple[Prepared, Mapping[str, Any] | CallFailure]]) -> None:
    news: list[tuple[Prepared, Limits]] = []
    with transaction() as session:
        moment = clock.read(session)
        said: dict[UUID, Message | CallFailure] = {}
        for prepared, answer in answers:
            if isinstance(answer, CallFailure):
                said[prepared.call_id] = answer
                continue
            message = said[prepared.call_id] = read_call(answer, now=moment.now)
            if message.limits is not None and _is_news(session, prepared, message.limits, moment):
                news.append((prepared, message.limits))
        states = calling.record(session, said, now=moment.now, real=moment.real, timing=settings().timing)
        answered = {each.account_id for each, answer in answers if _was_answered(answer, states[each.call_id])}
        for account_id in answered:
            doubting.trust(session, account_id, real=moment.real)
    for prepared, answer in answers:
        if isinstance(answer, CallFailure):
            what = "is unclear and will be asked about" if isinstance(answer, CallUnclear) else "was not placed"
            log.warning("call %s %s: %s", prepared.call_id, what, type(answer).__name__)
            _draw_conclusions(prepared, answer, states[prepared.call_id])
    for prepared, limits in news:
        _learn_lines(prepared, limits)


def _was_answered(answer: Mapping[str, Any] | CallFailure, state: CallState) -> bool:
    """Whether the provider dealt with the request; where its answer was lost, a webhook may have told."""
    if isinstance(answer, CallUnclear):
        return state in PLACED
    return not isinstance(answer, NotSent)


def _is_news(session: Session, prepared: Prepared, limits: Limits, moment: Moment) -> bool:
    concurrency = prepared.account.concurrency
    return ceiling.is_news(session, prepared.account_id, limits, concurrency=concurrency, real=moment.real)


def _draw_conclusions(prepared: Prepared, failure: CallFailure, state: CallState) -> None:
    """What a refusal means for everybody else who is to be called on the account or in the campaign."""
    with transaction() as session:
        moment = clock.read(session)
        match failure:
            case AccountRefused():
                halting.stop_account(session, prepared.account_id, str(failure), now=moment.now)
            case CallRefused():
                pause_if_at_fault(session, prepared.campaign_id, now=moment.now)
            case Throttled() | NotSent():
                if isinstance(failure, Throttled) and failure.no_line:
                    ceiling.refused(session, prepared.account_id, str(failure), now=moment.now, real=moment.real)
                doubting.back_off(session, prepared.account_id, until=moment.real + (failure.retry_after or BACK_OFF))
            case CallUnclear() if state is CallState.UNKNOWN:
                doubting.doubt(session, prepared.account_id, real=moment.real)
            case _:
                pass  # the one call is all it says something about


def _learn_lines(prepared: Prepared, limits: Limits) -> None:
    """What an answer said of the account's lines, once what became of its call is committed."""
    with transaction() as session:
        moment = clock.read(session)
        ceiling.told(session, prepared.account_id, limits, real=moment.real)
        if limits.blocked:
            ceiling.refused(
                session,
                prepared.account_id,
                "it accepted a call and had no line for it",
                now=moment.now,
                real=moment.real,
                remaining=limits.remaining,
            )


def _uptime() -> timedelta:
    """A clock that only goes forward and also counts the time for which the machine or the process was suspended."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
