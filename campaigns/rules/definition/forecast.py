"""What a campaign expects of its calls, for its forecast."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from campaigns.rules.definition.section import Section
from campaigns.rules.fields import Duration, Number

Share = Annotated[Number, Field(ge=0, le=1)]


class Expected(Section):
    """How the calls are expected to go: shares of outcomes, and how long a call of each takes from the POST to its end.

    The defaults are a guess to begin with: `outbound campaign show` says how the calls of a campaign really went.
    """

    answered: Share = 0.45
    no_answer: Share = 0.25
    voicemail: Share = 0.20
    busy: Share = 0.05
    failed: Share = 0.05
    ring: Duration = timedelta(seconds=15)
    """Until somebody or something answers."""
    no_answer_takes: Duration = timedelta(seconds=35)
    talk: Duration = timedelta(seconds=60)
    voicemail_takes: Duration = timedelta(seconds=15)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        shares = (self.answered, self.no_answer, self.voicemail, self.busy, self.failed)
        if abs(sum(shares) - 1) > 0.001:
            raise ValueError(
                f"the shares answered, no_answer, voicemail, busy and failed add up to {sum(shares):g}, not 1"
            )
        return self
