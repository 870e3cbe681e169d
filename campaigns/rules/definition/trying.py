"""How often somebody is called again, and when a campaign gives itself up."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, TypeAdapter, model_validator

from campaigns.rules.caps import MOST_CALLS
from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Duration, Number, Whole, spell_duration
from campaigns.rules.outcome import OutcomeClass

LEAST_DELAY: Final = timedelta(minutes=1)  # sooner is the same ring again to whoever hears it


class Later(StrEnum):
    """A delay that the person's own clock decides."""

    NEXT_DAY = "next day"
    OTHER_PART = "another part of the day"
    """Morning until 12, afternoon until 17, evening: another one of them than that of the call, an hour later at least.
    """


_DURATION: Final[TypeAdapter[timedelta]] = TypeAdapter(Duration)


def _delay(value: Any) -> Any:
    if isinstance(value, str) and value in set(Later):
        return Later(value)
    if isinstance(value, str) and not any(letter.isdecimal() for letter in value):
        raise ValueError('a delay is a duration such as "4h", "next day" or "another part of the day"')
    delay = _DURATION.validate_python(value)
    if delay < LEAST_DELAY:
        raise ValueError('a delay is at least "1m": sooner, the same telephone would ring on and on')
    return delay


def _spell_delay(value: timedelta | Later) -> str:
    return str(value) if isinstance(value, Later) else spell_duration(value)


Delay = Annotated[timedelta | Later, BeforeValidator(_delay), PlainSerializer(_spell_delay)]
Ladder = tuple[Delay, ...]


def _in_order(values: frozenset[OutcomeClass]) -> list[str]:
    # A set has another order in each process: unsorted, the same file would look changed.
    return sorted(str(value) for value in values)


def _not_capacity(classes: frozenset[OutcomeClass]) -> frozenset[OutcomeClass]:
    if OutcomeClass.CAPACITY in classes:
        raise ValueError(f"{OutcomeClass.CAPACITY} rang nobody: it costs no attempt and is always tried again")
    return classes


Classes = Annotated[frozenset[OutcomeClass], PlainSerializer(_in_order), AfterValidator(_not_capacity)]


class RetryPlan(Section):
    """How often, and how long after which outcome, a person is called again.

    The first delay of a ladder is for the first attempt, the second for the second; the last one repeats. An empty
    ladder means not again.
    """

    max_attempts: Whole = Field(default=3, ge=1, le=20)
    max_calls: Whole = Field(default=8, ge=1, le=50)
    no_answer: Ladder = (timedelta(hours=4), timedelta(days=1))
    busy: Ladder = (timedelta(minutes=20), timedelta(hours=4))
    voicemail: Ladder = (timedelta(days=1),)
    callback: Ladder = (timedelta(hours=4), Later.NEXT_DAY)
    """For a wish to be called back at no particular time; by the calls that were made, not the attempts."""
    technical: Ladder = (timedelta(minutes=15), timedelta(hours=2))
    """By the calls that failed; of the classes below where they have none of their own."""
    provider_transport_error: Ladder | None = None
    pipeline_error: Ladder | None = None
    assistant_error: Ladder | None = None
    unknown: Ladder | None = None
    jitter: Duration = timedelta(0)
    """Up to so much later, each call another bit: people who were called together do not all come again together."""
    never_again: Classes = frozenset()
    """Classes after which nobody is called again, beside those that are final anyway."""
    counts: Classes = frozenset(
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

    def ladder(self, outcome: OutcomeClass) -> Ladder:
        """The delays after calls that ended so."""
        match outcome:
            case OutcomeClass.BUSY:
                return self.busy
            case OutcomeClass.VOICEMAIL:
                return self.voicemail
            case OutcomeClass.NO_ANSWER:
                return self.no_answer
            case OutcomeClass.CALLBACK:
                return self.callback
            case _:
                own: Ladder | None = getattr(self, str(outcome), None)
                return self.technical if own is None else own


class CallCap(Section):
    """The most calls to one person in any period of that length, whichever campaigns and numbers they come from."""

    calls: Whole = Field(ge=1, le=MOST_CALLS)
    per: Duration

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.per < timedelta(minutes=1):
            raise ValueError('per must be at least "1m"')
        return self


class Breaker(Section):
    """When a campaign pauses itself: too many of its latest calls failed by nobody's fault."""

    enabled: bool = True
    share: Number = Field(default=0.5, gt=0, le=1)  # one call in a hundred fails so on a good day, all on a bad one
    calls: Whole = Field(default=20, ge=5, le=500)  # fewer, and bad luck would pause; more, and more people are rung
    within: Duration = timedelta(hours=1)  # what failed longer ago says nothing about now
