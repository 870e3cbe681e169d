"""Whether anything runs at all is said by what runs, not guessed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from campaigns import clock
from campaigns.models import Campaign, Heartbeat, Import, Pace
from campaigns.pipeline import warning
from campaigns.pipeline.warning import IMPORTS, LOOKS_FOR_IMPORTS, PERIODIC, SILENT
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.pacing import DOUBTS
from tests import factories
from tests.pipeline.placing import REAL

LATER = REAL + SILENT + timedelta(seconds=1)


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


def silences(session: Session, now: datetime, *, real: datetime = REAL, speed: float = 1) -> list[str]:
    session.flush()
    return warning.silences(session, now=now, real=real, speed=speed)


def everything_beats(session: Session, *, real: datetime) -> None:
    for task in PERIODIC:
        warning.beat(session, task, real=real)


def test_a_campaign_that_runs_while_no_worker_does_is_said(session: Session, campaign: Campaign, now: datetime) -> None:
    assert silences(session, now) == ["nothing runs: none has run yet"]
    everything_beats(session, real=REAL)
    assert silences(session, now, real=REAL + SILENT) == []
    (said,) = silences(session, now, real=LATER)
    assert said == f"nothing runs: the last sign of life was at {REAL:%Y-%m-%d %H:%M:%S %Z}"


@pytest.mark.parametrize("missing", PERIODIC)
def test_a_task_that_does_not_get_through_is_named(
    session: Session, campaign: Campaign, now: datetime, missing: str
) -> None:
    everything_beats(session, real=REAL)
    for task in PERIODIC:
        if task != missing:
            warning.beat(session, task, real=LATER)
    (said,) = silences(session, now, real=LATER)
    assert said.startswith(f"the task {missing} does not get through: ")


def test_nothing_is_said_where_there_is_nothing_to_do(session: Session, campaign: Campaign, now: datetime) -> None:
    for state in CampaignState:
        campaign.state = state
        waits = state in {CampaignState.RUNNING, CampaignState.SCHEDULED}
        assert bool(silences(session, now)) == waits, state


def test_a_call_whose_end_nobody_would_ask_about_is_work(session: Session, campaign: Campaign, now: datetime) -> None:
    campaign.state = CampaignState.PAUSED
    prospect = factories.prospect(session, campaign, now)
    factories.call(session, prospect, now, state=CallState.RINGING, check_at=REAL)
    assert silences(session, now) == ["nothing runs: none has run yet"]


@pytest.mark.parametrize("speed", [1, 600])
def test_claimed_calls_that_nobody_places_are_said(
    session: Session, campaign: Campaign, now: datetime, speed: float
) -> None:
    everything_beats(session, real=LATER)
    factories.call(session, factories.prospect(session, campaign, now), now)
    later = now + timedelta(minutes=2)  # a fifth of a second in a rehearsal that runs fast
    said = silences(session, later, real=LATER, speed=speed)
    assert said == ["no worker takes from the queue calls: 1 claimed calls wait for one"] * (speed == 1)
    session.scalars(select(Pace)).one().backoff_until = LATER  # they wait for the provider
    assert silences(session, later, real=LATER, speed=speed) == []


def test_a_list_that_was_handed_over_and_that_no_worker_reads_is_said(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    campaign.state = CampaignState.DRAFT
    record = session.get_one(Import, factories.prospect(session, campaign, now).import_id)
    later = now + SILENT + timedelta(seconds=1)
    assert silences(session, later) == []
    record.queued_at = now
    assert silences(session, now) == []  # it was handed over only now
    assert silences(session, later) == ["no worker takes from the queue bulk: 1 imports wait for one; none has run yet"]
    for task in (LOOKS_FOR_IMPORTS, IMPORTS):
        warning.beat(session, task, real=REAL)
        assert silences(session, later) == []
        (said,) = silences(session, later, real=LATER)
        assert said.endswith(f"the last sign of life was at {REAL:%Y-%m-%d %H:%M:%S %Z}")
        session.execute(delete(Heartbeat))
    record.failed_why = "the file is empty"
    assert silences(session, later) == []


def test_a_call_that_ended_and_never_gets_an_outcome_is_said(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    long_ago = clock.read(session).real - timedelta(days=3)
    when = {"intent_at": long_ago, "quiet_at": long_ago, "line_until": long_ago, "check_at": REAL}
    factories.call(session, factories.prospect(session, campaign, now), long_ago, state=CallState.ENDED, **when)
    session.flush()
    (said,) = warning.troubles(session)
    assert str(said).startswith("1 calls that ended long ago and have no outcome")


def doubted(pace: Pace, real: datetime) -> None:
    pace.doubts = DOUBTS


def ahead(pace: Pace, real: datetime) -> None:
    pace.next_slot = real + timedelta(hours=1)


@pytest.mark.parametrize(("becomes", "what"), [(doubted, "what became of it"), (ahead, "nothing is sent before")])
def test_what_keeps_an_account_from_dialling_is_said_while_it_has_somebody_to_call(
    session: Session, campaign: Campaign, becomes: Callable[[Pace, datetime], None], what: str
) -> None:
    pace = session.scalars(select(Pace)).one()
    pace.next_slot = clock.read(session).real
    session.flush()
    assert warning.troubles(session) == []
    becomes(pace, pace.next_slot)
    session.flush()
    (said,) = warning.troubles(session)
    assert what in said.what
    campaign.state = CampaignState.COMPLETED
    session.flush()
    assert warning.troubles(session) == []
