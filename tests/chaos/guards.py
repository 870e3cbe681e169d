"""The harness tested: with a guard switched off, the case that needs it must fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from celery import Celery

from tests.chaos.cases import CASES, FAULTY, STOPS, TWO_DISPATCHERS, stopped
from tests.chaos.running import FEW_LINES, Case, Run
from tests.journeys.promises import DOUBLE


@dataclass(frozen=True)
class Removal:
    """A guard, and the case that must fail without it."""

    guard: str
    case: Case
    sign: str
    """What must be said against it; whatever else breaks may be by the way."""
    seen: Callable[[Run], object] = lambda _run: False
    """Whether it shows already, so that the run need not go on."""


def _posted_again(run: Run) -> object:
    return run.provider.ledger()["totals"]["repeated_names"]


def _held_twice(run: Run) -> object:
    return any(broken.figure == DOUBLE for broken in list(run.watch.seen.values()))


def _stored_twice(run: Run) -> object:
    return run.sql("SELECT dedupe_key FROM events GROUP BY account_id, dedupe_key HAVING count(*) > 1 LIMIT 1")


def _over_and_went_on(run: Run) -> object:
    return run.sql("SELECT call_id FROM events WHERE effect = 'move to ended' GROUP BY call_id HAVING count(*) > 1")


def _refilled_side_by_side(run: Run) -> None:
    """Hints about free lines come for both accounts at once: whoever is due for both is claimed by the two together."""
    accounts = [str(row.id) for row in run.sql("SELECT id FROM accounts")]
    with Celery(broker=run.system.redis_url, set_as_current=False) as sender:
        for _ in run.going_on():
            for account in accounts:
                sender.send_task("dispatch.refill", args=[account], queue="dispatch", expires=60)
            time.sleep(0.5)
            if _held_twice(run):
                return


def _named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


_SLOW_CLAIMS = [{"point": "before_claim", "do": "sleep", "chance": 1, "seconds": 0.7}]
_FAULTY = _named("provider accepts and fails")
# Answers hang past the lease, and no webhook tells of the call before: it would be offered again.
_UNHEARD = {"post_faults": {**FAULTY, "accept_then_hang": 0.2}, "webhooks": {"lost": 1.0}}
_DISORDERLY = _named("webhooks go astray")

REMOVALS = (
    Removal("intent", replace(_FAULTY, guards=["intent"], provider=_UNHEARD), "was posted", _posted_again),
    Removal(
        "state comparison",
        replace(_named("every hint five times"), guards=["state comparison"]),
        "was posted",
        _posted_again,
    ),
    Removal(
        "person index",
        Case(
            "two accounts claim side by side",
            _refilled_side_by_side,
            extra=TWO_DISPATCHERS,
            shared=0.5,
            points=_SLOW_CLAIMS,
            schema=["DROP INDEX uq_calls_person_held", "DROP INDEX uq_calls_prospect_held"],
        ),
        "was held by",
        _held_twice,
    ),
    Removal(
        "expired placing",
        replace(_FAULTY, guards=["expired placing"], provider=_UNHEARD),
        "was posted",
        _posted_again,
    ),
    Removal(
        "send budget", replace(_named("asleep between intent and POST"), guards=["send budget"]), "after its intent"
    ),
    Removal(
        "capacity lock",
        Case(
            "two dispatchers and slow claims",
            extra=TWO_DISPATCHERS,
            lines=FEW_LINES,
            points=_SLOW_CLAIMS,
            guards=["capacity lock"],
        ),
        "at once",
    ),
    Removal("share locks", Case("stopped", stopped, points=STOPS, guards=["share locks"]), "had returned"),
    Removal(
        "terminal states", replace(_DISORDERLY, guards=["terminal states"]), "were over and went on", _over_and_went_on
    ),
    Removal(
        "dedupe key",
        replace(_DISORDERLY, schema=["ALTER TABLE events DROP CONSTRAINT uq_events_account_id_dedupe_key"]),
        "are stored more than once",
        _stored_twice,
    ),
)
