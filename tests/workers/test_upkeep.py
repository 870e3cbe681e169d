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
from campaigns.pipeline.warning import PERIODIC
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from tests import factories
from tests.pipeline.lists import begin_phones, store_phones
from tests.pipeline.placing import REAL
from tests.pipeline.test_breaking import campaign_with, fails
from tests.workers.conftest import Answering, Asked, Silent, serving
from workers import app as worker
from workers import dispatch, events, upkeep

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


@pytest.mark.parametrize(
    ("broken", "silent"),
    [
        ("home.known_since", {"dispatch.tick"}),
        ("phone_numbers.provider_id", {"dispatch.tick"}),  # each account's claims fail, and are logged
        ("calls.asked", {"upkeep.ask"}),
        ("changes.what", {"upkeep.advance"}),  # each campaign fails to be moved along
    ],
)
def test_a_periodic_task_that_fails_each_time_is_no_sign_of_life(
    working_database: str, now: datetime, monkeypatch: pytest.MonkeyPatch, broken: str, silent: set[str]
) -> None:
    monkeypatch.setattr(worker, "_beat_at", {})
    table, column = broken.split(".")
    with db.transaction(working_database) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        campaign = factories.campaign(session, now)
        factories.prospect(session, campaign, now)
        later = factories.campaign(session, now, name="later", state=CampaignState.SCHEDULED)
        factories.call(session, factories.prospect(session, later, now), now, state=CallState.RINGING, check_at=REAL)
        session.execute(text(f"ALTER TABLE {table} RENAME COLUMN {column} TO missing"))
    for task in (dispatch.tick, events.sweep, events.suppress, upkeep.ask, upkeep.withdraw, upkeep.advance):
        task.apply()
    with db.transaction(working_database) as session:
        assert set(PERIODIC) - set(session.scalars(select(Heartbeat.task))) == silent


def test_a_campaign_that_somebody_holds_keeps_no_other_from_being_started(working_database: str, now: datetime) -> None:
    """An import was suspended in the middle of a lot: its server's patience is a minute, ours ten seconds."""
    with db.transaction(working_database) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        held, other = (factories.campaign(session, now, name=name, state=CampaignState.SCHEDULED) for name in "ab")
        for campaign in (held, other):
            factories.prospect(session, campaign, now)
        if held.id > other.id:
            held, other = other, held
    with db.transaction(working_database) as suspended:
        store_phones(suspended, begin_phones(suspended, held, "list", now), "+12125550199", now=now)
        upkeep.advance()
        with db.transaction(working_database) as session:
            assert session.get_one(Campaign, other.id).state is CampaignState.RUNNING
            assert session.get_one(Campaign, held.id).state is CampaignState.SCHEDULED


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
