"""From which caller number somebody is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal
from uuid import UUID

import phonenumbers

from campaigns.rules.phone import places

OnRetry = Literal["another", "same"]
Presence = Literal["off", "country", "area_code"]


def choose_number(
    numbers: Sequence[UUID],
    *,
    room: Mapping[UUID, int | None],
    used: Mapping[UUID, int],
    last: UUID | None = None,
    on_retry: OnRetry = "another",
    near: Mapping[UUID, int] | None = None,
) -> UUID | None:
    """The number to call from, of those with `room` for one more call; None where there is none.

    Whoever is called again from the same number is called from the `last` one. Then the nearest counts, then that it is
    another than the last one, and at last that it was `used` the longest ago; the higher, the later. A wish that no
    number with room fulfils is no reason not to call.
    """

    def order(number: UUID) -> tuple[bool, int, bool, int]:
        same = number == last
        distance = 0 if near is None else -near.get(number, 0)
        return on_retry == "same" and not same, distance, on_retry == "another" and same, used.get(number, -1)

    return min((number for number in numbers if room.get(number) != 0), key=order, default=None)


def room_on(numbers: Sequence[UUID], *, room: Mapping[UUID, int | None]) -> int | None:
    """How many more calls these numbers may make now; None where one of them has no limit of its own."""
    left = [room.get(number) for number in numbers]
    return None if None in left else sum(each for each in left if each is not None)


def room_of(*, held: int, most: int | None, made: int, per_day: int | None) -> int | None:
    """How many more calls a number may make: at once, and in its day. None for no limit of its own."""
    left = [limit - count for count, limit in ((held, most), (made, per_day)) if limit is not None]
    return max(0, min(left)) if left else None


def nearness(caller: str | None, person: str, presence: Presence) -> int:
    """How near two numbers are: 0 for different countries, 1 for one country, 2 for one state, 3 for one area code."""
    if caller is None or presence == "off":
        return 0
    ours, theirs = places(caller), places(person)
    if ours.country is None or ours.country != theirs.country:
        return 0
    if presence == "country":
        return 1
    code = _area_code(caller)
    if code is not None and code == _area_code(person):
        return 3
    return 2 if ours.states & theirs.states else 1


@lru_cache(maxsize=4_096)
def _area_code(e164: str) -> str | None:
    """None where numbers have none, as most mobiles outside +1."""
    try:
        number = phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None
    length = phonenumbers.length_of_geographical_area_code(number)
    return phonenumbers.national_significant_number(number)[:length] if length else None
