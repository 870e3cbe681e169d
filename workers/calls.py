"""Placing: one claimed call, one request, one recorded answer."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from uuid import UUID

from campaigns import clock
from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent, SetupError, Throttled
from campaigns.pipeline import calling, dispatching, halting
from campaigns.pipeline.calling import Prepared
from campaigns.settings import settings
from campaigns.vapi.events import read_call
from workers.app import app, client, transaction

log = logging.getLogger(__name__)

LONGEST_SLEEP = timedelta(seconds=20)  # a slot further off is left to the next offer: the lease is 30 s
BACK_OFF = timedelta(seconds=5)  # when the provider says *later* without saying when, or cannot be reached


@app.task(name="calls.place")
def place_call(call_id: str) -> None:
    """Place one claimed call. Run twice, it places once: `prepare` hands out each claimed call a single time."""
    call = UUID(call_id)
    timing = settings().timing
    intent = _intend(call)
    if intent is None:
        return
    prepared, began = intent
    try:
        connection = client(prepared.account)
        if _uptime() - began > prepared.send_budget:
            raise NotSent(
                f"more than {prepared.send_budget.total_seconds():g} s passed between the intent and the request"
            )
        record = connection.create_call(prepared.request)
    except CallUnclear as doubt:
        log.warning("call %s is unclear and will be asked about: %s", call, doubt)
        with transaction() as session:
            moment = clock.read(session)
            calling.record_unclear(session, call, str(doubt), now=moment.now, real=moment.real, timing=timing)
    except (CallFailure, SetupError) as problem:
        failure = problem if isinstance(problem, CallFailure) else AccountRefused(str(problem))
        log.warning("call %s was not placed: %s", call, type(failure).__name__)
        with transaction() as session:
            moment = clock.read(session)
            calling.record_failure(session, call, failure, now=moment.now, real=moment.real, timing=timing)
        _draw_conclusions(prepared, failure)
    else:
        with transaction() as session:
            moment = clock.read(session)
            answer = read_call(record, now=moment.now)
            calling.record_accepted(session, call, answer, now=moment.now, real=moment.real, timing=timing)


def _intend(call: UUID) -> tuple[Prepared, timedelta] | None:
    """The committed intent and the uptime before it, once the call's slot has come; None where it is not for us."""
    timing = settings().timing
    while True:
        with transaction() as session:
            wait = calling.await_slot(session, call, real=clock.read(session).real, timing=timing)
        if wait is None or wait > LONGEST_SLEEP:
            return None
        time.sleep(wait.total_seconds())
        began = _uptime()
        with transaction() as session:
            if halting.moved(session) is not None:
                return None  # the ledger may have forgotten that it was sent: it stays claimed until somebody looked
            held = calling.hold_still(session, call, timing=timing)
            moment = clock.read(session)
            prepared = None if held is None else calling.prepare(session, held, now=moment.now, real=moment.real)
        if prepared is not None:
            return prepared, began
        # Withdrawn, taken by another, or its slot passed while we waited for locks: the next look tells.


def _draw_conclusions(prepared: Prepared, failure: CallFailure) -> None:
    """What a refusal means for everybody else who is to be called on the account or in the campaign."""
    with transaction() as session:
        moment = clock.read(session)
        match failure:
            case AccountRefused():
                halting.stop_account(session, prepared.account_id, str(failure), now=moment.now)
            case CallRefused():
                if halting.pause_if_all_refused(session, prepared.campaign_id, now=moment.now):
                    log.error("campaign %s was paused: the provider refuses all its calls", prepared.campaign_id)
            case Throttled() | NotSent():
                dispatching.back_off(
                    session, prepared.account_id, until=moment.real + (failure.retry_after or BACK_OFF)
                )
            case _:
                pass  # the one call is all it says something about


def _uptime() -> timedelta:
    """A clock that only goes forward and also counts the time for which the machine or the process was suspended."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
