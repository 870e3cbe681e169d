"""What may be set: a small TOML file, or the same keys as JSON to `POST /simulator/settings`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from campaigns.simulator.faults import POST_FAULTS, LetterFault, PostFault, is_post_fault
from campaigns.simulator.mistakes import SimulatorError, in_our_words


class OverConcurrency(StrEnum):
    """What a POST is told when every line is taken; all three have been seen of Vapi."""

    BLOCKED = "blocked"
    """201 that says so; the call is queued and starts when a line frees."""
    REJECT = "reject"
    """400, nothing accepted."""
    ENDED = "ended"
    """201 like any other, and the call ends at once with a reason of its own."""


class OverLimit(StrEnum):
    """What a POST is told when its phone number has made all calls of the day; of Vapi that is not known."""

    REJECT = "reject"
    """400, nothing accepted."""
    ENDED = "ended"
    """201 like any other, and the call ends at once with a reason of its own."""


class Outcome(StrEnum):
    """How a call goes."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    FAILED = "failed"
    PIPELINE_ERROR = "pipeline_error"


class Mood(StrEnum):
    """What a person who answers wants."""

    INTERESTED = "interested"
    NOT_INTERESTED = "not_interested"
    CALLBACK = "callback"
    OPT_OUT = "opt_out"


class OutageKind(StrEnum):
    """What a request meets while the provider is down."""

    UNAVAILABLE = "503"
    RESET = "reset"


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= bounds[0] <= bounds[1]:
        raise ValueError("must be two numbers of seconds, [least, most], neither below 0")
    return bounds


def _span(bounds: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
    if bounds[0] >= bounds[1]:
        raise ValueError("must be two moments, [start, end], the start first")
    return bounds


Seconds = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""[least, most]; simulated seconds unless the key says otherwise."""
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]
Rate = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Weights(_Table):
    """Weights relative to each other; one that a given table leaves out is 0."""

    @model_validator(mode="after")
    def _not_all_zero(self) -> _Weights:
        if sum(self.model_dump().values()) <= 0:
            raise ValueError(f"at least one weight must be above 0; allowed: {', '.join(type(self).model_fields)}")
        return self

    def shares(self) -> dict[str, float]:
        """The weights, scaled to add up to 1."""
        weights: dict[str, float] = self.model_dump()
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}


class Outcomes(_Weights):
    """How often a call goes which way."""

    answered: Weight = 0
    no_answer: Weight = 0
    busy: Weight = 0
    voicemail: Weight = 0
    failed: Weight = 0
    pipeline_error: Weight = 0


class Moods(_Weights):
    """How often a person who answers wants what."""

    interested: Weight = 0
    not_interested: Weight = 0
    callback: Weight = 0
    opt_out: Weight = 0


class Durations(_Table):
    """How long the parts of a call take, in simulated seconds."""

    dial: Seconds = (0.5, 2)
    ring: Seconds = (8, 20)
    no_answer: Seconds = (25, 40)  # carriers give up later than people pick up
    busy: Seconds = (1, 4)
    talk: Seconds = (20, 90)
    voicemail: Seconds = (8, 20)
    processing: Seconds = (2, 6)


class PostFaults(_Table):
    """Shares of otherwise acceptable POSTs that go wrong on the way back, or are refused: fault name -> share."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Share] = Field(init=False)

    accept_then_500: Share = 0
    accept_then_reset: Share = 0
    accept_then_hang: Share = 0
    slow: Share = 0
    refuse_500: Share = 0
    refuse_reset: Share = 0
    hang_seconds: Annotated[float, Field(strict=True, ge=0, le=3600)] = 30
    """Real seconds: longer than a patient client waits."""
    slow_seconds: Seconds = (1, 4)
    """Real seconds: within what a client waits."""

    @model_validator(mode="after")
    def _known_and_at_most_all(self) -> PostFaults:
        for name in self.__pydantic_extra__:
            if not is_post_fault(name):
                raise ValueError(f"no such key {name}; allowed here: {POST_FAULTS}, hang_seconds, slow_seconds")
        if sum(self.shares().values()) > 1:
            raise ValueError("the shares of the POST faults may add up to 1 at most")
        return self

    def shares(self) -> dict[str, float]:
        """The share of each fault."""
        shares = {name: share for name, share in self.model_dump().items() if not name.endswith("_seconds")}
        return dict(sorted(shares.items()))


class Webhooks(_Table):
    """What happens to messages on their way out."""

    lost: Share = 0
    doubled: Share = 0
    reordered: Share = 0
    """Sent after the next message about the same call."""
    late: Share = 0
    """Sent after the call's report; the report itself is held up for `late_seconds`."""
    early: Share = 0
    """Share of calls whose first message arrives before the POST is answered."""
    late_seconds: Seconds = (5, 30)  # real seconds: a receiver's patience is real
    hang: Share = 0.05
    """Share of conversations in which the assistant stalls, which Vapi tells by a message `hang`."""
    report_unanswered: Flag = True
    """Whether calls that nobody answered get an end-of-call-report; of Vapi that is not known."""


class Listing(_Table):
    """How far behind the provider's own index is."""

    lag_seconds: Weight = 0  # real seconds, as the caller's quiet period is
    hides_reads: Flag = False
    """Whether `GET /call/{id}` lags as well."""


class KeyRevoked(_Table):
    """When the key stops working; what is left out does not happen."""

    now: Flag = False
    after_requests: Count | None = None
    at: AwareDatetime | None = None
    """Simulated time."""


class Outage(_Table):
    """When every request to the provider fails. Calls go on, and so do their webhooks."""

    kind: OutageKind = OutageKind.UNAVAILABLE
    now: Flag = False
    spans: tuple[Annotated[tuple[AwareDatetime, AwareDatetime], AfterValidator(_span)], ...] = ()
    """[start, end] in simulated time."""
    real_seconds: tuple[Seconds, ...] = ()
    """[start, end] in real seconds since the simulator started."""


class Limit(_Table):
    """What one phone number may do."""

    per_day: Count
    """Calls in one UTC day of simulated time."""
    over: OverLimit = OverLimit.ENDED


class Person(_Table):
    """One number's script; calls beyond it are drawn as for anybody."""

    outcomes: tuple[Outcome, ...] = ()
    mood: Mood | None = None
    faults: tuple[PostFault, ...] = ()
    """What happens to its first, second … POST."""
    webhooks: tuple[dict[str, LetterFault], ...] = ()
    """What happens to the messages of its first, second … call: status or type -> fault."""


class Scenario(_Table):
    """One rehearsal. Every key has a default, so that an empty file is a valid one."""

    seed: Annotated[int, Field(strict=True)] = 1
    key: Annotated[str, Field(min_length=1)] = "simulator-key"
    org_id: str = "5b1d2f6e-0a39-4c1b-8a53-71c0de51a001"
    concurrency: Count = 10  # what Vapi gives an organisation that bought no lines
    over_concurrency: OverConcurrency = OverConcurrency.BLOCKED
    requests_per_second: Rate | None = None
    """All requests with the key, reads too."""
    posts_per_second: Rate | None = None
    """`POST /call` alone."""
    retry_after: Flag = True
    """Whether a 429 says when to come again."""
    outcomes: Outcomes = Outcomes(answered=45, no_answer=25, voicemail=18, busy=5, failed=4, pipeline_error=3)
    moods: Moods = Moods(interested=45, not_interested=35, callback=14, opt_out=6)
    durations: Durations = Durations()
    post_faults: PostFaults = PostFaults()
    webhooks: Webhooks = Webhooks()
    listing: Listing = Listing()
    key_revoked: KeyRevoked = KeyRevoked()
    outage: Outage = Outage()
    credentials: dict[str, Annotated[str, Field(min_length=1)]] = {}
    """Credential id -> HMAC secret."""
    assistants: dict[str, dict[str, Any]] = {}
    """Assistant id -> its fields. When none is listed, every id is one."""
    squads: dict[str, dict[str, Any]] = {}
    """Squad id -> its fields. When none is listed, every id is one."""
    phone_numbers: dict[str, dict[str, Any]] = {}
    """Phone number id -> its fields. When none is listed, every id is one."""
    gone_after: dict[str, Count] = {}
    """Id of an assistant, squad or phone number -> accepted POSTs after which it is deleted."""
    limits: dict[str, Limit] = {}
    """Phone number id -> what it may do."""
    people: dict[str, Person] = {}

    def changed(self, changes: Mapping[str, Any]) -> Scenario:
        """The scenario with `changes` laid over it. Weights are replaced as a whole, other tables key by key."""
        return _validated(_overlaid(self.model_dump(), changes), source="settings")

    def public(self) -> dict[str, Any]:
        """What may be shown: no key, no secrets."""
        shown: dict[str, Any] = self.model_dump(mode="json", exclude={"key", "credentials"})
        return {**shown, "credentials": sorted(self.credentials)}


def example() -> str:
    """A scenario file with every key explained."""
    return (files(__package__) / "data" / "example.toml").read_text(encoding="utf-8")


def load_scenario(path: Path | None, environment: Mapping[str, str]) -> Scenario:
    """The scenario in a TOML file, or the default one.

    A key or secret written `env:NAME` is read from `environment`.
    Raises SimulatorError naming the file, the key and what is allowed.
    """
    if path is None:
        return Scenario()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SimulatorError(f"{path}: cannot be read ({error.strerror}); give the path of a scenario file") from error
    except UnicodeDecodeError as error:
        raise SimulatorError(f"{path}: is not valid TOML: it must be UTF-8 text; save it as such") from error
    except tomllib.TOMLDecodeError as error:
        raise SimulatorError(f"{path}: is not valid TOML: {error}") from error
    scenario = _validated(content, source=str(path))
    return scenario.model_copy(
        update={
            "key": _revealed(scenario.key, environment, f"{path}: key"),
            "credentials": {
                name: _revealed(secret, environment, f"{path}: credentials.{name}")
                for name, secret in scenario.credentials.items()
            },
        }
    )


def _revealed(secret: str, environment: Mapping[str, str], where: str) -> str:
    if not secret.startswith("env:"):
        return secret
    name = secret.removeprefix("env:")
    if not environment.get(name):
        raise SimulatorError(f"{where}: the environment variable {name} is not set")
    return environment[name]


def _overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        before = base.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and key not in {"outcomes", "moods"}:
            result[key] = _overlaid(before, value)
        else:
            result[key] = value
    return result


def _validated(content: Mapping[str, Any], *, source: str) -> Scenario:
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        raise SimulatorError("\n".join(f"{source}: {mistake}" for mistake in in_our_words(error, Scenario))) from None
