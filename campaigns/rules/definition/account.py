"""What an account file may say."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from campaigns.rules.definition.section import Section, Slug
from campaigns.rules.fields import Duration, EnvironmentName, HostName, Number, WebAddress, Whole, is_loopback


class HmacCheck(Section):
    """A signature over the raw body, as a custom credential of type hmac sends it."""

    type: Literal["hmac"]
    secret_env: tuple[EnvironmentName, ...] = Field(min_length=1, max_length=2)
    secret_is_base64: bool = False
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    signature_header: str = "x-signature"
    timestamp_header: str | None = "x-timestamp"
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    payload_format: str = "{timestamp}.{body}"
    tolerance: Duration = timedelta(minutes=5)
    message_id_header: str | None = None


class BearerCheck(Section):
    """A fixed token in a header."""

    type: Literal["bearer"]
    secret_env: tuple[EnvironmentName, ...] = Field(min_length=1, max_length=2)
    header: str = "authorization"
    prefix: str = "Bearer "


class SharedSecretCheck(Section):
    """The older `X-Vapi-Secret` header."""

    type: Literal["secret"]
    secret_env: tuple[EnvironmentName, ...] = Field(min_length=1, max_length=2)
    header: str = "x-vapi-secret"


WebhookCheck = Annotated[HmacCheck | BearerCheck | SharedSecretCheck, Field(discriminator="type")]


class CallerNumber(Section):
    """What is said of one caller number, and where it may do something else than the account's other numbers."""

    id: str = Field(min_length=1)
    number: str | None = None
    """In E.164: where it is, for campaigns that call from a number nearby."""
    concurrency: Whole | None = Field(default=None, ge=1, le=10_000)
    per_day: Whole | None = Field(default=None, ge=1, le=100_000)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.number is None and self.concurrency is None and self.per_day is None:
            raise ValueError("give number, concurrency or per_day")
        if self.number is not None and not re.fullmatch(r"\+[1-9][0-9]{6,14}", self.number):
            raise ValueError('number must be written with its country code and without spaces, such as "+12125550142"')
        return self


class AccountDefinition(Section):
    """One Vapi organisation."""

    name: Slug
    base_url: WebAddress = "https://api.vapi.ai"
    key_env: EnvironmentName
    concurrency: Whole = Field(default=10, ge=1, le=10_000)  # Vapi grants ten lines unless more are bought
    reserve: Whole = Field(default=0, ge=0)
    calls_per_second: Number = Field(default=1.0, gt=0, le=1000)  # Vapi publishes no figure; one a second is safe
    number_concurrency: Whole | None = Field(default=None, ge=1, le=10_000)
    """The most calls at once from one caller number, over all campaigns; None: as many as there are lines."""
    number_per_day: Whole | None = Field(default=None, ge=1, le=100_000)
    """The most calls in any 24 hours from one caller number, over all campaigns; None: any number."""
    numbers: tuple[CallerNumber, ...] = ()
    """The caller numbers for which it is another figure, or of which more is known."""
    public_url: WebAddress | None = None
    credential_id: str | None = Field(default=None, min_length=1, max_length=100)
    webhook: tuple[WebhookCheck, ...] = ()
    control_hosts: tuple[HostName, ...] = ("vapi.ai",)
    """Where live calls may be ended: these hosts and those below them. The provider names the address of each call,
    and nothing is posted to any other.
    """
    unresolved: Literal["review", "not_placed"] = "review"
    """What becomes of a call of which no trace is found: a person decides, or it is taken for not placed. The second
    trusts the provider's listing: that nobody is called twice then holds only as far as the listing is complete.
    """

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reserve >= self.concurrency:
            raise ValueError(
                f"reserve ({self.reserve}) leaves no line to call with: "
                f"it must be below concurrency ({self.concurrency})"
            )
        if self.public_url and not self.webhook and not self.loopback:
            raise ValueError("public_url needs at least one [[webhook]] check, or anybody could post results")
        ids = [number.id for number in self.numbers]
        twice = next((number for number in ids if ids.count(number) > 1), None)
        if twice is not None:
            raise ValueError(f"[[numbers]] names {twice!r} twice: keep one of them")
        return self

    def number(self, number_id: str) -> CallerNumber:
        """What holds for the caller number of that id at the provider; None for what has no limit of its own."""
        return self._numbers.get(number_id, self._others)

    @cached_property
    def _others(self) -> CallerNumber:
        limits = {"concurrency": self.number_concurrency, "per_day": self.number_per_day}
        return CallerNumber.model_construct(None, id="", number=None, **limits)

    @cached_property
    def _numbers(self) -> dict[str, CallerNumber]:
        limits = {"concurrency": self.number_concurrency, "per_day": self.number_per_day}
        return {
            number.id: number.model_copy(
                update={key: limit for key, limit in limits.items() if getattr(number, key) is None}
            )
            for number in self.numbers
        }

    @property
    def counts_days(self) -> bool:
        """Whether any number may make only so many calls a day."""
        return self.number_per_day is not None or any(number.per_day is not None for number in self.numbers)

    @property
    def loopback(self) -> bool:
        """Whether the provider is a stand-in on this machine: the only kind a rehearsal may talk to."""
        return is_loopback(self.base_url)
