"""Where things stand, one person's story in order, and everything that needs a person."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from campaigns import clock, ledger
from campaigns.models import Campaign, Event
from campaigns.pipeline import halting, reporting, scheduling, warning
from campaigns.pipeline.tracing.waiting import people
from campaigns.rules.call_state import HOLDS_LINE, CallState
from campaigns.rules.prospect_state import FINAL, ProspectState
from tests import factories


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    return factories.campaign(session, now)


def test_progress_counts_everybody_by_state(session: Session, campaign: Campaign, now: datetime) -> None:
    for state in ProspectState:
        factories.prospect(session, campaign, now, state=state)
    factories.prospect(session, campaign, now)
    factories.prospect(session, factories.campaign(session, now, name="other"), now)
    progress = reporting.progress(session, campaign, now=now)
    assert progress.prospects == {**{str(state): 1 for state in ProspectState}, "waiting": 2}
    assert progress.total == len(ProspectState) + 1
    assert progress.finished == len(FINAL)
    assert (progress.name, progress.state, progress.calls, progress.lines) == ("spring", "running", 0, 0)
    assert progress.outcomes == {}


def test_progress_counts_calls_lines_and_outcomes(session: Session, campaign: Campaign, now: datetime) -> None:
    for state in CallState:
        factories.call(session, factories.prospect(session, campaign, now), now, state=state)
    ledger.count(session, campaign.id, "outcome:busy", 1, 2)
    ledger.count(session, campaign.id, "outcome:voicemail", 1, 1)
    ledger.count(session, campaign.id, "outcome:voicemail", 2, -1)
    ledger.write_tallies(session)
    progress = reporting.progress(session, campaign, now=now)
    assert progress.calls == len(CallState) - 1  # what is only claimed has not been made
    assert progress.lines == len(HOLDS_LINE)
    later = reporting.progress(session, campaign, now=now + timedelta(hours=1))
    assert later.lines == len(HOLDS_LINE) - 1  # an unknown call has given its line back after its longest duration
    assert progress.outcomes == {"busy": 2}


def test_progress_says_why_people_are_held_and_when_the_next_call_is_due(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    assert reporting.progress(session, campaign, now=now).next_due is None
    for why, number in (("no_consent: none", 2), ("unknown_zone: unknown", 1)):
        for _ in range(number):
            factories.prospect(session, campaign, now, state=ProspectState.HELD, state_why=why)
    for priority, hours in ((5, 3), (0, 1), (-5, 2)):
        factories.prospect(session, campaign, now, priority=priority, due_at=now + timedelta(hours=hours))
    factories.prospect(session, factories.campaign(session, now, name="other"), now)
    progress = reporting.progress(session, campaign, now=now)
    assert progress.held == {"no_consent: none": 2, "unknown_zone: unknown": 1}
    assert progress.next_due == now + timedelta(hours=1)


def test_campaigns_are_listed_newest_first(session: Session, now: datetime) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        factories.campaign(session, now - timedelta(days=age), name=name)
    assert [progress.name for progress in reporting.campaigns(session, now=now)] == ["new", "middle", "old"]


def test_people_are_listed_by_state_and_by_incident(session: Session, campaign: Campaign, now: datetime) -> None:
    waiting = [factories.prospect(session, campaign, now) for _ in range(3)]
    review = factories.prospect(session, campaign, now, state=ProspectState.REVIEW, state_why="no trace")
    factories.call(session, waiting[1], now, state=CallState.NOT_PLACED, incident="rung all the same")
    factories.prospect(session, factories.campaign(session, now, name="other"), now, state=ProspectState.REVIEW)

    def listed(**wanted: object) -> list[tuple[str, str | None]]:
        arguments = {"state": None, "incidents": False, "limit": 100, "now": now} | wanted
        return [(each.state, each.reason) for each in people(session, campaign.id, **arguments)]  # type: ignore[arg-type]

    assert listed(state=ProspectState.REVIEW) == [("review", "no trace")]
    assert len(listed()) == 4
    assert len(listed(limit=2)) == 2
    assert listed(incidents=True) == [(str(waiting[1].state), None)]
    assert review.state is ProspectState.REVIEW


def test_all_is_well_until_it_is_not(session: Session, campaign: Campaign, now: datetime) -> None:
    assert warning.troubles(session) == []
    prospect = factories.prospect(session, campaign, now)
    factories.call(session, prospect, now, state=CallState.REVIEW)
    factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.ENDED, incident="twice")
    dead = {"account_id": campaign.account_id, "learned": "pushed", "type": "status-update", "body": {}}
    session.add(Event(**dead, dedupe_key="dead", received_at=now))
    session.add(Event(**dead, dedupe_key="due", received_at=now, retry_at=now))
    session.add(Event(**dead, dedupe_key="applied", received_at=now, applied_at=now))
    halting.stop_account(session, campaign.account_id, "the key is refused", now=now)
    scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
    session.flush()
    troubles = warning.troubles(session)
    assert [(each.count, each.what.split(":")[0]) for each in troubles] == [
        (1, "calls in review"),
        (1, "calls with an incident"),
        (1, "events in the dead letter"),
        (None, "account main is stopped"),
        (None, "account main is frozen"),
    ]
    assert "the key is refused" in troubles[3].what


@pytest.mark.parametrize("state", [CallState.UNKNOWN, CallState.QUEUED, CallState.IN_PROGRESS])
def test_a_call_that_never_ends_is_said_once_it_has_lasted_longer_than_any_may(
    session: Session, campaign: Campaign, state: CallState
) -> None:
    now = clock.read(session).real
    longest = timedelta(hours=1)
    for began, number in ((now - timedelta(minutes=30), 0), (now - timedelta(hours=2), 1)):
        someone = factories.prospect(session, campaign, began)
        call = factories.call(session, someone, began, state=state, line_until=began + longest)
        assert [each.count for each in warning.troubles(session)] == [1] * number
    call.state, call.check_at = CallState.ENDED, None
    session.flush()
    assert warning.troubles(session) == []
