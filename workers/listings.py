"""Calls whose ids at the provider we do not know are looked for in its listings, those of an account together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from campaigns.errors import CallFailure
from campaigns.pipeline.reconciling import LISTED_FAR, LISTED_NEAR, Question, listing_windows
from campaigns.vapi.client import Client
from campaigns.vapi.events import our_call

Record = Mapping[str, Any]


class Listings:
    """What the provider lists of these questions' calls: asked once for each account, when the first is looked for."""

    def __init__(self, questions: Sequence[Question], *, speed: float) -> None:
        self._nameless = [question for question in questions if question.provider_id is None]
        self._speed = speed
        self._listed: dict[UUID, Listed] = {}

    def find(self, question: Question, provider: Client) -> Record | None:
        """The provider's record of the call; None where it lists none. Raises `CallFailure`."""
        account_id = question.account_id
        if account_id not in self._listed:
            mine = [each for each in self._nameless if each.account_id == account_id]
            self._listed[account_id] = find_all(mine, provider, speed=self._speed)
        listed = self._listed[account_id]
        if question.call_id in listed.found:
            return listed.found[question.call_id]
        if question.call_id in listed.failed:
            raise listed.failed[question.call_id]
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """What became of looking for some calls, by our ids."""

    found: dict[UUID, Record] = field(default_factory=dict)
    failed: dict[UUID, CallFailure] = field(default_factory=dict)
    """Why the provider did not list the time in which the call would be."""


def find_all(questions: Sequence[Question], provider: Client, *, speed: float) -> Listed:
    """The provider's records of these calls.

    They are looked for where nearly all are, and further around only where not to find one has consequences: such a
    listing may be of thousands of calls. A time that the provider cannot list hides the calls of no other time.
    """
    listed = Listed()
    near = {question.call_id: question.intent_at for question in questions}
    _look(near, listing_windows(near.values(), LISTED_NEAR, speed=speed), provider, listed)
    known = listed.found.keys() | listed.failed.keys()
    far = {each.call_id: each.intent_at for each in questions if each.quiet and each.call_id not in known}
    _look(far, listing_windows(far.values(), LISTED_FAR, speed=speed), provider, listed)
    return listed


def _look(
    wanted: Mapping[UUID, datetime], windows: Sequence[tuple[datetime, datetime]], provider: Client, listed: Listed
) -> None:
    missing = set(wanted)
    for start, end in windows:
        try:
            for record in provider.list_calls(start, end):
                call_id = our_call(record)
                if call_id in missing:
                    listed.found[call_id] = record
                    missing.discard(call_id)
                    if not missing:
                        return
        except CallFailure as problem:
            is_away = problem.status is None  # then it lists no other time either
            theirs = [each for each in missing if is_away or start <= wanted[each] <= end]
            listed.failed.update(dict.fromkeys(theirs, problem))
            if is_away:
                return
