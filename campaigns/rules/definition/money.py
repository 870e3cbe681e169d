"""What calls cost, and how much of it may be spent."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_UP, Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Number

Dollars = Annotated[Number, Field(ge=0, le=1_000_000)]
MINUTE = timedelta(minutes=1)
SMALLEST = Decimal("0.000001")  # of a dollar, as amounts are stored


class Prices(Section):
    """What one minute of a call costs, in US dollars, by component. What is left out costs nothing."""

    platform: Dollars = 0.0
    transport: Dollars = 0.0
    transcription: Dollars = 0.0
    model: Dollars = 0.0
    voice: Dollars = 0.0
    analysis: Dollars = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.per_minute:
            raise ValueError("name at least one component and its price a minute, such as platform = 0.05")
        return self

    @property
    def per_minute(self) -> Decimal:
        """All components together, in US dollars."""
        return sum((exact(getattr(self, name)) for name in type(self).model_fields), Decimal(0))

    def of(self, duration: timedelta) -> Decimal:
        """What a call of that duration costs at most: carriers bill each minute that began."""
        minutes = -(-duration // MINUTE)
        return (minutes * self.per_minute).quantize(SMALLEST, ROUND_UP)


class Budget(Section):
    """The most that a campaign may spend, in US dollars. Reached, it pauses itself and nobody is marked failed."""

    total: Dollars | None = None
    per_day: Dollars | None = None
    """A day is the day of the campaign's own zone; the next one it goes on by itself."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.total is None and self.per_day is None:
            raise ValueError("give total or per_day, in US dollars")
        return self


def exact(amount: float) -> Decimal:
    """The amount as it is written in the file."""
    return Decimal(str(amount))
