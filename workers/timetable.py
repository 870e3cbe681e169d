"""How often each periodic task runs: the only place that says so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import schedule

EXPIRES_SECONDS = 10  # a tick that waited so long is dropped, so that few pile up; by the clocks of two machines


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of the timetable."""

    task: str
    every_seconds: float
    why: str


TICKS = (
    Tick("dispatch.tick", 1.0, "the net under the wake that follows every ended call"),
    Tick("events.sweep", 2.0, "finds stored events whose hint was lost, and retries those that failed"),
    Tick("events.suppress", 2.0, "finishes the opt-outs of ended calls where the process that settled them died"),
    Tick("upkeep.ask", 2.0, "asks about calls whose answer or whose webhooks are missing"),
    Tick("upkeep.withdraw", 2.0, "ends calls that wait for a line and may not start any more"),
    Tick("upkeep.advance", 2.0, "starts, ends and completes campaigns"),
    Tick("bulk.look", 5.0, "finds imports that wait for a worker, or whose worker died"),
)


def timetable() -> dict[str, dict[str, Any]]:
    """The timetable in Celery's form, by a clock that nobody sets: by one that was set back, beat would stand still."""
    began_at, began = datetime.now(UTC), time.monotonic()

    def steady() -> datetime:
        return began_at + timedelta(seconds=time.monotonic() - began)

    return {
        tick.task: {
            "task": tick.task,
            "schedule": schedule(tick.every_seconds, nowfun=steady),
            "options": {"expires": EXPIRES_SECONDS},
        }
        for tick in TICKS
    }
