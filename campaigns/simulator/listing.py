"""`GET /call`: the filters that Vapi has, and no others."""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def newest_first(calls: Sequence[Call], wanted: Filter, shown: Callable[[Call], bool]) -> list[Call]:
    """The calls of a listing, from all `calls`, oldest first, as far as they are `shown`."""
    return list(islice(_matching(calls, wanted, shown), wanted.limit))


def _matching(calls: Sequence[Call], wanted: Filter, shown: Callable[[Call], bool]) -> Iterator[Call]:
    # Calls stand in the order of their creation, so that a window of it is found without looking at the others.
    first, last = 0, len(calls)
    for name, bound in wanted.times.items():
        if name.startswith("created"):
            side = bisect_left if name.endswith(("Lt", "Ge")) else bisect_right
            place = side(calls, bound, key=_created)
            first, last = (max(first, place), last) if "G" in name else (first, min(last, place))
    for place in range(last - 1, first - 1, -1):
        if wanted.matches(calls[place]) and shown(calls[place]):
            yield calls[place]


def _created(call: Call) -> datetime:
    return call.accepted.simulated
