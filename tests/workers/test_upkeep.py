"""Asking about calls: a provider that is away costs the others nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Call, Campaign, Heartbeat, Outcome
from campaigns.pipeline import breaking
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from tests import factories
from tests.pipeline.test_breaking import campaign_with, fails
from tests.workers.conftest import Answering, Asked, Silent, serving
from workers import app as worker
from workers import upkeep

CALLS = 4


def ringing(session: Session, now: datetime, name: str, base_url: str, *, ids: str = "call") -> None:
    """Calls of an account that are to be asked about."""
    factories.account(session, now, name=name, base_url=base_url)
    campaign = factories.campaign(session, now, name=name, account=name)
    real = clock.read(session).real
    for turn in range(CALLS):
        factories.call(
            session,
            factories.prospect(session, campaign, now),
            now,
            state=CallState.RINGING,
            provider_id=f"{ids}-{turn}",
            check_at=real - timedelta(seconds=turn),
        )


def still_due(url: str) -> int:
    with db.transaction(url) as session:
        real = clock.read(session).real
        return len(session.scalars(select(Call.id).where(Call.check_at <= real)).all())


def test_an_account_whose_provider_is_away_is_asked_for_once_in_a_tick(
    working_database: str, silent_provider: Silent, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        ringing(session, now, "away", silent_provider.url)
        ringing(session, now, "gone", silent_provider.url)
    upkeep.ask()
    assert len(silent_provider.asked) == 2  # one for each account
    assert still_due(working_database) == 0


def test_an_account_whose_provider_is_away_does_not_hold_up_the_ends_of_others_calls(
    working_database: str, silent_provider: Silent, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        ringing(session, now, "away", silent_provider.url)
        ringing(session, now, "gone", silent_provider.url)
        session.execute(update(Call).values(state=CallState.QUEUED, blocked=True))
        session.execute(update(Campaign).values(state=CampaignState.PAUSED))
    upkeep.withdraw()
    assert len(silent_provider.asked) == 2  # one for each account


def test_ending_calls_that_takes_too_long_leaves_the_rest_to_a_later_tick(
    working_database: str, silent_provider: Silent, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction(working_database) as session:
        ringing(session, now, "away", silent_provider.url)
        session.execute(update(Campaign).values(state=CampaignState.PAUSED))
        session.execute(update(Call).values(state=CallState.QUEUED, blocked=True))
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "ASK_SECONDS", 0.0)
        upkeep.withdraw()
    assert len(silent_provider.asked) == 0
    with db.transaction(working_database) as session:
        session.execute(update(Call).values(hang_up_at=Call.hang_up_at - timedelta(minutes=1)))
    upkeep.withdraw()
    assert len(silent_provider.asked) == 1


@pytest.mark.parametrize("gets_through", [True, False])
def test_a_periodic_task_that_fails_each_time_is_no_sign_of_life(
    working_database: str, monkeypatch: pytest.MonkeyPatch, *, gets_through: bool
) -> None:
    monkeypatch.setattr(worker, "_beat_at", {})
    if not gets_through:
        with db.transaction(working_database) as session:
            session.execute(text("ALTER TABLE calls RENAME COLUMN state TO missing"))
    worker.app.tasks["upkeep.ask"].apply()
    worker.app.tasks["dispatch.tick"].apply()
    with db.transaction(working_database) as session:
        beating = set(session.scalars(select(Heartbeat.queue)))
    assert beating == ({"dispatch", "upkeep"} if gets_through else set())


def test_an_id_from_outside_is_one_part_of_the_path(
    working_database: str, silent_provider: Silent, now: datetime
) -> None:
    with db.transaction(working_database) as session:
        ringing(session, now, "odd", silent_provider.url, ids="odd/../call?limit=1#")
    upkeep.ask()
    (line,) = silent_provider.asked
    assert line.startswith("GET /call/odd%2F..%2Fcall%3Flimit%3D1%23-")


def test_a_tick_that_takes_too_long_leaves_the_rest_to_the_next(
    working_database: str, silent_provider: Silent, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ASK_SECONDS", 0.0)
    with db.transaction(working_database) as session:
        ringing(session, now, "away", silent_provider.url)
        ringing(session, now, "gone", silent_provider.url)
    upkeep.ask()
    assert len(silent_provider.asked) == 1
    assert still_due(working_database) == CALLS  # those of the account that is away wait as if they had been asked
    upkeep.ask()
    assert len(silent_provider.asked) == 2
    assert still_due(working_database) == 0


def test_a_campaign_whose_last_calls_fail_while_it_is_looked_after_pauses(
    working_database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction(working_database) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        campaign = campaign_with(session, now)
        fails(session, campaign, now)
    monkeypatch.setattr(breaking, "watched", lambda _session: [])  # it was looked at just before they failed
    upkeep.advance()
    with db.transaction(working_database) as session:
        assert session.scalars(select(Campaign.state)).one() is CampaignState.PAUSED


class EndedWithoutAnalysis(Answering):
    """Its record of the call is all that there will ever be, and its clock is ahead of ours."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.ended_at = now + timedelta(seconds=20)

    def answer(self, asked: Asked) -> tuple[int, Any]:
        return 200, {
            "id": asked.path.rpartition("/")[2],
            "status": "ended",
            "endedReason": "customer-ended-call",
            "endedAt": self.ended_at.isoformat(),
            "updatedAt": self.ended_at.isoformat(),
            "cost": 0.07,
            "analysis": {},
        }


def test_what_an_ended_call_came_to_is_taken_from_its_record_where_no_report_came(
    working_database: str, now: datetime
) -> None:
    with serving(EndedWithoutAnalysis(now)) as provider:
        with db.transaction(working_database) as session:
            clock.rehearse(session, origin_at=now, speed=1)
            ringing(session, now, "main", provider.url)
        for kept in ((False, None), (True, Decimal("0.07"))):  # asked as it fell silent; and after its report's time
            upkeep.ask()
            with db.transaction(working_database) as session:
                outcomes = session.scalars(select(Outcome)).all()
                assert [(each.complete, each.cost) for each in outcomes] == [kept] * CALLS
                session.execute(update(Call).values(check_at=clock.read(session).real))
