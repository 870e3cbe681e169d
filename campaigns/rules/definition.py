"""What an account file and a campaign file may say, checked before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from campaigns.errors import InvalidDefinition
from campaigns.rules.fields import (
    Duration,
    EnvironmentName,
    HostName,
    Instant,
    Number,
    Region,
    TransientAssistant,
    TransientSquad,
    WebAddress,
    Whole,
    Window,
    is_loopback,
)
from campaigns.rules.outcome import OutcomeClass

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What an account or a campaign may be called: it stands in addresses and in commands."""

RESERVED_VARIABLES = frozenset(
    {"customer", "call", "phoneNumber", "transport", "now", "date", "time", "month", "day", "year"}
)
"""Names that the provider fills in itself; a variable of that name would be lost or would break a prompt."""


def _slug(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("use up to 63 of a-z, 0-9, - and _, starting with a letter or digit")
    return name


def _in_order(values: frozenset[OutcomeClass]) -> list[str]:
    # A set has another order in each process: unsorted, the same file would look changed.
    return sorted(str(value) for value in values)


Slug = Annotated[str, AfterValidator(_slug)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class HmacCheck(_Section):
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


class BearerCheck(_Section):
    """A fixed token in a header."""

    type: Literal["bearer"]
    secret_env: tuple[EnvironmentName, ...] = Field(min_length=1, max_length=2)
    header: str = "authorization"
    prefix: str = "Bearer "


class SharedSecretCheck(_Section):
    """The older `X-Vapi-Secret` header."""

    type: Literal["secret"]
    secret_env: tuple[EnvironmentName, ...] = Field(min_length=1, max_length=2)
    header: str = "x-vapi-secret"


WebhookCheck = Annotated[HmacCheck | BearerCheck | SharedSecretCheck, Field(discriminator="type")]


class CallerNumber(_Section):
    """What one caller number may do, where that differs from the account's other numbers."""

    id: str = Field(min_length=1)
    concurrency: Whole = Field(ge=1, le=10_000)


class AccountDefinition(_Section):
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


class Consent(_Section):
    """What the campaign declares for every row that does not bring its own."""

    source: str = Field(min_length=1, max_length=200)
    obtained_at: Instant | None = None
    proof: str | None = Field(default=None, max_length=500)


class RetryPlan(_Section):
    """How often, and how long after which outcome, a person is called again. The last delay of a ladder repeats."""

    max_attempts: Whole = Field(default=3, ge=1, le=20)
    max_calls: Whole = Field(default=8, ge=1, le=50)
    no_answer: tuple[Duration, ...] = (timedelta(hours=4), timedelta(days=1))
    busy: tuple[Duration, ...] = (timedelta(minutes=20), timedelta(hours=4))
    voicemail: tuple[Duration, ...] = (timedelta(days=1),)
    technical: tuple[Duration, ...] = (timedelta(minutes=15), timedelta(hours=2))
    counts: Annotated[frozenset[OutcomeClass], PlainSerializer(_in_order)] = frozenset(
        {
            OutcomeClass.COMPLETED,
            OutcomeClass.NO_ANSWER,
            OutcomeClass.BUSY,
            OutcomeClass.VOICEMAIL,
            OutcomeClass.CUSTOMER_SIDE,
            OutcomeClass.UNKNOWN,
        }
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_calls < self.max_attempts:
            raise ValueError(
                f"max_calls ({self.max_calls}) counts every call and cannot be below max_attempts ({self.max_attempts})"
            )
        return self


class Mapping_(_Section):  # noqa: N801 - `Mapping` is taken by typing, and the TOML key is `mapping`
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


class VoicemailBackoff(_Section):
    """When a voice is listened to, to find out whether it is a machine's."""

    start_at: Duration = timedelta(seconds=5)
    frequency: Duration = timedelta(seconds=5)
    max_retries: Whole = Field(default=6, ge=1, le=10)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.frequency < timedelta(seconds=2.5):
            raise ValueError('frequency must be at least "2.5s": Vapi allows nothing else')
        return self


class Voicemail(_Section):
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


class Breaker(_Section):
    """When a campaign pauses itself: too many of its latest calls failed by nobody's fault."""

    enabled: bool = True
    share: Number = Field(default=0.5, gt=0, le=1)  # one call in a hundred fails so on a good day, all on a bad one
    calls: Whole = Field(default=20, ge=5, le=500)  # fewer, and bad luck would pause; more, and more people are rung
    within: Duration = timedelta(hours=1)  # what failed longer ago says nothing about now


class CampaignDefinition(_Section):
    """One campaign: whom the file does not say, how and when it does."""

    name: Slug
    account: Slug
    assistant_id: str | None = Field(default=None, min_length=1)
    assistant_version: str | None = Field(default=None, min_length=1, max_length=40)
    assistant: TransientAssistant | None = None
    squad_id: str | None = Field(default=None, min_length=1)
    squad: TransientSquad | None = None
    phone_number_ids: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    windows: Window
    max_concurrency: Whole | None = Field(default=None, ge=1)
    weight: Whole = Field(default=1, ge=1, le=100)
    max_duration: Duration = timedelta(minutes=10)
    voicemail: Voicemail | None = None
    default_region: Region | None = None
    consent: Consent | None = None
    retry: RetryPlan = RetryPlan()
    breaker: Breaker = Breaker()
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
        reserved = RESERVED_VARIABLES & {*self.variables, *self.mapping.variables}
        if reserved:
            raise ValueError(f"the variable {min(reserved)!r} is filled in by Vapi: choose another name")
        return self

    @property
    def with_squad(self) -> bool:
        """Whether several assistants talk: then what overrides one must be sent as what overrides all."""
        return self.assistant_id is None and self.assistant is None


Definition = TypeVar("Definition", AccountDefinition, CampaignDefinition)


def read_definition(kind: type[Definition], values: Mapping[str, Any], *, source: str) -> Definition:
    """The checked definition. Raises `InvalidDefinition` that names `source`, the key and what is allowed there."""
    other, foreign = ("a campaign", "account") if kind is AccountDefinition else ("an account", "key_env")
    if foreign in values:
        command = f"outbound {'campaign' if kind is AccountDefinition else 'accounts'} apply"
        raise InvalidDefinition(f"{source} describes {other}: apply it with `{command}`")
    try:
        return kind.model_validate(values)
    except ValidationError as problems:
        found = problems.errors(include_url=False)
        # A misspelt key before the key that is missing because of it.
        first = min(found, key=lambda problem: problem["type"] != "extra_forbidden")
        section, key = _place(kind, first["loc"])
        where = f"{source}: {key}" if key else source
        # A list whose only entry is wrong is also called too short.
        others = sum(problem["loc"] != first["loc"][: len(problem["loc"])] for problem in found)
        more = f" (and {others} more)" if others else ""
        raise InvalidDefinition(f"{where}: {_explain(section, first)}{more}") from problems


_FORMS = {
    "string_type": "write text, in quotes",
    "int_type": "write a whole number, without quotes",
    "float_type": "write a number, without quotes",
    "tuple_type": 'write a list in brackets, such as ["one", "two"]',
    "frozenset_type": 'write a list in brackets, such as ["one", "two"]',
    "too_short": "give at least one",
    "string_too_short": "must not be empty",
    "dict_type": "write a section of its own with key = value lines",
    "mapping_type": "write a section of its own with key = value lines",
    "model_type": "write a section of its own with key = value lines",
    "model_attributes_type": "write a section of its own with key = value lines",
    "datetime_from_date_parsing": "give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00",
    "datetime_parsing": "give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00",
}
"""What to write where pydantic only says what the value is not."""


def _explain(section: type[BaseModel], problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return f"no such key; allowed here: {', '.join(sorted(section.model_fields))}"
        case "missing":
            return "is missing"
        case "union_tag_not_found" | "union_tag_invalid":
            return 'needs type = "hmac", "bearer" or "secret"'
        case known if known in _FORMS:
            return _FORMS[known]
        case _:
            message = str(problem["msg"]).removeprefix("Value error, ")
            return message[:1].lower() + message[1:]


def _place(kind: type[BaseModel], location: tuple[str | int, ...]) -> tuple[type[BaseModel], str]:
    """The section in which the last key of `location` stands, and that key as the reader of the file knows it."""
    section, inside, key = kind, {kind}, ""
    for part in location:
        if isinstance(part, int):
            key += f" #{part + 1}"
            continue
        holder = next((model for model in inside if part in model.model_fields), None)
        if holder is not None:
            section, inside = holder, _sections(holder.model_fields[part].annotation)
        elif chosen := {model for model in inside if part in get_args(_annotation(model, "type"))}:
            inside = chosen  # not a key of the file: pydantic names the kind of check that it took
            continue
        elif inside:
            section = next(iter(inside))
        key += f".{part}" if key else part
    return section, key


def _sections(annotation: Any) -> set[type[BaseModel]]:
    """The sections that an annotation mentions, however deep inside unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in get_args(annotation) for found in _sections(part)}


def _annotation(model: type[BaseModel], key: str) -> Any:
    field = model.model_fields.get(key)
    return field.annotation if field is not None else None
