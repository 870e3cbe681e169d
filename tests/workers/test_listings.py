"""Calls whose answers were lost are looked for together, and first where they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from campaigns import clock, db
from campaigns.models import Call
from campaigns.pipeline.reconciling import Question, listing_windows
from campaigns.rules.call_state import CallState
from campaigns.rules.definition import AccountDefinition
from campaigns.vapi.client import Client
from tests import factories
from tests.workers.conftest import Answering, Asked, serving
from workers import upkeep
from workers.listings import find_all

SECOND = timedelta(seconds=1)


class Lister(Answering):
    """A provider that lists calls by when they were created, and keeps the windows that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.created: dict[UUID, datetime] = {}
        self.windows: list[tuple[datetime, datetime]] = []

    def answer(self, asked: Asked) -> tuple[int, Any]:
        query = parse_qs(urlsplit(asked.path).query)
        start, end = (datetime.fromisoformat(query[name][0]) for name in ("createdAtGe", "createdAtLe"))
        self.windows.append((start, end))
        return self.page(start, end)

    def page(self, start: datetime, end: datetime) -> tuple[int, Any]:
        return 200, [
            {
                "id": f"theirs-{call_id}",
                "status": "in-progress",
                "createdAt": created_at.isoformat(),
                "assistantOverrides": {"metadata": {"call_id": str(call_id)}},
            }
            for call_id, created_at in self.created.items()
            if start <= created_at <= end
        ]


@pytest.fixture
def lister() -> Iterator[Lister]:
    with serving(Lister()) as server:
        yield server


def question(lister: Lister, intent_at: datetime, *, created: timedelta | None = None, quiet: bool = False) -> Question:
    """About a call whose answer was lost; created so long after its intent, if it was."""
    call_id = uuid4()
    if created is not None:
        lister.created[call_id] = intent_at + created
    account = AccountDefinition(name="main", base_url=lister.url, key_env="VAPI_API_KEY")
    return Question(call_id, UUID(int=1), account, None, intent_at, settling=False, quiet=quiet)


def found(lister: Lister, questions: list[Question], *, speed: float = 1) -> set[UUID]:
    with Client(lister.url, "a-key") as provider:
        return set(find_all(questions, provider, speed=speed).found)


def test_calls_of_one_account_are_found_by_one_listing(lister: Lister, now: datetime) -> None:
    questions = [question(lister, now + turn * SECOND, created=SECOND) for turn in range(50)]
    assert found(lister, questions) == {each.call_id for each in questions}
    assert len(lister.windows) == 1


def test_a_call_that_is_not_where_calls_are_is_looked_for_further_around(lister: Lister, now: datetime) -> None:
    near = question(lister, now, created=SECOND)
    early = question(lister, now, created=-100 * SECOND, quiet=True)  # the provider's clock is behind ours
    nowhere = question(lister, now, quiet=True)
    assert found(lister, [near, early, nowhere]) == {near.call_id, early.call_id}
    assert len(lister.windows) == 2
    assert lister.windows[1][0] < lister.windows[0][0]


def test_a_call_that_is_asked_about_again_later_is_looked_for_only_where_calls_are(
    lister: Lister, now: datetime
) -> None:
    assert found(lister, [question(lister, now)]) == set()
    assert len(lister.windows) == 1


def test_intents_far_apart_are_not_listed_across_the_time_between(lister: Lister, now: datetime) -> None:
    questions = [question(lister, now + turn * timedelta(hours=1), created=SECOND) for turn in range(3)]
    assert len(found(lister, questions)) == 3
    assert all(end - start < timedelta(minutes=2) for start, end in lister.windows)


def test_windows_are_as_wide_in_real_time_however_fast_the_clock_runs(now: datetime) -> None:
    assert listing_windows([now], (SECOND, 2 * SECOND), speed=30) == [(now - 30 * SECOND, now + 60 * SECOND)]


def test_upkeep_learns_of_all_lost_answers_by_one_request(working_database: str, lister: Lister, now: datetime) -> None:
    with db.transaction(working_database) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        factories.account(session, now, base_url=lister.url)
        campaign = factories.campaign(session, now)
        real = clock.read(session).real
        for _ in range(5):
            prospect = factories.prospect(session, campaign, now)
            call = factories.call(session, prospect, now, state=CallState.UNKNOWN, check_at=real)
            lister.created[call.id] = now
    upkeep.ask()
    with db.transaction(working_database) as session:
        calls = session.scalars(select(Call)).all()
    assert {call.provider_id for call in calls} == {f"theirs-{call.id}" for call in calls}
    assert {call.state for call in calls} == {CallState.IN_PROGRESS}
    assert len(lister.windows) == 1
