"""What a stop did not prevent: it is waited for while it may still be sent, and then named."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import typer

from campaigns import db
from campaigns.pipeline import scheduling, suppressing
from campaigns.rules.call_state import CallState
from campaigns.rules.timing import Timing

InFlight = Sequence[tuple[UUID, CallState]]


def wait_for_sending(
    url: str, campaign: str | None, *, person_id: int | None = None, suppressed: bool = False
) -> InFlight:
    """The calls in flight, of one campaign or of all, once every request about to leave has left or given up.

    With `person_id` only those of that person; with `suppressed` those of people who are not to be called any more.
    """
    deadline = time.monotonic() + (Timing().send_budget + timedelta(seconds=1)).total_seconds()
    while True:
        with db.transaction(url) as session:
            campaign_id = None if campaign is None else scheduling.find(session, campaign).id
            if suppressed:
                in_flight = suppressing.in_flight(session, campaign_id)
            else:
                in_flight = scheduling.still_in_flight(session, campaign_id, person_id=person_id)
        if time.monotonic() > deadline or not any(state is CallState.PLACING for _, state in in_flight):
            return in_flight
        time.sleep(0.1)


def as_json(in_flight: InFlight) -> list[dict[str, str]]:
    """The calls in flight as JSON."""
    return [{"call": str(call_id), "state": state} for call_id, state in in_flight]


def name_them(in_flight: InFlight) -> None:
    """One line for each call in flight."""
    for call_id, state in in_flight:
        typer.echo(f"still in flight: call {call_id} is {state}")
