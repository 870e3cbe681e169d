"""What a campaign file may say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from campaigns.rules.consent import Purpose
from campaigns.rules.definition.calendar import BlackoutDates, Calendars, Fallback
from campaigns.rules.definition.forecast import Expected
from campaigns.rules.definition.money import Budget, Prices, exact
from campaigns.rules.definition.people import Consent, Mapping_
from campaigns.rules.definition.section import Section, Slug
from campaigns.rules.definition.signals import Signals
from campaigns.rules.definition.trying import Breaker, CallCap, RetryPlan
from campaigns.rules.definition.voicemail import Voicemail
from campaigns.rules.fields import (
    Duration,
    Instant,
    Number,
    Region,
    TransientAssistant,
    TransientSquad,
    Whole,
    Window,
    Zone,
)
from campaigns.rules.numbers import OnRetry, Presence
from campaigns.rules.outcome import OutcomeClass

RESERVED_VARIABLES = frozenset(
    {"customer", "call", "phoneNumber", "transport", "now", "date", "time", "month", "day", "year"}
)
"""Names that the provider fills in itself; a variable of that name would be lost or would break a prompt."""


class CampaignDefinition(Section):
    """One campaign: whom the file does not say, how and when it does."""

    name: Slug
    account: Slug
    assistant_id: str | None = Field(default=None, min_length=1)
    assistant_version: str | None = Field(default=None, min_length=1, max_length=40)
    assistant: TransientAssistant | None = None
    squad_id: str | None = Field(default=None, min_length=1)
    squad: TransientSquad | None = None
    phone_number_ids: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    number_on_retry: OnRetry = "another"
    """From which number somebody is called again: if it may make one more call."""
    local_presence: Presence = "off"
    """Whether the nearest of the numbers is called from, and what is near enough."""
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    windows: Window
    blackout: BlackoutDates = ()
    """Dates on which nobody is called, by each person's own calendar."""
    closed_on: Calendars = ()
    """Whose holidays the campaign keeps for everybody, whatever the calling rules say."""
    fallback: Fallback | None = None
    zone: Zone | None = None
    """The campaign's own time zone: whose day a daily budget is. UTC where there is none."""
    max_concurrency: Whole | None = Field(default=None, ge=1)
    weight: Whole = Field(default=1, ge=1, le=100)
    max_duration: Duration = timedelta(minutes=10)
    voicemail: Voicemail | None = None
    default_region: Region | None = None
    purpose: Purpose = "sales"
    """What the calls are for: rules ask more of sales."""
    consent: Consent | None = None
    retry: RetryPlan = RetryPlan()
    retry_share: Number = Field(default=0.5, ge=0, le=1)
    """Of the calls of one priority, those to people who are called again while people of both kinds are due."""
    caps: tuple[CallCap, ...] = ()
    """The most calls to one person; those of all campaigns count."""
    signals: Signals = Signals()
    breaker: Breaker = Breaker()
    prices: Prices | None = None
    budget: Budget | None = None
    expected: Expected = Expected()
    mapping: Mapping_ = Mapping_()
    variables: Mapping[str, str] = Field(default_factory=dict)
    """Values that every call carries, unless the row has its own."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(each is not None for each in (self.assistant_id, self.assistant, self.squad_id, self.squad)) != 1:
            raise ValueError(
                "give exactly one of assistant_id or squad_id (saved at Vapi), [assistant] or [squad] "
                "(sent with every call)"
            )
        if self.assistant_version is not None and self.assistant_id is None:
            raise ValueError("assistant_version needs assistant_id: only a saved assistant has versions")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("ends_at must be later than starts_at")
        if not timedelta(seconds=10) <= self.max_duration <= timedelta(seconds=43_200):
            raise ValueError('max_duration must lie between "10s" and "12h": Vapi allows nothing else')
        named = self.voicemail.message_on if self.voicemail is not None else ()
        if isinstance(named, tuple) and named and max(named) > self.retry.max_attempts:
            raise ValueError(
                f"voicemail.message_on names attempt {max(named)}, and retry.max_attempts is {self.retry.max_attempts}"
            )
        if self.budget is not None and self.prices is None:
            raise ValueError("budget needs [prices]: without them nobody knows what a call may cost")
        self._affordable()
        reserved = RESERVED_VARIABLES & {*self.variables, *self.mapping.variables}
        if reserved:
            raise ValueError(f"the variable {min(reserved)!r} is filled in by Vapi: choose another name")
        return self

    def _affordable(self) -> None:
        for name in ("total", "per_day"):
            limit = None if self.budget is None else getattr(self.budget, name)
            if limit is not None and exact(limit) < self.worst_case:
                worst = self.worst_case.normalize()
                raise ValueError(f"budget.{name} is less than one call of max_duration may cost, which is {worst:f}")

    @property
    def worst_case(self) -> Decimal:
        """The most that one call may cost, in US dollars; nothing where no prices are known."""
        return Decimal(0) if self.prices is None else self.prices.of(self.max_duration)

    @property
    def own_zone(self) -> ZoneInfo:
        """Whose days the campaign's days are."""
        return ZoneInfo(self.zone or "UTC")

    @property
    def plan(self) -> RetryPlan:
        """The retry plan, with what `[voicemail]` says of it."""
        if self.voicemail is None or self.voicemail.counts:
            return self.retry
        return self.retry.model_copy(update={"counts": self.retry.counts - {OutcomeClass.VOICEMAIL}})

    def is_last(self, *, attempt: int, call: int) -> bool:
        """Whether a machine that answers the attempt of that number, the person's call of that number, is the last."""
        once = not self.retry.voicemail or OutcomeClass.VOICEMAIL in self.retry.never_again
        return once or attempt >= self.retry.max_attempts or call >= self.retry.max_calls

    @property
    def with_squad(self) -> bool:
        """Whether several assistants talk: then what overrides one must be sent as what overrides all."""
        return self.assistant_id is None and self.assistant is None
