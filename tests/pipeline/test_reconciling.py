"""What is unknown is asked about, and given up only when there is no doubt."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from campaigns.models import Outcome
from campaigns.pipeline import ingesting, reconciling, reporting, settling
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_call
from tests import factories
from tests.pipeline.telling import PROVIDER_ID, REAL, TIMING, ended, figures, in_call, person, tell


def questions(session: Session, now: datetime, real: datetime) -> list[reconciling.Question]:
    found = reconciling.overdue(session, now=now, real=real, timing=TIMING, limit=10)
    session.flush()
    return found


def test_an_expired_intent_becomes_unknown_and_never_claimed(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.check_at = REAL
    session.flush()
    (question,) = questions(session, now, REAL)
    assert call.state is CallState.UNKNOWN
    assert question.provider_id is None
    assert questions(session, now, REAL) == []


def test_a_claimed_call_is_not_asked_about(session: Session, now: datetime) -> None:
    prospect = factories.prospect(session, factories.campaign(session, now), now)
    call = factories.call(session, prospect, now, check_at=REAL - timedelta(hours=1))
    assert questions(session, now, REAL) == []
    assert call.state is CallState.CLAIMED


def test_no_trace_becomes_review_only_after_the_quiet_period_and_three_listings(
    session: Session, now: datetime
) -> None:
    call = in_call(session, now)
    call.check_at, call.quiet_at = REAL, REAL + timedelta(minutes=15)
    session.flush()

    def listing_is_empty(real: datetime) -> bool:
        questions(session, now, real)
        return reconciling.no_trace(session, call.id, now=now, real=real, timing=TIMING)

    assert not listing_is_empty(REAL)
    assert not listing_is_empty(REAL + timedelta(minutes=5))
    assert not listing_is_empty(REAL + timedelta(minutes=10))
    assert not reconciling.no_trace(session, call.id, now=now, real=REAL + timedelta(minutes=14), timing=TIMING)
    assert call.state is CallState.UNKNOWN
    assert listing_is_empty(REAL + timedelta(minutes=15))
    assert call.state is CallState.REVIEW
    assert person(session, call).state is ProspectState.REVIEW
    assert figures(session, call) == reporting.count_from_rows(session, call.campaign_id)


def test_a_quiet_period_with_too_few_listings_decides_nothing(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.check_at, call.quiet_at = REAL, REAL
    session.flush()
    questions(session, now, REAL)
    assert not reconciling.no_trace(session, call.id, now=now, real=REAL + timedelta(hours=1), timing=TIMING)
    assert call.state is CallState.UNKNOWN


def test_a_provider_that_does_not_answer_has_not_said_that_there_is_no_call(session: Session, now: datetime) -> None:
    lost, live = in_call(session, now), in_call(session, now, name="live")
    live.state, live.provider_id = CallState.RINGING, PROVIDER_ID
    for call in (lost, live):
        call.check_at, call.quiet_at = REAL, REAL
    session.flush()
    for turn in range(5):
        assert len(questions(session, now, REAL + turn * TIMING.ask_again)) == 2  # and no answer to any of them
    later = REAL + timedelta(hours=1)
    assert not reconciling.no_trace(session, lost.id, now=now, real=later, timing=TIMING)
    assert not reconciling.gone(session, live.id, now=now, real=later, timing=TIMING)
    assert (lost.state, live.state) == (CallState.UNKNOWN, CallState.RINGING)


def test_a_missing_report_is_given_up_after_asking(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-ended-call", now), now)
    assert person(session, call).state is ProspectState.SETTLING
    later = REAL + TIMING.report_grace
    (question,) = questions(session, now, later)
    assert question.settling
    record = {
        "id": PROVIDER_ID,
        "status": "ended",
        "endedReason": "customer-ended-call",
        "endedAt": now.isoformat(),
        "name": str(call.id),
    }
    message = read_call(record, now=now)
    event_id, _ = ingesting.store(session, call.account_id, message, learned="asked", now=now, real=later)
    assert event_id is not None
    applied = ingesting.apply(session, event_id, now=now, real=later, timing=TIMING)
    assert applied is not None
    settling.settle(session, call.id, applied.ending, learned="asked", now=now, timing=TIMING, give_up=True)
    assert person(session, call).state is ProspectState.COMPLETED
    assert session.get_one(Outcome, call.id).complete is False
