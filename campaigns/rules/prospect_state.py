"""Where a prospect stands."""

from __future__ import annotations

from enum import StrEnum


class ProspectState(StrEnum):
    """Every prospect is in one of these, and ends in one of the final ones or in `review`."""

    WAITING = "waiting"
    """To be called at `due_at`."""
    HELD = "held"
    """Not to be called until something is mended; the reason is on the row."""
    IN_CALL = "in_call"
    """A call row holds the person."""
    SETTLING = "settling"
    """The call is over, its report is not here yet."""
    REVIEW = "review"
    """Nobody can tell whether the person was rung: a person decides."""

    COMPLETED = "completed"
    EXHAUSTED = "exhausted"
    """Every permitted attempt was made."""
    REFUSED = "refused"
    """The provider or the carrier refuses this number for good."""
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    """The campaign ended first."""
    CANCELLED = "cancelled"


FINAL = frozenset(
    {
        ProspectState.COMPLETED,
        ProspectState.EXHAUSTED,
        ProspectState.REFUSED,
        ProspectState.SUPPRESSED,
        ProspectState.EXPIRED,
        ProspectState.CANCELLED,
    }
)

CLOSABLE = frozenset({ProspectState.WAITING, ProspectState.HELD})
"""Nobody is calling them and nothing is awaited of them: what is known of them may change."""

OPEN = frozenset({ProspectState.WAITING, ProspectState.IN_CALL, ProspectState.SETTLING})
"""While anybody is in one of these, the campaign is not complete."""
