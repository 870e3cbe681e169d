"""Applying: stored events become states, ended calls become outcomes."""

from __future__ import annotations

from campaigns import clock
from campaigns.pipeline import breaking, capacity, ingesting, settling
from campaigns.pipeline.ingesting import Applied
from campaigns.rules.outcome import TECHNICAL
from campaigns.settings import settings
from workers.app import app, hint, log, one_line, transaction
from workers.dispatch import refill

SWEEP_LIMIT = 500  # events to a sweep: a few seconds of work, and the next sweep goes on


@app.task(name="events.apply")
def apply_event(*event_ids: int) -> None:
    """Apply stored events and settle their calls. Run twice, the second finds them applied and changes nothing."""
    for event_id in event_ids:
        apply_one(event_id)


@app.task(name="events.sweep")
def sweep() -> None:
    """Apply the stored events that no hint brought here. Run twice at once, each event is still applied once."""
    with transaction() as session:
        waiting = ingesting.due(session, real=clock.read(session).real, limit=SWEEP_LIMIT)
    for event_id in waiting:
        apply_one(event_id)


def apply_one(event_id: int) -> None:
    """Apply and settle in one transaction; a failure is kept on the event, which stays due."""
    timing = settings().timing
    applied: Applied | None = None
    try:
        with transaction() as session:
            moment = clock.read(session)
            applied = ingesting.apply(session, event_id, now=moment.now, real=moment.real, timing=timing)
            if applied is not None:
                settling.settle(
                    session, applied.call_id, applied.ending, learned=applied.learned, now=moment.now, timing=timing
                )
    except Exception as problem:  # noqa: BLE001 - whatever it is, the event keeps it and is tried again
        _keep_failure(event_id, problem)
    else:
        if applied is not None:
            draw_conclusions(applied)


def draw_conclusions(applied: Applied) -> None:
    """What a call's end, once committed, means for others: a line is free, or there are fewer, or nothing works."""
    ending = applied.ending
    with one_line(f"drawing conclusions from the end of call {applied.call_id}"):
        if applied.freed and ending is not None and ending.no_line:
            with transaction() as session:
                moment = clock.read(session)
                why = "it ended a call because no line was free"
                capacity.refused(session, applied.account_id, why, now=moment.now, real=moment.real)
        elif ending is not None and ending.outcome in TECHNICAL:
            with transaction() as session:
                if breaking.pause_if_failing(session, applied.campaign_id, now=clock.read(session).now):
                    log.error("campaign %s paused itself: too many calls failed", applied.campaign_id)
    if applied.freed:
        hint(refill, str(applied.account_id))


def _keep_failure(event_id: int, problem: Exception) -> None:
    first_line = (str(problem).splitlines() or [""])[0]
    with transaction() as session:
        dead = ingesting.failed(
            session, event_id, f"{type(problem).__name__}: {first_line}", real=clock.read(session).real
        )
    where = "is in the dead letter" if dead else "will be tried again"
    log.error("event %s could not be applied and %s: %s", event_id, where, type(problem).__name__)
