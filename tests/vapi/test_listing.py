"""All calls of a window, though the provider has no pages and gives out a thousand at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import CallFailure
from campaigns.vapi import client as client_module
from campaigns.vapi.client import MOST_LISTINGS, Client
from tests.vapi.provider import Asked, Provider, answer

START = datetime(2027, 3, 2, 15, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Created = list[datetime]


def milliseconds(moment: datetime) -> datetime:
    """A time as the provider keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def window(asked: Asked) -> tuple[datetime, datetime, int]:
    query = parse_qs(urlsplit(asked.target).query)
    return (
        datetime.fromisoformat(query["createdAtGe"][0]),
        datetime.fromisoformat(query["createdAtLe"][0]),
        int(query["limit"][0]),
    )


def keeping(created: Created, *, inward: timedelta = timedelta(0)) -> Any:
    """A reply that lists what it keeps, the newest first, as many as it may; `inward` narrows what it is asked for."""

    def reply(asked: Asked) -> bytes:
        start, end, limit = window(asked)
        found = [
            {"id": str(turn), "createdAt": moment.isoformat()}
            for turn, moment in enumerate(created)
            if milliseconds(start) + inward <= moment <= milliseconds(end) - inward
        ]
        return answer(200, sorted(found, key=lambda record: record["createdAt"], reverse=True)[:limit])

    return reply


def listed(created: Created, **options: Any) -> tuple[list[int], int]:
    """The calls that were given out, and how many listings that took."""
    with Provider(keeping(created, **options)) as provider, Client(provider.url, "key") as client:
        found = [int(record["id"]) for record in client.list_calls(START, START + MINUTE)]
        return found, len(provider.asked)


@pytest.mark.parametrize(("calls", "listings"), [(0, 1), (999, 1), (1000, 3), (1500, 3)])
def test_a_listing_that_may_hide_more_is_halved(calls: int, listings: int) -> None:
    created = [milliseconds(START + turn * MINUTE / 1600) for turn in range(calls)]
    found, asked = listed(created)
    assert sorted(found) == list(range(calls))
    assert asked == listings


def test_a_listing_that_is_too_large_to_be_read_is_halved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LARGEST_BODY", 3_000)  # as if each call brought megabytes of conversation
    found, asked = listed([milliseconds(START + turn * MINUTE / 100) for turn in range(100)])
    assert sorted(found) == list(range(100))
    assert asked > 1


def test_the_ends_of_the_window_belong_to_it() -> None:
    assert sorted(listed([START, START + MINUTE])[0]) == [0, 1]


near_seams = st.builds(lambda eighth, off: 7_500 * eighth + off, st.integers(1, 7), st.integers(-2, 2))
"""Milliseconds into the window, at and beside the places where it is halved."""


@settings(deadline=None, max_examples=40)  # real HTTP, on a machine that may be busy
@given(
    st.lists(near_seams, min_size=2, max_size=40),
    st.sampled_from([timedelta(0), timedelta(milliseconds=1)]),
)
def test_none_falls_between_two_halves_however_the_provider_rounds(offsets: list[int], inward: timedelta) -> None:
    """Pages that hold little more than one instant make a seam of nearly every half."""
    created = [START + timedelta(milliseconds=offset) for offset in offsets]
    crowd = max(sum(0 <= other - offset <= 22 for other in offsets) for offset in offsets)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client_module, "LISTING_LIMIT", crowd + 1)
        found, _ = listed(created, inward=inward)
    assert sorted(found) == list(range(len(created)))


@pytest.mark.parametrize("inward", [timedelta(0), timedelta(milliseconds=1)])
def test_a_seam_in_the_middle_of_many_calls_gives_each_out_once(inward: timedelta) -> None:
    middle = START + MINUTE / 2
    created = [middle + timedelta(milliseconds=turn) for turn in (-2, -1, 0, 1, 2)]
    created += [START + MINUTE / 4] * 600 + [START + MINUTE * 3 / 4] * 600
    found, _ = listed(created, inward=inward)
    assert sorted(found) == list(range(len(created)))


def test_more_than_a_page_in_one_instant_is_a_failure_and_not_an_end() -> None:
    with pytest.raises(CallFailure, match="too many calls were created within one instant to list them all"):
        listed([START + MINUTE / 3] * 1000)


def test_a_provider_whose_every_page_is_full_is_not_asked_for_ever() -> None:
    page = answer(200, [{"id": str(turn)} for turn in range(1000)])
    with (
        Provider(lambda _: page) as provider,
        Client(provider.url, "key") as client,
        pytest.raises(CallFailure, match="too many calls"),
    ):
        list(client.list_calls(START, START + MINUTE))
    assert len(provider.asked) <= MOST_LISTINGS


def test_a_window_that_takes_too_many_listings_is_a_failure_and_not_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LISTING_LIMIT", 2)
    created = [START + timedelta(milliseconds=100 * turn) for turn in range(300)]
    with pytest.raises(CallFailure, match="too many calls to list them all: 200 listings did not reach the end"):
        listed(created)


def test_a_full_page_of_odd_records_is_still_a_full_page() -> None:
    pages = [[{"id": "one"}, None, "x", {"name": "nobody"}, {"name": "nobody"}], [{"id": "one"}]]
    sent = iter([answer(200, [None] * 1000), *(answer(200, page) for page in pages)])
    with Provider(lambda _: next(sent)) as provider, Client(provider.url, "key") as client:
        found = list(client.list_calls(START, START + MINUTE))
    assert found == [{"id": "one"}, {"name": "nobody"}, {"name": "nobody"}]


@pytest.mark.parametrize("reply", [answer(500), answer(200, {"results": []}), answer(200, b"<html>"), None])
def test_a_listing_that_fails_half_way_is_a_failure_and_not_an_end(reply: bytes | None) -> None:
    sent = iter([answer(200, [{"id": str(turn)} for turn in range(1000)]), answer(200, []), reply])
    with (
        Provider(lambda _: next(sent)) as provider,
        Client(provider.url, "key") as client,
        pytest.raises(CallFailure),
    ):
        list(client.list_calls(START, START + MINUTE))
    assert len(provider.asked) == 3
