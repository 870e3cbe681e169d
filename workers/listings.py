"""Calls whose ids at the provider we do not know are looked for in its listings, those of an account together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """The provider's records of these calls, by our ids: first where nearly all are, then further around the others."""
    left = {question.call_id: question.intent_at for question in questions}
    found: dict[UUID, Record] = {}
    for around in (LISTED_NEAR, LISTED_FAR):
        for start, end in listing_windows(left.values(), around, speed=speed):
            for record in provider.list_calls(start, end):
                call_id = our_call(record)
                if call_id in left:
                    found[call_id] = record
                    del left[call_id]
                    if not left:
                        return found
    return found
