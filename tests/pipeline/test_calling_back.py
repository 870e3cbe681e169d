"""Whoever asks to be called back is, at the time that they named and before everybody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from campaigns.models import Campaign, Outcome
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows
from tests.pipeline.placing import claim, prepare
from tests.pipeline.telling import ended, in_call, person, report, tell

NEW_YORK_MORNING = datetime(2027, 3, 3, 14, tzinfo=UTC)


def asks(at: object) -> dict[str, Any]:
    return {"analysis": {"structuredData": {"callback_time": at}}}


@pytest.mark.parametrize(
    ("said", "due", "why"),
    [
        ("2027-03-04T11:30:00-05:00", "2027-03-04T16:30", "asked for 2027-03-04 16:30 UTC"),
        ("2027-03-04T11:30", "2027-03-04T16:30", "asked for 2027-03-04 16:30 UTC"),
        # 22:00 in New York: the window opens the next morning.
        ("2027-03-02T22:00", "2027-03-03T14:00", "asked for 2027-03-03 03:00 UTC"),
        ("yes", "2027-03-02T19:00", "asked for no particular time"),
        ("soon", "2027-03-02T19:00", "the time asked for, 'soon', is no time that can be read"),
    ],
)
def test_the_person_is_due_when_they_asked_to_be(
    session: Session, now: datetime, said: str, due: str, why: str
) -> None:
    call = in_call(session, now)
    assert tell(session, call, report(call, "customer-ended-call", now, **asks(said)), now) is ProspectState.WAITING
    found = person(session, call)
    assert found.due_at == datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert found.state_why == f"again after callback: {why}"
    assert (found.attempts, found.calls) == (0, 1)
    assert session.get_one(Outcome, call.id).outcome is OutcomeClass.CALLBACK
    assert_tallies_equal_rows(session, session.get_one(Campaign, call.campaign_id))


def test_they_come_before_everybody_else_and_stand_in_line_again_afterwards(session: Session, now: datetime) -> None:
    call = in_call(session, now, max_concurrency=1)
    campaign = session.get_one(Campaign, call.campaign_id)
    found = person(session, call)
    found.priority = -5
    for _ in range(3):
        factories.prospect(session, campaign, now, priority=100, due_at=now - timedelta(days=1))
    at = now + timedelta(hours=1)
    tell(session, call, report(call, "customer-ended-call", now, **asks(at.isoformat())), now)
    (claimed,) = claim(session, campaign.account_id, at)
    following = session.get_one(type(call), claimed)
    assert following.prospect_id == found.id
    assert prepare(session, claimed, at) is not None
    body = ended(following, "customer-did-not-answer", at)
    body["message"]["call"]["id"] = "following"
    assert tell(session, following, body, at) is ProspectState.WAITING
    assert (found.priority, found.own_priority) == (-5, None)


def test_a_promised_call_needs_no_attempt_that_is_left_but_never_passes_max_calls(
    session: Session, now: datetime
) -> None:
    retry = {"max_attempts": 1, "max_calls": 2, "counts": ["callback", "no_answer"]}
    call = in_call(session, now, retry=retry)
    tell(session, call, report(call, "customer-ended-call", now, **asks("yes")), now)
    found = person(session, call)
    assert (found.state, found.attempts) == (ProspectState.WAITING, 1)
    assert found.due_at is not None
    following = factories.call(session, found, now, state=CallState.CLAIMED)
    assert prepare(session, following.id, found.not_before or now) is not None
    body = report(following, "customer-ended-call", now, **asks("yes"))
    body["message"]["call"]["id"] = "following"
    assert tell(session, following, body, now) is ProspectState.EXHAUSTED


def test_a_technical_failure_keeps_the_promise(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, report(call, "customer-ended-call", now, **asks("yes")), now)
    found = person(session, call)
    following = factories.call(session, found, now, state=CallState.PLACING)
    body = report(following, "call.in-progress.error-vapifault-worker-died", now, artifact={})
    body["message"]["call"]["id"] = "following"
    assert tell(session, following, body, now) is ProspectState.WAITING
    assert found.own_priority == 0
    assert found.priority > 100


def test_a_late_report_that_brings_the_wish_moves_who_waits(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    found = person(session, call)
    told = report(call, "customer-ended-call", now, **asks("2027-03-05T10:00"))
    assert tell(session, call, told, now) is ProspectState.WAITING
    assert found.due_at == datetime(2027, 3, 5, 15, tzinfo=UTC)
    assert (found.attempts, found.own_priority) == (0, 0)
    assert_tallies_equal_rows(session, session.get_one(Campaign, call.campaign_id))


def test_a_wish_beyond_the_campaigns_end_is_kept_as_the_reason(session: Session, now: datetime) -> None:
    call = in_call(session, now, ends_at=(now + timedelta(days=2)).isoformat())
    told = report(call, "customer-ended-call", now, **asks("2027-03-20T10:00Z"))
    assert tell(session, call, told, now) is ProspectState.EXPIRED
    assert person(session, call).state_why == "asked for 2027-03-20 10:00 UTC, when the campaign is over"


def test_a_late_report_of_a_class_that_is_final_here_stops_a_call_that_was_claimed(
    session: Session, now: datetime
) -> None:
    call = in_call(session, now, retry={"never_again": ["voicemail"]})
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    following = factories.call(session, person(session, call), now, state=CallState.CLAIMED)
    tell(session, call, report(call, "voicemail", now, artifact={}), now)
    assert prepare(session, following.id, now) is None
    assert person(session, call).state is ProspectState.EXHAUSTED
