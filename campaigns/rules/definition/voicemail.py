"""What is done when a machine answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Duration, Whole


class VoicemailBackoff(Section):
    """When a voice is listened to, to find out whether it is a machine's."""

    start_at: Duration = timedelta(seconds=5)
    frequency: Duration = timedelta(seconds=5)
    max_retries: Whole = Field(default=6, ge=1, le=10)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.frequency < timedelta(seconds=2.5):
            raise ValueError('frequency must be at least "2.5s": Vapi allows nothing else')
        return self


class Voicemail(Section):
    """Whether a machine that answers is recognised, and what is said to it. Overrides the assistant's own settings."""

    provider: Literal["off", "vapi", "google", "openai", "twilio"] | None = None
    """Who listens; None: as the assistant has it."""
    type: Literal["audio", "transcript"] | None = None
    beep_max_await: Duration | None = None
    backoff: VoicemailBackoff | None = None
    message: str | None = Field(default=None, min_length=1, max_length=1000)
    """What is said after the beep; None: as the assistant has it."""
    message_on: Literal["every", "first", "last"] | tuple[Whole, ...] = "every"
    """On which attempts the message is left; on the others a recognised machine is hung up on."""
    hang_up: bool = False
    """Whether a recognised machine is hung up on whatever the assistant says to one."""
    counts: bool = True
    """Whether a call that reached a machine is an attempt; it counts among `max_calls` in any case."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.provider is None and self.message is None and not self.hang_up and self.counts:
            raise ValueError('say at least who detects it, such as provider = "vapi", or a message, or hang_up = true')
        if self.hang_up and self.message is not None:
            raise ValueError("give either a message or hang_up = true; message_on says on which attempts it is left")
        if self.message_on != "every":
            if self.message is None:
                raise ValueError("message_on needs a message")
            if not self.counts:
                raise ValueError("message_on needs counts = true: else each call that reached a machine is the first")
            if isinstance(self.message_on, tuple) and not all(1 <= turn <= 20 for turn in self.message_on):
                raise ValueError("message_on names attempts by their numbers, from 1 to 20, such as [1, 3]")
        fine = [name for name in ("type", "beep_max_await", "backoff") if getattr(self, name) is not None]
        if fine and self.provider not in {"vapi", "google", "openai"}:
            raise ValueError(f'{fine[0]} needs provider = "vapi", "google" or "openai"')
        if self.beep_max_await is not None and self.beep_max_await > timedelta(seconds=30):
            raise ValueError('beep_max_await may be up to "30s": Vapi allows nothing else')
        return self

    def speaks(self, attempt: int, *, last: bool) -> bool:
        """Whether a machine that answers this attempt hears a message."""
        match self.message_on:
            case "every":
                return not self.hang_up
            case "first":
                return attempt == 1
            case "last":
                return last
            case turns:
                return attempt in turns
