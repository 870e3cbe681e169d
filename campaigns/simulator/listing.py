"""`GET /call`: the filters that Vapi has, and no others."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice

from campaigns.simulator.calls import Call
from campaigns.simulator.requests import Refusal

_COMPARE: dict[str, Callable[[datetime, datetime], bool]] = {
    "Gt": operator.gt,
    "Lt": operator.lt,
    "Ge": operator.ge,
    "Le": operator.le,
}
_IDS = ("id", "assistantId", "phoneNumberId")
_TIMES = tuple(field + bound for field in ("createdAt", "updatedAt") for bound in _COMPARE)
DEFAULT_LIMIT = 100
HIGHEST_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """What a listing was asked for."""

    ids: Mapping[str, str]
    times: Mapping[str, datetime]
    limit: int

    def matches(self, call: Call) -> bool:
        """Whether the call belongs in the listing."""
        for name, value in self.ids.items():
            if (call.id if name == "id" else call.body.get(name)) != value:
                return False
        for name, bound in self.times.items():
            moment = call.accepted.simulated if name.startswith("created") else call.updated
            if not _COMPARE[name[-2:]](moment, bound):
                return False
        return True


def read_filter(query: Mapping[str, str]) -> Filter:
    """The filter in a query string. Raises Refusal in Vapi's shape."""
    problems: list[str] = []
    times: dict[str, datetime] = {}
    limit = DEFAULT_LIMIT
    for name, value in query.items():
        if name in _TIMES:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                problems.append(f"{name} must be a valid ISO 8601 date string")
                continue
            times[name] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        elif name == "limit":
            if not (value.isascii() and value.isdigit() and int(value) <= HIGHEST_LIMIT):
                problems.append(f"limit must be a number from 0 to {HIGHEST_LIMIT}")
                continue
            limit = int(value)
        elif name not in _IDS:
            problems.append(f"property {name} should not exist")
    if problems:
        raise Refusal(HTTPStatus.BAD_REQUEST, problems)
    return Filter({name: query[name] for name in _IDS if name in query}, times, limit)


def newest_first(calls: Iterable[Call], wanted: Filter) -> list[Call]:
    """The calls of a listing. `calls` come newest first, so that a limit ends the search."""
    return list(islice(_matching(calls, wanted), wanted.limit))


def _matching(calls: Iterable[Call], wanted: Filter) -> Iterator[Call]:
    earliest = [bound for name, bound in wanted.times.items() if name in {"createdAtGt", "createdAtGe"}]
    for call in calls:
        if wanted.matches(call):
            yield call
        elif any(call.accepted.simulated < bound for bound in earliest):
            return  # all others are older still
