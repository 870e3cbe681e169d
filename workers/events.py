"""Applying: stored events become states, ended calls become outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from campaigns import clock
from campaigns.clock import Moment
from campaigns.pipeline import ceiling, doubting, ingesting, settling, suppressing
from campaigns.pipeline.ingesting import Applied
from campaigns.pipeline.settling import Ended
from campaigns.rules.outcome import TECHNICAL
from campaigns.rules.wishes import opted_out
from campaigns.settings import settings
from workers.app import app, for_each, hint, log, one_line, transaction, watch
from workers.dispatch import refill

LARGEST_BATCH = 50  # events to a transaction: its locks are held for a tenth of a second
SWEEP_LIMIT = 500  # events to a sweep: a few seconds of work, and the next sweep goes on


@app.task(name="events.apply")
def apply_events(*event_ids: int) -> None:
    """Apply stored events and settle their calls. Run twice, the second finds them applied and changes nothing."""
    apply_all(event_ids, more=max(0, LARGEST_BATCH - len(event_ids)))


@app.task(name="events.sweep")
def sweep() -> None:
    """Apply the stored events that no hint brought here. Run twice at once, each event is still applied once."""
    with transaction() as session:
        waiting = ingesting.due(session, real=clock.read(session).real, limit=SWEEP_LIMIT)
    for start in range(0, len(waiting), LARGEST_BATCH):
        apply_all(waiting[start : start + LARGEST_BATCH])


@app.task(name="events.suppress")
def suppress() -> None:
    """Finish the opt-outs of ended calls where nobody did. Run twice, the second finds them finished."""
    with transaction() as session:
        entries = suppressing.to_apply(session, limit=SWEEP_LIMIT)
    for_each("applying do-not-call entry", entries, _apply_entry)


def _apply_entry(entry_id: int) -> None:
    with transaction() as session:
        suppressing.apply(session, entry_id, now=clock.read(session).now)


def apply_all(event_ids: Sequence[int], *, more: int = 0) -> None:
    """Apply and settle in one transaction, with up to `more` that wait too where the workers are behind.

    Where that fails each event is tried alone, and keeps its own failure.
    """
    timing = settings().timing
    try:
        with transaction() as session:
            moment = clock.read(session)
            applied, strays = ingesting.apply(
                session, event_ids, now=moment.now, real=moment.real, timing=timing, more=more
            )
            _settle(session, applied, moment)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the event keeps it and is tried again
        if len(event_ids) == 1 and not more:
            _keep_failure(event_ids[0], problem)
            return
        log.warning("%s events could not be applied together: %s", len(event_ids), type(problem).__name__)
        for event_id in event_ids:
            apply_all([event_id])
        return
    draw_conclusions(applied)
    for event_id in strays:
        _apply_alone(event_id)


def _apply_alone(event_id: int) -> None:
    try:
        with transaction() as session:
            moment = clock.read(session)
            found = ingesting.apply_alone(session, event_id, now=moment.now, real=moment.real, timing=settings().timing)
            applied = [] if found is None else [found]
            _settle(session, applied, moment)
    except Exception as problem:  # noqa: BLE001 - as above
        _keep_failure(event_id, problem)
    else:
        draw_conclusions(applied)


def _settle(session: Session, applied: Sequence[Applied], moment: Moment) -> None:
    ends = [Ended(each.call_id, each.ending, learned=each.learned, locked=each.locked) for each in applied]
    if ends:
        settling.settle(session, *ends, now=moment.now, timing=settings().timing)


def draw_conclusions(applied: Sequence[Applied]) -> None:
    """What calls' ends, once committed, mean for others: a person is to be left alone, a line is free, or there are
    fewer, or nothing works.

    And where a request became a call without an answer, the provider is there.
    """
    stops = [each.call_id for each in applied if _is_opt_out(each)]
    if stops:
        with transaction() as session:
            entries = suppressing.said_in(session, stops)
        for_each("applying do-not-call entry", entries, _apply_entry)
    for account_id in sorted({each.account_id for each in applied if each.found}):
        with one_line(f"trusting account {account_id}"), transaction() as session:
            doubting.trust(session, account_id, real=clock.read(session).real)
    for each in applied:
        if each.freed and each.ending is not None and each.ending.no_line:
            with one_line(f"lowering the lines of account {each.account_id}"), transaction() as session:
                moment = clock.read(session)
                why = "it ended a call because no line was free"
                ceiling.refused(session, each.account_id, why, now=moment.now, real=moment.real)
    failing = {each.campaign_id for each in applied if each.ending is not None and each.ending.outcome in TECHNICAL}
    for_each("watching campaign", sorted(failing), watch)
    for account_id in sorted({each.account_id for each in applied if each.freed}):
        hint(refill, str(account_id))


def _is_opt_out(applied: Applied) -> bool:
    signals = applied.locked.campaign.definition.signals
    return applied.ending is not None and opted_out(applied.ending, signals) is not None


def _keep_failure(event_id: int, problem: Exception) -> None:
    first_line = (str(problem).splitlines() or [""])[0]
    with transaction() as session:
        dead = ingesting.failed(
            session, event_id, f"{type(problem).__name__}: {first_line}", real=clock.read(session).real
        )
    where = "is in the dead letter" if dead else "will be tried again"
    log.error("event %s could not be applied and %s: %s", event_id, where, type(problem).__name__)
