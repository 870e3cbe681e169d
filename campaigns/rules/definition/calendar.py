"""On which dates a campaign calls nobody, and where it takes people to be of whom nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from campaigns.errors import InvalidDefinition
from campaigns.rules.calling_rules import calendars
from campaigns.rules.dates import read_dates
from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Region, Zone


def _as_written(values: Any) -> Any:
    # TOML has dates of its own; whether they are in quotes shall not matter.
    return [str(each) if type(each) is date else each for each in values] if isinstance(values, list) else values


def _are_dates(values: Iterable[str]) -> tuple[str, ...]:
    try:
        read_dates(values)
    except InvalidDefinition as problem:
        raise ValueError(str(problem)) from problem
    return tuple(values)


def _are_calendars(codes: Iterable[str]) -> tuple[str, ...]:
    for code in codes:
        if not calendars.is_calendar(code):
            raise ValueError(
                f"there is no calendar {code!r}: use the code of a country or region such as US, US-PA or DE-BY"
            )
    return tuple(codes)


BlackoutDates = Annotated[tuple[str, ...], BeforeValidator(_as_written), AfterValidator(_are_dates)]
Calendars = Annotated[tuple[str, ...], AfterValidator(_are_calendars)]


class Fallback(Section):
    """Where somebody is taken to be whose number and address do not tell. Without it they are held, with the reason."""

    zones: tuple[Zone, ...] = Field(default=(), max_length=50)
    """All of them at once: a call is made when every one of these clocks allows it."""
    country: Region | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.zones and self.country is None:
            raise ValueError('name zones, such as ["America/New_York", "Pacific/Honolulu"], or a country, or both')
        return self
