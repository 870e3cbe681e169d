"""What follows an ended call: another try at a later time, or the end of the matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.rules.definition import RetryPlan
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.rules.prospect_state import ProspectState


@dataclass(frozen=True, slots=True)
class Again:
    """Call again, not before `not_before` (a wish: the calling window decides)."""

    not_before: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """Never again in this campaign."""

    state: ProspectState
    reason: str


CLOSING = {
    OutcomeClass.COMPLETED: Done(ProspectState.COMPLETED, "reached"),
    OutcomeClass.OPTED_OUT: Done(ProspectState.SUPPRESSED, "asked not to be called"),
    OutcomeClass.CUSTOMER_SIDE: Done(ProspectState.REFUSED, "the number cannot be called"),
    OutcomeClass.CANCELLED: Done(ProspectState.CANCELLED, "the call was cancelled"),
}
"""Classes after which nobody is called again, whatever the plan says."""


def after(
    outcome: OutcomeClass, *, attempts: int, calls: int, plan: RetryPlan, ended_at: datetime, capacity_wait: timedelta
) -> Again | Done:
    """What follows `outcome`.

    `attempts` and `calls` include the call that just ended. A call that the account's own limits ended never rang:
    it costs no attempt and comes again after `capacity_wait`, unless `max_calls` is used up.
    """
    if outcome in CLOSING:
        return CLOSING[outcome]
    if calls >= plan.max_calls:
        return Done(ProspectState.EXHAUSTED, f"{calls} calls made, which is the most this campaign makes")
    if outcome is OutcomeClass.CAPACITY:
        return Again(ended_at + capacity_wait)
    if attempts >= plan.max_attempts:
        return Done(ProspectState.EXHAUSTED, f"{attempts} attempts made, which is the most this campaign makes")
    if outcome in TECHNICAL and outcome not in plan.counts:
        delay = _rung(plan.technical, calls - attempts)
    else:
        delay = _rung(_ladder(outcome, plan), attempts)
    if delay is None:
        return Done(ProspectState.EXHAUSTED, f"the campaign does not call again after {outcome}")
    return Again(ended_at + delay)


def _ladder(outcome: OutcomeClass, plan: RetryPlan) -> Sequence[timedelta]:
    match outcome:
        case OutcomeClass.BUSY:
            return plan.busy
        case OutcomeClass.VOICEMAIL:
            return plan.voicemail
        case OutcomeClass.NO_ANSWER | OutcomeClass.CALLBACK:
            return plan.no_answer
        case _:
            return plan.technical


def _rung(ladder: Sequence[timedelta], turn: int) -> timedelta | None:
    """The delay after the `turn`-th call (from 1); the last one repeats; None where the ladder is empty."""
    if not ladder:
        return None
    return ladder[min(max(turn, 1), len(ladder)) - 1]
