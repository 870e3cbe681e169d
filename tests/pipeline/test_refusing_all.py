"""Nobody is lost to a provider that refuses everything."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from campaigns.errors import CallRefused
from campaigns.models import Call, Campaign
from campaigns.pipeline import breaking, scheduling
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.placing import accepted, fail, person, prepare, record


def under_way(session: Session, now: datetime, many: int) -> tuple[Campaign, list[Call]]:
    """A campaign, and calls of it whose intents are committed."""
    campaign = factories.campaign(session, now)
    calls = [factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(many)]
    for call in calls:
        assert prepare(session, call.id, now) is not None
    return campaign, calls


def test_five_refusals_in_a_row_pause_the_campaign_and_lose_nobody(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    calls = [
        factories.call(session, factories.prospect(session, campaign, now), now + timedelta(seconds=turn))
        for turn in range(5)
    ]
    for turn, call in enumerate(calls):
        assert prepare(session, call.id, now) is not None
        fail(session, call, CallRefused("assistant not found", status=400), now)
        session.flush()
        assert breaking.pause_if_at_fault(session, campaign.id, now=now) == (turn == 4)
    assert campaign.state is CampaignState.PAUSED
    assert campaign.state_why is not None
    assert "assistant not found" in campaign.state_why
    for call in calls:
        found = person(session, call)
        assert (found.state, found.attempts, found.calls) == (ProspectState.WAITING, 0, 0)


def test_refusals_that_come_side_by_side_or_after_the_pause_lose_nobody_either(session: Session, now: datetime) -> None:
    campaign, calls = under_way(session, now, 9)
    paused = []
    for done, call in enumerate(calls, start=1):
        fail(session, call, CallRefused("number not found", status=400), now)
        session.flush()
        if done >= 7:  # the seventh worker is the first to draw conclusions
            paused.append(breaking.pause_if_at_fault(session, campaign.id, now=now))
    assert paused == [True, False, False]
    assert campaign.state is CampaignState.PAUSED
    for call in calls:
        found = person(session, call)
        assert (found.state, found.attempts, found.calls) == (ProspectState.WAITING, 0, 0)


def test_refusals_of_what_was_under_way_lose_nobody_after_a_resume_either(session: Session, now: datetime) -> None:
    campaign, calls = under_way(session, now, 9)
    later = now + timedelta(seconds=20)
    for at, refused in ((now, calls[:5]), (later, calls[5:])):
        for call in refused:
            fail(session, call, CallRefused("assistant not found", status=400), at)
        session.flush()
        assert breaking.pause_if_at_fault(session, campaign.id, now=at) == (at == now)
        if at == now:
            scheduling.command(session, campaign.name, Command.RESUME, who="test", now=now + timedelta(seconds=10))
    assert campaign.state is CampaignState.RUNNING
    for call in calls:
        found = person(session, call)
        assert (found.state, found.attempts, found.calls) == (ProspectState.WAITING, 0, 0)


@pytest.mark.parametrize("after", [Command.PAUSE, Command.CANCEL])
def test_of_those_under_way_nobody_is_lost_to_a_later_pause_nor_called_after_a_cancel(
    session: Session, now: datetime, after: Command
) -> None:
    campaign, calls = under_way(session, now, 6)
    for call in calls[:5]:
        fail(session, call, CallRefused("assistant not found", status=400), now)
    session.flush()
    assert breaking.pause_if_at_fault(session, campaign.id, now=now)
    for turn, command in enumerate([Command.RESUME, after], start=1):
        scheduling.command(session, campaign.name, command, who="test", now=now + timedelta(seconds=turn))
    fail(session, calls[5], CallRefused("assistant not found", status=400), now + timedelta(seconds=5))
    session.flush()
    assert not breaking.pause_if_at_fault(session, campaign.id, now=now + timedelta(seconds=5))
    late = person(session, calls[5])
    expected = (ProspectState.WAITING, 0) if after is Command.PAUSE else (ProspectState.REFUSED, 1)
    assert (late.state, late.attempts) == expected


def test_what_was_refused_before_a_resume_does_not_pause_the_campaign_again(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)

    def refused(at: datetime) -> bool:
        call = factories.call(session, factories.prospect(session, campaign, now), at)
        assert prepare(session, call.id, at) is not None
        fail(session, call, CallRefused("assistant not found", status=400), at)
        session.flush()
        return breaking.pause_if_at_fault(session, campaign.id, now=at)

    assert not any(refused(now + timedelta(seconds=turn)) for turn in range(4))
    later = now + timedelta(minutes=1)
    scheduling.command(session, campaign.name, Command.PAUSE, who="test", now=later, why="lunch")
    scheduling.command(session, campaign.name, Command.RESUME, who="test", now=later)
    assert [refused(later + timedelta(seconds=turn)) for turn in range(5)] == [False, False, False, False, True]


def test_a_refusal_under_a_pause_by_a_person_stays_a_refusal(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    call = factories.call(session, factories.prospect(session, campaign, now), now)
    assert prepare(session, call.id, now) is not None
    scheduling.command(session, campaign.name, Command.PAUSE, who="test", now=now, why="lunch")
    fail(session, call, CallRefused("odd number", status=400), now)
    session.flush()
    assert not breaking.pause_if_at_fault(session, campaign.id, now=now)
    assert person(session, call).state is ProspectState.REFUSED


def test_a_refusal_among_successes_does_not_pause(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    for turn in range(6):
        call = factories.call(session, factories.prospect(session, campaign, now), now + timedelta(seconds=turn))
        assert prepare(session, call.id, now) is not None
        if turn == 3:
            record(session, call, accepted(call, now), now)
        else:
            fail(session, call, CallRefused("odd number", status=400), now)
        session.flush()
        assert not breaking.pause_if_at_fault(session, campaign.id, now=now)


def test_a_worker_that_dies_before_it_draws_its_conclusions_loses_nobody(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    calls = [factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(5)]
    for call in calls:
        assert prepare(session, call.id, now) is not None
        fail(session, call, CallRefused("assistant not found", status=400), now)
    session.flush()
    assert breaking.watched(session) == [campaign.id]
    assert breaking.pause_if_at_fault(session, campaign.id, now=now)
    # One more was under way, and its worker died too.
    late = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.PLACING)
    fail(session, late, CallRefused("assistant not found", status=400), now)
    session.flush()
    assert breaking.watched(session) == [campaign.id]
    assert not breaking.pause_if_at_fault(session, campaign.id, now=now)
    assert {person(session, call).state for call in [*calls, late]} == {ProspectState.WAITING}


def test_those_who_are_refused_for_good_do_not_pause_a_campaign_for_ever(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    people = [factories.prospect(session, campaign, now) for _ in range(5)]
    pauses = []
    for turn in range(3):
        at = now + timedelta(minutes=turn)
        for each in people:
            call = factories.call(session, each, at)
            assert prepare(session, call.id, at) is not None
            fail(session, call, CallRefused("this number is not in service", status=400), at)
        session.flush()
        pauses.append(breaking.pause_if_at_fault(session, campaign.id, now=at))
        if pauses[-1]:
            scheduling.command(session, campaign.name, Command.RESUME, who="test", why=None, now=at)
    assert pauses == [True, True, False]
    assert {(each.state, each.attempts, each.calls) for each in people} == {(ProspectState.REFUSED, 1, 1)}
