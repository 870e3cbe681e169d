"""What an account file may say."""

from __future__ import annotations

from datetime import timedelta
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
    """What one caller number may do, where that differs from the account's other numbers."""

    id: str = Field(min_length=1)
    concurrency: Whole = Field(ge=1, le=10_000)


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
    numbers: tuple[CallerNumber, ...] = ()
    """The caller numbers for which it is another figure."""
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

    def lines_of(self, number_id: str) -> int | None:
        """The most calls at once from the caller number of that id at the provider; None for no limit of its own."""
        own = next((number.concurrency for number in self.numbers if number.id == number_id), None)
        return own if own is not None else self.number_concurrency

    @property
    def loopback(self) -> bool:
        """Whether the provider is a stand-in on this machine: the only kind a rehearsal may talk to."""
        return is_loopback(self.base_url)
