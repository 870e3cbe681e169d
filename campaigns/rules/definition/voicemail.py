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
    """What is said after the beep; without one, a recognised machine is hung up on."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.provider is None and self.message is None:
            raise ValueError('say at least who detects it, such as provider = "vapi", or a message')
        fine = [name for name in ("type", "beep_max_await", "backoff") if getattr(self, name) is not None]
        if fine and self.provider not in {"vapi", "google", "openai"}:
            raise ValueError(f'{fine[0]} needs provider = "vapi", "google" or "openai"')
        if self.beep_max_await is not None and self.beep_max_await > timedelta(seconds=30):
            raise ValueError('beep_max_await may be up to "30s": Vapi allows nothing else')
        return self
