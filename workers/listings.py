"""Calls whose ids at the provider we do not know are looked for in its listings, those of an account together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from campaigns.pipeline.reconciling import LISTED_FAR, LISTED_NEAR, Question, listing_windows
from campaigns.vapi.client import Client
from campaigns.vapi.events import our_call

Record = Mapping[str, Any]


class Listings:
    """What the provider lists of these questions' calls: asked once for each account, when the first is looked for."""

    def __init__(self, questions: Sequence[Question], *, speed: float) -> None:
        self._nameless = [question for question in questions if question.provider_id is None]
        self._speed = speed
        self._found: dict[UUID, dict[UUID, Record]] = {}

    def find(self, question: Question, provider: Client) -> Record | None:
        """The provider's record of the call; None where it lists none. Raises `CallFailure`."""
        account_id = question.account_id
        if account_id not in self._found:
            mine = [each for each in self._nameless if each.account_id == account_id]
            self._found[account_id] = find_all(mine, provider, speed=self._speed)
        return self._found[account_id].get(question.call_id)


def find_all(questions: Sequence[Question], provider: Client, *, speed: float) -> dict[UUID, Record]:
    """The provider's records of these calls, by our ids.

    They are looked for where nearly all are, and further around only where not to find one has consequences: such a
    listing may be of thousands of calls.
    """
    near = {question.call_id: question.intent_at for question in questions}
    found = _look(near, listing_windows(near.values(), LISTED_NEAR, speed=speed), provider)
    far = {each.call_id: each.intent_at for each in questions if each.quiet and each.call_id not in found}
    return found | _look(far, listing_windows(far.values(), LISTED_FAR, speed=speed), provider)


def _look(
    wanted: Collection[UUID], windows: Sequence[tuple[datetime, datetime]], provider: Client
) -> dict[UUID, Record]:
    found: dict[UUID, Record] = {}
    for start, end in windows:
        for record in provider.list_calls(start, end):
            call_id = our_call(record)
            if call_id is not None and call_id in wanted:
                found[call_id] = record
                if len(found) == len(wanted):
                    return found
    return found
