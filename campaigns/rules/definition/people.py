"""What a campaign says of its lists and of the people on them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Instant


class Consent(Section):
    """What the campaign declares for every row that does not bring its own."""

    source: str = Field(min_length=1, max_length=200)
    obtained_at: Instant | None = None
    proof: str | None = Field(default=None, max_length=500)


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
    overrides: str | None = None
    variables: Mapping[str, str] = Field(default_factory=dict)
    """variable = "Column": the names that the assistant's prompt uses."""
