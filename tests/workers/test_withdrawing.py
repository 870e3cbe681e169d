"""Ending calls that wait for a line: none of them keeps others waiting, and nobody is hung up on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from campaigns import clock, db, ledger
from campaigns.models import Call, Campaign, Prospect
from campaigns.pipeline import withdrawing
from campaigns.rules.call_state import CallState, Evidence
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from tests import factories
from tests.pipeline.telling import report, tell
from tests.workers.conftest import Answering, Asked, Silent, serving
from workers import upkeep

SLOW = 0.6  # seconds; in reality the client waits 20 s for an answer, and the tick's time is 10 s


class Vapi(Answering):
    """Ends a call when it is told to. What `before` says happens before it answers about a call."""

    def __init__(self, before: Callable[[Asked], bool]) -> None:
        super().__init__()
        self.before = before
        self.ended: list[str] = []

    def answer(self, asked: Asked) -> tuple[int, Any] | None:
        if not self.before(asked):
            return None
        name = asked.path.rpartition("/")[2]
        if "control" in asked.path:
            self.ended.append(name)
            return 200, {}
        return 200, {"id": name, "status": "queued", "monitor": {"controlUrl": f"{self.url}/control/{name}"}}


def waits_for_a_line(url: str, now: datetime, account: str, base_url: str, *names: str) -> None:
    """Calls of a paused campaign that the provider has no line for."""
    with db.transaction(url) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        factories.account(session, now, name=account, base_url=base_url)
        campaign = factories.campaign(session, now, name=account, account=account)
        for turn, name in enumerate(names):
            factories.call(
                session,
                factories.prospect(session, campaign, now),
                now + timedelta(seconds=turn),
                state=CallState.QUEUED,
                provider_id=name,
                blocked=True,
            )
        session.execute(update(Campaign).values(state=CampaignState.PAUSED))


def ticks(url: str, many: int) -> None:
    """`upkeep.withdraw`, again and again: each took longer than it is until a call is asked for once more."""
    for _ in range(many):
        upkeep.withdraw()
        with db.transaction(url) as session:
            session.execute(update(Call).values(hang_up_at=Call.hang_up_at - timedelta(seconds=20)))


def test_a_silent_provider_never_keeps_the_calls_of_another_account_from_being_ended(
    working_database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silence(_: Asked) -> bool:
        time.sleep(SLOW)
        return False

    monkeypatch.setattr(upkeep, "ASK_SECONDS", SLOW / 2)
    with serving(Vapi(silence)) as away, serving(Vapi(lambda _: True)) as there:
        waits_for_a_line(working_database, now, "away", away.url, "older")
        waits_for_a_line(working_database, now + timedelta(minutes=1), "there", there.url, "younger")
        ticks(working_database, 4)
        assert there.ended  # a paused campaign's call, which may begin to ring at any moment


def test_a_tick_that_takes_too_long_leaves_the_rest_to_the_next(
    working_database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ASK_SECONDS", 0.0)
    with serving(Vapi(lambda _: True)) as provider:
        waits_for_a_line(working_database, now, "main", provider.url, "first", "second")
        upkeep.withdraw()
        assert provider.ended == ["first"]
        upkeep.withdraw()
        assert provider.ended == ["first", "second"]


def test_a_control_address_that_hangs_never_keeps_other_calls_from_being_ended(
    working_database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(asked: Asked) -> bool:
        if asked.path == "/control/first":
            time.sleep(SLOW)
            return False
        return True

    monkeypatch.setattr(upkeep, "ASK_SECONDS", SLOW / 2)
    with serving(Vapi(hangs)) as provider:
        waits_for_a_line(working_database, now, "main", provider.url, "first", "second")
        ticks(working_database, 4)
        assert "second" in provider.ended


def test_a_call_that_got_its_line_meanwhile_is_not_ended_in_the_middle_of_the_conversation(
    working_database: str, now: datetime
) -> None:
    def second_is_answered(asked: Asked) -> bool:
        if asked.path == "/call/first":
            with db.transaction(working_database) as session:
                call_id = session.scalars(select(Call.id).where(Call.provider_id == "second")).one()
                locked = ledger.lock(session, call_id, timing=Timing())
                assert locked is not None
                real = clock.read(session).real
                ledger.move(locked, Evidence.IN_PROGRESS, now=now, real=real)
        return True

    with serving(Vapi(second_is_answered)) as provider:
        waits_for_a_line(working_database, now, "main", provider.url, "first", "second")
        upkeep.withdraw()
        with db.transaction(working_database) as session:
            second = session.scalars(select(Call).where(Call.provider_id == "second")).one()
            assert (second.state, second.blocked) == (CallState.IN_PROGRESS, False)  # known before it was its turn
        assert provider.ended == ["first"]


@pytest.mark.parametrize("by_somebody", [True, False])
def test_whoever_is_hung_up_on_by_a_person_is_not_called_again_for_having_waited_for_a_line(
    working_database: str, silent_provider: Silent, now: datetime, *, by_somebody: bool
) -> None:
    waits_for_a_line(working_database, now, "main", silent_provider.url, "theirs")
    upkeep.withdraw()  # noted, and the provider did not answer
    with db.transaction(working_database) as session:
        call = session.scalars(select(Call)).one()
        assert call.hang_up_at is not None
        if by_somebody:
            live = withdrawing.find_live(session, str(call.id))
            withdrawing.record_hang_up(session, live, result="ended", detail="", who="ann", why="asked", now=now)
    with db.transaction(working_database) as session:
        call = session.scalars(select(Call)).one()
        said = report(call, "manually-canceled", now)
        said["message"]["call"]["id"] = "theirs"
        tell(session, call, said, now)
        state = session.scalars(select(Prospect.state)).one()
        assert state is (ProspectState.CANCELLED if by_somebody else ProspectState.WAITING)
