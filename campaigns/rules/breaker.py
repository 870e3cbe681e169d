"""When too many calls fail by nobody's fault: the campaign had better stop and let a person look."""

from __future__ import annotations

from collections.abc import Sequence

from campaigns.rules.definition import Breaker
from campaigns.rules.outcome import TECHNICAL, OutcomeClass


def trips(latest: Sequence[OutcomeClass], breaker: Breaker) -> bool:
    """Whether the campaign's `latest` settled calls (the latest first) are enough, and enough of them failed."""
    window = latest[: breaker.calls]
    failed = sum(outcome in TECHNICAL for outcome in window)
    return breaker.enabled and len(window) == breaker.calls and failed >= breaker.share * breaker.calls
