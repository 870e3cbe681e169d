"""What an account file and a campaign file may say, checked before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    ValidationError,
    model_validator,
)

from campaigns.errors import InvalidDefinition, InvalidInput
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.windows import CallingWindow

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST_DURATION = timedelta(days=366)  # nobody plans further ahead, and sums of it stay within the calendar

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What an account or a campaign may be called: it stands in addresses and in commands."""

RESERVED_VARIABLES = frozenset(
    {"customer", "call", "phoneNumber", "transport", "now", "date", "time", "month", "day", "year"}
)
"""Names that the provider fills in itself; a variable of that name would be lost or would break a prompt."""


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([smhd])\s*", value)
        if match is None:
            raise ValueError('a duration is a number and a unit, such as "90s", "15m", "2h" or "1d"')
        duration = timedelta(**{_UNITS[match[2]]: float(match[1])})
        if duration > _LONGEST_DURATION:
            raise ValueError(f"a duration of more than {_LONGEST_DURATION.days} days is surely a mistake")
        return duration
    raise ValueError('a duration is written in quotes with its unit, such as "15m"')


def _spell_duration(value: timedelta) -> str:
    # Exactly, whatever its size: it is read back from the database.
    return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def _window(value: Any) -> Any:
    if isinstance(value, CallingWindow):
        return value
    hours = value.values() if isinstance(value, dict) else [value]
    if not all(isinstance(part, str) or _is_list_of_text(part) for part in hours) or isinstance(value, list):
        raise ValueError('write days and hours in quotes, such as "Mon-Fri 09:00-12:00, 13:00-20:00; Sat 10:00-16:00"')
    try:
        return CallingWindow.parse(value)
    except InvalidInput as problem:
        raise ValueError(str(problem)) from problem


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _moment(value: Any) -> Any:
    if isinstance(value, str | datetime):
        return value
    raise ValueError("give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("give the offset too, such as 2026-03-02T09:00:00-05:00 or ...Z")
    return value


def _slug(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("use up to 63 of a-z, 0-9, - and _, starting with a letter or digit")
    return name


def _environment_name(name: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ValueError("give the NAME of an environment variable such as VAPI_API_KEY, never the secret itself")
    return name


def _region(code: str) -> str:
    if code not in SUPPORTED_REGIONS:
        hint = "; the United Kingdom is GB" if code.upper() == "UK" else ""
        raise ValueError(f"{code!r} is not a country code of two capital letters such as US or DE{hint}")
    return code


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or re.search(r"\s", url):
        raise ValueError("give a web address such as https://calls.example.com, without ? or #")
    if parts.scheme == "http" and not _is_loopback(url):
        raise ValueError("use https: over http the key and what people said would travel in the open")
    if "@" in parts.netloc:
        raise ValueError("give the web address without a user and password: a secret belongs in the environment")
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _in_order(values: frozenset[OutcomeClass]) -> list[str]:
    # A set has another order in each process: unsorted, the same file would look changed.
    return sorted(str(value) for value in values)


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_spell_duration)]
Window = Annotated[CallingWindow, BeforeValidator(_window), PlainSerializer(lambda window: window.describe())]
Instant = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_aware)]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Region = Annotated[str, AfterValidator(_region)]
Slug = Annotated[str, AfterValidator(_slug)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


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


class AccountDefinition(_Section):
    """One Vapi organisation."""

    name: Slug
    base_url: WebAddress = "https://api.vapi.ai"
    key_env: EnvironmentName
    concurrency: Whole = Field(default=10, ge=1, le=10_000)  # Vapi grants ten lines unless more are bought
    reserve: Whole = Field(default=0, ge=0)
    calls_per_second: Number = Field(default=1.0, gt=0, le=1000)  # Vapi publishes no figure; one a second is safe
    public_url: WebAddress | None = None
    credential_id: str | None = Field(default=None, min_length=1, max_length=100)
    webhook: tuple[WebhookCheck, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reserve >= self.concurrency:
            raise ValueError(
                f"reserve ({self.reserve}) leaves no line to call with: "
                f"it must be below concurrency ({self.concurrency})"
            )
        if self.public_url and not self.webhook and not self.loopback:
            raise ValueError("public_url needs at least one [[webhook]] check, or anybody could post results")
        return self

    @property
    def loopback(self) -> bool:
        """Whether the provider is a stand-in on this machine: the only kind a rehearsal may talk to."""
        return _is_loopback(self.base_url)


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
    """Which column of the list is what. Columns not named here become variables under their own names."""

    phone: str | None = None
    name: str | None = None
    external_id: str | None = None
    extension: str | None = None
    zone: str | None = None
    country: str | None = None
    region: str | None = None
    variables: Mapping[str, str] = Field(default_factory=dict)
    """variable = "Column": the names that the assistant's prompt uses."""


class CampaignDefinition(_Section):
    """One campaign: whom the file does not say, how and when it does."""

    name: Slug
    account: Slug
    assistant_id: str | None = Field(default=None, min_length=1)
    assistant: Mapping[str, Any] | None = None
    phone_number_ids: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    windows: Window
    max_concurrency: Whole | None = Field(default=None, ge=1)
    weight: Whole = Field(default=1, ge=1, le=100)
    max_duration: Duration = timedelta(minutes=10)
    default_region: Region | None = None
    consent: Consent | None = None
    retry: RetryPlan = RetryPlan()
    mapping: Mapping_ = Mapping_()
    variables: Mapping[str, str] = Field(default_factory=dict)
    """Values that every call carries, unless the row has its own."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.assistant_id is None) == (self.assistant is None):
            raise ValueError("give either assistant_id (a saved assistant) or [assistant] (one sent with every call)")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("ends_at must be later than starts_at")
        if not timedelta(seconds=10) <= self.max_duration <= timedelta(seconds=43_200):
            raise ValueError('max_duration must lie between "10s" and "12h": Vapi allows nothing else')
        reserved = RESERVED_VARIABLES & {*self.variables, *self.mapping.variables}
        if reserved:
            raise ValueError(f"the variable {min(reserved)!r} is filled in by Vapi: choose another name")
        return self


Definition = TypeVar("Definition", AccountDefinition, CampaignDefinition)


def read_definition(kind: type[Definition], values: Mapping[str, Any], *, source: str) -> Definition:
    """The checked definition. Raises `InvalidDefinition` that names `source`, the key and what is allowed there."""
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
