"""What a campaign says of its lists and of the people on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from campaigns.rules.consent import RecordedConsent
from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Duration, Instant


class Consent(Section):
    """What the campaign declares for every row that does not bring its own."""

    source: str = Field(min_length=1, max_length=200)
    obtained_at: Instant | None = None
    proof: str | None = Field(default=None, max_length=500)
    level: Literal["express", "written"] = "express"
    """Of a row's own consent without a level, too."""
    expires_at: Instant | None = None
    valid_for: Duration | None = None
    """How long it lasts after `obtained_at`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.valid_for is not None and self.obtained_at is None:
            raise ValueError("valid_for needs obtained_at: nobody knows from when on it counts")
        return self

    @property
    def recorded(self) -> RecordedConsent:
        """The same as rules compare it with what they ask for."""
        ends = [self.expires_at] if self.expires_at is not None else []
        if self.valid_for is not None and self.obtained_at is not None:
            ends.append(self.obtained_at + self.valid_for)
        return RecordedConsent(self.level, self.obtained_at, min(ends, default=None))


class Mapping_(Section):  # noqa: N801 - `Mapping` is taken by typing, and the TOML key is `mapping`
    """Which column of the list is what; "" where none is. Columns not named here are known by their headings, or
    become variables under their own names.
    """

    phone: str | None = None
    name: str | None = None
    external_id: str | None = None
    extension: str | None = None
    zone: str | None = None
    country: str | None = None
    region: str | None = None
    postal_code: str | None = None
    language: str | None = None
    priority: str | None = None
    not_before: str | None = None
    consent_source: str | None = None
    consent_at: str | None = None
    consent_proof: str | None = None
    consent_level: str | None = None
    consent_expires: str | None = None
    overrides: str | None = None
    variables: Mapping[str, str] = Field(default_factory=dict)
    """variable = "Column": the names that the assistant's prompt uses."""
