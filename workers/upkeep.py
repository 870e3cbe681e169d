"""Upkeep: ask about what is unknown, move campaigns along. Tasks of seconds only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from campaigns import clock
from campaigns.clock import Moment
from campaigns.errors import CallFailure, SetupError
from campaigns.ledger import US
from campaigns.pipeline import (
    breaking,
    budgeting,
    doubting,
    ingesting,
    reconciling,
    scheduling,
    settling,
    withdrawing,
)
from campaigns.pipeline.ingesting import Applied
from campaigns.pipeline.reconciling import Question
from campaigns.pipeline.settling import Ended
from campaigns.settings import settings
from campaigns.vapi.client import HangUpResult
from campaigns.vapi.events import read_call
from workers.app import app, client, for_each, log, one_line, pause_if_at_fault, transaction, watch
from workers.events import draw_conclusions
from workers.listings import Listings

ASK_LIMIT = 50  # questions to a tick: at 0.3 s each, about what fits into the seconds below
UNPRICED_LIMIT = 200  # calls to a tick: their locks are held for a tenth of a second
ASK_SECONDS = 10.0  # after which a tick asks no more: campaigns are moved along by the same workers


@app.task(name="upkeep.advance")
def advance() -> bool:
    """Start, end and complete campaigns whose time has come. Run twice, the second finds nothing left to move.

    False where each of them failed.

    Before one completes, it is seen whether its calls failed by nobody's fault: then it pauses, and completes nobody.
    Those that have spent their budget pause too.
    """
    with transaction() as session:
        watched, spending = breaking.watched(session), budgeting.watched(session)
    for_each("watching campaign", watched, watch)
    for_each("watching the budget of campaign", spending, _watch_budget)
    with one_line("counting calls of which nobody said what they cost"), transaction() as session:
        settling.give_up_on_costs(session, now=clock.read(session).now, timing=settings().timing, limit=UNPRICED_LIMIT)
    with transaction() as session:
        ripe = scheduling.ripe(session, now=clock.read(session).now)
    return for_each("moving along campaign", ripe, _move)


def _watch_budget(campaign_id: UUID) -> None:
    with transaction() as session:
        paused = budgeting.pause_if_used_up(session, campaign_id, now=clock.read(session).now)
    if paused:
        log.warning("campaign %s has spent its budget and paused itself", campaign_id)


def _move(campaign_id: UUID) -> None:
    with transaction() as session:
        now = clock.read(session).now
        # Asked once more: its last calls may have failed since.
        moved = scheduling.advance(session, campaign_id, now=now, at_fault=partial(pause_if_at_fault, session, now=now))
    for name, state in moved:
        log.info("campaign %s is %s", name, state)


@app.task(name="upkeep.withdraw")
def withdraw() -> None:
    """End calls that wait at the provider for a line and may not start any more. Run twice, each is ended once."""
    began = time.monotonic()
    with transaction() as session:
        moment = clock.read(session)
        unwanted = withdrawing.unwanted(session, now=moment.now, real=moment.real, limit=ASK_LIMIT)
    silent: set[UUID] = set()
    for tried, (call_id, account_id) in enumerate(unwanted):
        if tried and time.monotonic() - began > ASK_SECONDS:
            return  # the rest are tried by the next tick, and before those that were tried by this one
        if account_id in silent:
            continue  # ended as soon as its provider answers again: those of others do not wait for it
        with one_line(f"ending call {call_id}, which waits for a line"):
            with transaction() as session:
                moment = clock.read(session)
                why = withdrawing.take_back(
                    session, call_id, now=moment.now, real=moment.real, timing=settings().timing
                )
                if why is None:
                    continue
                live = withdrawing.find_live(session, str(call_id))
            try:
                done = client(live.account).hang_up(live.provider_id)
            except CallFailure as problem:
                if problem.status is None:
                    silent.add(account_id)
                log.warning("call %s waits for a line and cannot be ended yet: %s", call_id, problem)
                continue
            if done.result is HangUpResult.IMPOSSIBLE:
                log.warning("call %s waits for a line and cannot be ended yet: %s", call_id, done.why)
                continue
            with transaction() as session:
                withdrawing.record_hang_up(
                    session,
                    live,
                    result=done.result,
                    detail=done.why,
                    who=US,
                    why=why,
                    now=clock.read(session).now,
                )


@app.task(name="upkeep.ask")
def ask() -> None:
    """Ask the provider about calls that are unknown or silent. Run twice at once, each call is asked about once."""
    began = time.monotonic()
    with transaction() as session:
        moment = clock.read(session)
        questions = reconciling.overdue(
            session, now=moment.now, real=moment.real, timing=settings().timing, limit=ASK_LIMIT
        )
    silent: set[UUID] = set()
    listings = Listings(questions, speed=moment.speed)
    for asked, question in enumerate(questions):
        if asked and time.monotonic() - began > ASK_SECONDS:
            with transaction() as session:
                left = [left.call_id for left in questions[asked:] if left.account_id not in silent]
                reconciling.hand_back(session, left, real=clock.read(session).real)
            return
        if question.account_id in silent:
            continue  # asked again after its interval, as if it had been asked now
        with one_line(f"asking about call {question.call_id}"):
            if not _ask_about(question, listings):
                silent.add(question.account_id)
                with transaction() as session:
                    reconciling.put_behind(session, question.call_id)


def _ask_about(question: Question, listings: Listings) -> bool:
    """Learn what the provider knows of one call, and act on it as on any other event; False where it is away."""
    try:
        provider = client(question.account)
        if question.provider_id is None:
            record = listings.find(question, provider)
        else:
            record = provider.get_call(question.provider_id)
    except (CallFailure, SetupError) as problem:
        log.warning("the provider did not say what became of call %s: %s", question.call_id, problem)
        return isinstance(problem, CallFailure) and problem.status is not None
    timing = settings().timing
    applied: Applied | None = None
    with transaction() as session:
        moment = clock.read(session)
        if record is None:
            give_up = reconciling.missed(session, question, now=moment.now, real=moment.real, timing=timing)
        else:
            give_up = question.settling
            applied = _learn(session, question, record, moment)
        if give_up:
            over = Ended(question.call_id, None, learned="asked", give_up=True)
            settling.settle(session, over, now=moment.now, timing=timing)
        doubting.answers(session, question.account_id, real=moment.real)
    if applied is not None:
        draw_conclusions([applied])
    return True


def _learn(session: Session, question: Question, record: Mapping[str, Any], moment: Moment) -> Applied | None:
    timing = settings().timing
    answer = read_call(record, now=moment.now, waited=question.settling)
    event_id, created = ingesting.store(
        session, question.account_id, answer, learned="asked", now=moment.now, real=moment.real
    )
    if event_id is None or not created:
        reconciling.seen(session, question.call_id, real=moment.real, timing=timing)
        return None
    applied = ingesting.apply_alone(session, event_id, now=moment.now, real=moment.real, timing=timing)
    if applied is not None:
        # As it was read here: how long we have waited is not stored with the event.
        ending = None if applied.ending is None else answer.ending
        ended = Ended(applied.call_id, ending, learned="asked", locked=applied.locked)
        settling.settle(session, ended, now=moment.now, timing=timing)
    return applied
