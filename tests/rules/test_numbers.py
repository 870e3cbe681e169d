"""From which caller number somebody is called: what it may do, what is wished, and whose turn it is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import InvalidDefinition
from campaigns.rules.definition import AccountDefinition, CampaignDefinition, read_definition
from campaigns.rules.numbers import OnRetry, Presence, choose_number, nearness, room_of, room_on
from tests.factories import ACCOUNT, CAMPAIGN

A, B, C = (UUID(int=turn) for turn in range(3))
ON_RETRY: list[OnRetry] = ["another", "same"]


@given(
    room=st.lists(st.none() | st.integers(0, 6), min_size=1, max_size=5),
    calls=st.lists(st.none() | st.integers(0, 4), max_size=40),
    on_retry=st.sampled_from(ON_RETRY),
)
def test_no_number_gets_more_calls_than_it_may_and_the_one_used_longest_ago_is_next(
    room: list[int | None], calls: list[int | None], on_retry: OnRetry
) -> None:
    numbers = [UUID(int=turn) for turn in range(len(room))]
    left = dict(zip(numbers, room, strict=True))
    used: dict[UUID, int] = {}
    for turn, was in enumerate(calls):
        last = None if was is None else UUID(int=was)
        chosen = choose_number(numbers, room=left, used=used, last=last, on_retry=on_retry)
        assert (chosen is None) == (room_on(numbers, room=left) == 0)
        if chosen is None:
            return
        open_ = [each for each in numbers if left[each] != 0]
        assert chosen in open_
        if on_retry == "same" and last in open_:
            assert chosen == last
        else:
            others = [each for each in open_ if each != last]
            assert (chosen == last) == (not others)
            assert used.get(chosen, -1) == min(used.get(each, -1) for each in (others or open_))
        used[chosen] = turn
        top = left[chosen]
        left[chosen] = None if top is None else top - 1


def test_numbers_take_turns() -> None:
    used: dict[UUID, int] = {}
    chosen: list[UUID | None] = []
    for turn in range(7):
        number = choose_number([A, B, C], room={}, used=used)
        assert number is not None
        used[number] = turn
        chosen.append(number)
    assert chosen == [A, B, C, A, B, C, A]
    assert all(earlier != later for earlier, later in pairwise(chosen))


def test_the_nearest_number_wins_over_another_one_and_the_same_one_over_the_nearest() -> None:
    near = {A: 3, B: 1, C: 0}
    terms: dict[str, Any] = {"room": {}, "used": {A: 9}, "near": near}
    assert choose_number([A, B, C], **terms) == A
    assert choose_number([A, B, C], **terms, last=A) == A  # the only one of that area: no other is as near
    assert choose_number([A, B, C], **terms | {"near": {A: 3, B: 3, C: 0}}, last=A) == B
    assert choose_number([A, B, C], **terms, last=C, on_retry="same") == C
    assert choose_number([A, B, C], **terms | {"room": {A: 0}}) == B


@pytest.mark.parametrize(
    ("held", "most", "made", "per_day", "room"),
    [(9, None, 9, None, None), (1, 3, 0, None, 2), (5, 3, 0, None, 0), (0, 3, 9, 10, 1), (0, None, 12, 10, 0)],
)
def test_a_number_may_make_what_both_its_limits_leave(
    held: int, most: int | None, made: int, per_day: int | None, room: int | None
) -> None:
    assert room_of(held=held, most=most, made=made, per_day=per_day) == room


@pytest.mark.parametrize(
    ("caller", "person", "presence", "near"),
    [
        ("+14155550100", "+14155550187", "area_code", 3),
        ("+14155550100", "+12135550187", "area_code", 2),  # both in California
        ("+14155550100", "+12125550187", "area_code", 1),
        ("+14155550100", "+14165550187", "area_code", 0),  # Toronto
        ("+14155550100", "+14155550187", "country", 1),
        ("+14155550100", "+12125550187", "country", 1),
        ("+14155550100", "+14155550187", "off", 0),
        ("+493012345678", "+493087654321", "area_code", 3),
        ("+493012345678", "+498912345678", "area_code", 1),
        ("+493012345678", "+4915112345678", "area_code", 1),  # a mobile, which has no area code
        ("+493012345678", "+33142685300", "area_code", 0),
        ("+18005550100", "+14155550187", "area_code", 0),  # toll-free: of no country
        (None, "+14155550187", "area_code", 0),
        ("+1", "+1", "area_code", 0),
    ],
)
def test_how_near_two_numbers_are(caller: str | None, person: str, presence: Presence, near: int) -> None:
    assert nearness(caller, person, presence) == near


def test_a_number_of_the_file_has_the_accounts_limits_but_for_its_own() -> None:
    own = [{"id": "a", "concurrency": 2}, {"id": "b", "per_day": 9}, {"id": "c", "number": "+14155550100"}]
    limits = {"number_concurrency": 5, "number_per_day": 100, "numbers": own}
    account = AccountDefinition.model_validate(ACCOUNT | limits)
    found = {name: account.number(name) for name in "abcd"}
    assert [(each.concurrency, each.per_day) for each in found.values()] == [(2, 100), (5, 9), (5, 100), (5, 100)]
    assert found["c"].number == "+14155550100"
    assert account.counts_days
    assert AccountDefinition.model_validate(account.model_dump(mode="json")) == account
    assert not AccountDefinition.model_validate(ACCOUNT | {"number_concurrency": 5}).counts_days


@pytest.mark.parametrize(
    ("number", "line"),
    [
        ({"id": "a"}, "f: numbers #1: give number, concurrency or per_day"),
        ({"id": "a", "per_day": 0}, "f: numbers #1.per_day: input should be greater than or equal to 1"),
        (
            {"id": "a", "number": "(212) 555-0142"},
            'f: numbers #1: number must be written with its country code and without spaces, such as "+12125550142"',
        ),
    ],
)
def test_a_wrong_number_of_an_account_is_refused(number: dict[str, object], line: str) -> None:
    with pytest.raises(InvalidDefinition) as problem:
        read_definition(AccountDefinition, ACCOUNT | {"numbers": [number]}, source="f")
    assert str(problem.value) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"number_on_retry": "other"}, "f: number_on_retry: input should be 'another' or 'same'"),
        ({"local_presence": True}, "f: local_presence: input should be 'off', 'country' or 'area_code'"),
        ({"retry_share": 1.1}, "f: retry_share: input should be less than or equal to 1"),
    ],
)
def test_a_wrong_wish_of_a_campaign_is_refused(changes: dict[str, object], line: str) -> None:
    with pytest.raises(InvalidDefinition) as problem:
        read_definition(CampaignDefinition, CAMPAIGN | changes, source="f")
    assert str(problem.value) == line
