"""How often each periodic task runs: the only place that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of the timetable. A tick that could not run within its interval is dropped, so that none pile up."""

    task: str
    every_seconds: float
    why: str


TICKS = (
    Tick("dispatch.tick", 1.0, "the net under the wake that follows every ended call"),
    Tick("events.sweep", 2.0, "finds stored events whose hint was lost, and retries those that failed"),
    Tick("upkeep.ask", 2.0, "asks about calls whose answer or whose webhooks are missing"),
    Tick("upkeep.withdraw", 2.0, "ends calls that wait for a line and may not start any more"),
    Tick("upkeep.advance", 2.0, "starts, ends and completes campaigns"),
)


def timetable() -> dict[str, dict[str, Any]]:
    """The timetable in Celery's form."""
    return {
        tick.task: {"task": tick.task, "schedule": tick.every_seconds, "options": {"expires": tick.every_seconds}}
        for tick in TICKS
    }
