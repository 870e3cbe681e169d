"""What an ended call means, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any


class OutcomeClass(StrEnum):
    """What became of a call. The first ten come from the provider's ended reasons, the rest from what was said."""

    COMPLETED = "answered_completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    CUSTOMER_SIDE = "customer_side_failure"
    TRANSPORT_ERROR = "provider_transport_error"
    PIPELINE_ERROR = "pipeline_error"
    ASSISTANT_ERROR = "assistant_error"
    CAPACITY = "concurrency_limits"
    CANCELLED = "cancelled"
    OPTED_OUT = "opted_out"
    CALLBACK = "callback"
    UNKNOWN = "unknown"


LONGEST_CALL = timedelta(days=7)  # ten times what any provider permits: beyond it a clock is wrong, not a call long

TECHNICAL = frozenset(
    {
        OutcomeClass.TRANSPORT_ERROR,
        OutcomeClass.PIPELINE_ERROR,
        OutcomeClass.ASSISTANT_ERROR,
        OutcomeClass.CAPACITY,
        OutcomeClass.UNKNOWN,
    }
)
"""Classes whose cause lies with the machines, not with the person who was called."""

WISHES = frozenset({OutcomeClass.OPTED_OUT, OutcomeClass.CALLBACK})
"""Classes that come from what the person said, whatever the call ended by."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known about how a call ended. `None` means not (yet) known."""

    reason: str | None
    """The provider's own word, kept as it came."""
    outcome: OutcomeClass
    """The class of `reason` alone; `wishes.understood` weighs what was said."""
    rang: bool
    """False only where the reason proves that the telephone never rang."""
    no_line: bool = False
    """Whether the provider ended it because all its lines were in use."""
    answered: bool | None = None
    """Whether a person spoke: from the turns of the conversation where there are any, else from the reason."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cost: Decimal | None = None
    """US dollars, as the provider reports it."""
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    """US dollars by component."""
    summary: str | None = None
    success: str | None = None
    structured: Mapping[str, Any] = field(default_factory=dict)
    transcript: str | None = None
    recording: str | None = None
    said: tuple[str, ...] = ()
    """What the person said, turn by turn; of a machine that answered, its greeting."""
    replied: tuple[str, ...] = ()
    """What the assistant said."""
    tools: frozenset[str] = frozenset()
    """The names of the tools that were called in the conversation."""
    complete: bool = False
    """True for an end-of-call report or the provider's finished record: nothing more is expected."""

    @property
    def duration(self) -> timedelta | None:
        """From start to end of the conversation, where both are known and make sense together."""
        if self.started_at is None or self.ended_at is None:
            return None
        lasted = self.ended_at - self.started_at
        return lasted if timedelta(0) <= lasted <= LONGEST_CALL else None
