"""How often somebody is called again, and when a campaign gives itself up."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, PlainSerializer, model_validator

from campaigns.rules.caps import MOST_CALLS
from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Duration, Number, Whole
from campaigns.rules.outcome import OutcomeClass


def _in_order(values: frozenset[OutcomeClass]) -> list[str]:
    # A set has another order in each process: unsorted, the same file would look changed.
    return sorted(str(value) for value in values)


class RetryPlan(Section):
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
