"""Upkeep: ask about what is unknown, move campaigns along. Tasks of seconds only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaigns import clock
from campaigns.errors import CallFailure, SetupError
from campaigns.pipeline import ingesting, reconciling, scheduling, settling
from campaigns.pipeline.reconciling import Question
from campaigns.settings import settings
from campaigns.vapi.client import Client
from campaigns.vapi.events import read_call
from workers.app import app, client, log, one_line, transaction

ASK_LIMIT = 50  # questions to a tick: at 0.3 s each, about what fits into the task's time limit with room to spare


@app.task(name="upkeep.advance")
def advance() -> None:
    """Start, end and complete campaigns whose time has come. Run twice, the second finds nothing left to move."""
    with transaction() as session:
        for name, state in scheduling.advance(session, now=clock.read(session).now):
            log.info("campaign %s is %s", name, state)


@app.task(name="upkeep.ask")
def ask() -> None:
    """Ask the provider about calls that are unknown or silent. Run twice at once, each call is asked about once."""
    with transaction() as session:
        moment = clock.read(session)
        questions = reconciling.overdue(
            session, now=moment.now, real=moment.real, timing=settings().timing, limit=ASK_LIMIT
        )
    for question in questions:
        with one_line(f"asking about call {question.call_id}"):
            ask_about(question, client(question.account))


def ask_about(question: Question, provider: Client) -> None:
    """Learn what the provider knows of one call, and act on it as on any other event."""
    try:
        record = _look_up(question, provider)
    except (CallFailure, SetupError) as problem:
        log.warning("the provider did not say what became of call %s: %s", question.call_id, problem)
        return
    timing = settings().timing
    with transaction() as session:
        moment = clock.read(session)
        if record is None:
            if question.provider_id is None:
                reconciling.no_trace(session, question.call_id, now=moment.now, real=moment.real, timing=timing)
            elif question.settling or reconciling.gone(
                session, question.call_id, now=moment.now, real=moment.real, timing=timing
            ):
                settling.settle(
                    session, question.call_id, None, learned="asked", now=moment.now, timing=timing, give_up=True
                )
            return
        event_id, created = ingesting.store(
            session,
            question.account_id,
            read_call(record, now=moment.now),
            learned="asked",
            now=moment.now,
            real=moment.real,
        )
        if event_id is not None and created:
            applied = ingesting.apply(session, event_id, now=moment.now, real=moment.real, timing=timing)
            if applied is not None:
                settling.settle(
                    session, applied.call_id, applied.ending, learned="asked", now=moment.now, timing=timing
                )
        if question.settling:
            settling.settle(
                session, question.call_id, None, learned="asked", now=moment.now, timing=timing, give_up=True
            )


def _look_up(question: Question, provider: Client) -> Mapping[str, Any] | None:
    if question.provider_id is not None:
        return provider.get_call(question.provider_id)
    with transaction() as session:
        moment = clock.read(session)
    created_from, created_to = reconciling.listing_window(question, speed=moment.speed)
    for record in provider.list_calls(created_from, created_to):
        if read_call(record, now=moment.now).call_id == question.call_id:
            return record
    return None
