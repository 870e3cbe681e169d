"""From events to outcomes: any order, any repetition, and what follows for the person."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.models import Event, Outcome
from campaigns.pipeline import ingesting, reporting, scheduling, settling, warning
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import Command
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.events import read_call, read_message
from tests import factories
from tests.pipeline.placing import prepare
from tests.pipeline.telling import PROVIDER_ID, REAL, TIMING, ended, figures, in_call, person, report, status, tell


def test_a_conversation_settles_with_its_report(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    at = now + timedelta(minutes=1)
    for word in ("queued", "ringing", "in-progress"):
        assert tell(session, call, status(call, word, at), at) is None
    assert call.state is CallState.IN_PROGRESS
    assert tell(session, call, ended(call, "customer-ended-call", at), at) is None
    assert person(session, call).state is ProspectState.SETTLING
    assert call.settled_at is None
    assert tell(session, call, report(call, "customer-ended-call", at), at) is ProspectState.COMPLETED
    outcome = session.get_one(Outcome, call.id)
    assert outcome.outcome is OutcomeClass.COMPLETED
    assert (outcome.answered, outcome.complete, outcome.summary) == (True, True, "agreed")
    assert outcome.structured == {"interested": True}
    assert float(outcome.duration_seconds or 0) == 30
    assert float(outcome.cost or 0) == 0.05
    assert call.check_at is None
    assert person(session, call).attempts == 1


@pytest.mark.parametrize("reason", ["customer-busy", "customer-did-not-answer"])
def test_an_end_without_anybody_settles_at_once(session: Session, now: datetime, reason: str) -> None:
    call = in_call(session, now)
    assert tell(session, call, ended(call, reason, now), now) is ProspectState.WAITING
    found = person(session, call)
    assert found.due_at is not None
    assert found.due_at > now
    assert found.attempts == 1


def test_a_voicemail_waits_for_its_report(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    assert tell(session, call, ended(call, "voicemail", now), now) is None
    assert person(session, call).state is ProspectState.SETTLING


def test_any_order_and_repetition_leads_to_the_same_state(session: Session, now: datetime) -> None:
    """Every order of the five messages of a call, the second half of them delivered twice."""
    seen = set()
    campaign = factories.campaign(session, now)
    for turn, order in enumerate(permutations(("queued", "ringing", "in-progress", "ended", "report"))):
        call = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.PLACING)
        messages = {
            "queued": status(call, "queued", now + timedelta(seconds=1)),
            "ringing": status(call, "ringing", now + timedelta(seconds=2)),
            "in-progress": status(call, "in-progress", now + timedelta(seconds=3)),
            "ended": ended(call, "customer-ended-call", now + timedelta(seconds=30)),
            "report": report(call, "customer-ended-call", now + timedelta(seconds=30)),
        }
        # One provider id for each call: the same one twice would be another test.
        for body in messages.values():
            body["message"]["call"]["id"] = f"provider-{turn}"
        for word in (*order, *order[2:]):
            tell(session, call, messages[word], now + timedelta(minutes=2))
        found, outcome = person(session, call), session.get_one(Outcome, call.id)
        seen.add((call.state, found.state, found.attempts, found.calls, outcome.outcome, outcome.complete))
    assert figures(session, call) == reporting.count_from_rows(session, campaign.id)
    assert seen == {(CallState.ENDED, ProspectState.COMPLETED, 1, 1, OutcomeClass.COMPLETED, True)}


def test_a_repeated_event_is_stored_once(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    for _ in range(3):
        tell(session, call, ended(call, "customer-busy", now), now)
    assert session.scalar(select(func.count()).select_from(Event)) == 1
    assert figures(session, call) == {"prospect:waiting": 1, "outcome:busy": 1, "call:made": 1}


def test_applying_an_event_twice_changes_nothing(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    message = read_message(json.dumps(ended(call, "customer-busy", now)).encode())
    event_id, created = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
    assert created
    assert event_id is not None
    assert ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING) is not None
    session.flush()
    assert ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING) is None


def test_another_accounts_message_cannot_touch_the_call(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    stranger = factories.account(session, now, name="stranger")
    message = read_message(json.dumps(report(call, "customer-ended-call", now)).encode())
    event_id, _ = ingesting.store(session, stranger.id, message, learned="pushed", now=now, real=REAL)
    assert event_id is not None
    assert ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING) is None
    assert call.state is CallState.PLACING
    assert warning.troubles(session)[0].count == 1


def test_a_late_report_revises_the_outcome_and_cancels_the_next_call(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    assert person(session, call).state is ProspectState.WAITING
    assert tell(session, call, report(call, "customer-ended-call", now), now) is ProspectState.COMPLETED
    assert figures(session, call) == {
        "prospect:completed": 1,
        "outcome:answered_completed": 1,
        "call:made": 1,
    }


def test_whoever_proves_reached_is_not_rung_by_a_call_that_was_claimed_meanwhile(
    session: Session, now: datetime
) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    following = factories.call(session, person(session, call), now, state=CallState.CLAIMED)
    tell(session, call, report(call, "customer-ended-call", now), now)
    assert prepare(session, following.id, now) is None
    assert following.state is CallState.NOT_PLACED
    found = person(session, call)
    assert (found.state, found.state_why) == (
        ProspectState.COMPLETED,
        "already_concluded: the report of an earlier call settled it",
    )
    assert figures(session, call) == reporting.count_from_rows(session, call.campaign_id)


def test_whoever_proves_reached_during_the_next_call_is_done_when_that_ends(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    following = factories.call(session, person(session, call), now, state=CallState.RINGING)
    tell(session, call, report(call, "customer-ended-call", now), now)
    body = ended(following, "customer-did-not-answer", now)
    body["message"]["call"]["id"] = "following"
    assert tell(session, following, body, now) is ProspectState.COMPLETED


def test_a_late_report_settles_whoever_was_held_meanwhile(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    ledger.set_state(person(session, call), ProspectState.HELD, now=now)
    assert tell(session, call, report(call, "customer-ended-call", now), now) is ProspectState.COMPLETED


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_provider_whose_clock_is_wrong_changes_neither_the_length_nor_the_next_time(
    session: Session, now: datetime, year: str
) -> None:
    wrong = f"{year}-01-01T00:00:00Z"
    for name, key in (("one", "startedAt"), ("two", "endedAt")):
        call = in_call(session, now, name=name, retry={"no_answer": ["1h"]})
        body = report(call, "customer-did-not-answer", now) | {}
        body["message"] |= {key: wrong, "call": {"id": f"{name}-{year}", "name": str(call.id)}}
        assert tell(session, call, body, now) is ProspectState.WAITING
        assert session.get_one(Outcome, call.id).duration_seconds is None
        assert person(session, call).due_at == now + timedelta(hours=1)


def test_a_late_report_never_makes_a_final_person_due(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    found = person(session, call)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    ledger.set_state(found, ProspectState.EXPIRED, now=now)
    tell(session, call, report(call, "customer-did-not-answer", now), now)
    assert found.state is ProspectState.EXPIRED
    assert found.due_at is None


def test_a_technical_failure_costs_a_call_but_no_attempt(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, report(call, "call.in-progress.error-vapifault-worker-died", now), now)
    found = person(session, call)
    assert (found.state, found.attempts, found.calls) == (ProspectState.WAITING, 0, 1)


def test_a_capacity_end_costs_no_attempt_and_comes_again_soon(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    reason = "call.start.error-subscription-concurrency-limit-reached"
    assert tell(session, call, ended(call, reason, now), now) is ProspectState.WAITING
    found = person(session, call)
    assert found.attempts == 0
    assert found.due_at == now + TIMING.capacity_wait


def test_attempts_run_out(session: Session, now: datetime) -> None:
    call = in_call(session, now, retry={"max_attempts": 1, "max_calls": 3})
    assert tell(session, call, ended(call, "customer-busy", now), now) is ProspectState.EXHAUSTED


def test_the_next_call_falls_into_the_persons_window(session: Session, now: datetime) -> None:
    call = in_call(session, now, retry={"no_answer": ["12h"]})
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    # 15:00 UTC + 12 h is 22:00 in New York; the window opens at 09:00 there.
    assert person(session, call).due_at == datetime(2027, 3, 3, 14, tzinfo=UTC)


def test_whoever_is_in_a_call_when_the_campaign_is_cancelled_ends_cancelled(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    scheduling.command(session, "spring", Command.CANCEL, who="test", now=now)
    assert tell(session, call, ended(call, "customer-busy", now), now) is ProspectState.CANCELLED


def test_evidence_for_a_call_taken_for_not_placed_is_an_incident(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.state = CallState.NOT_PLACED
    session.flush()
    tell(session, call, status(call, "ringing", now), now)
    assert call.state is CallState.NOT_PLACED
    assert call.incident is not None
    assert [each.count for each in warning.troubles(session)] == [1]


def test_a_late_word_about_a_call_in_review_resolves_it(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.state = CallState.REVIEW
    ledger.set_state(person(session, call), ProspectState.REVIEW, now=now)
    session.flush()
    tell(session, call, status(call, "in-progress", now), now)
    assert call.state is CallState.IN_PROGRESS
    assert person(session, call).state is ProspectState.IN_CALL


def test_waits_other_than_the_defaults_are_for_stand_ins_only(session: Session, now: datetime) -> None:
    hasty = Timing(silence=timedelta(seconds=1))
    factories.account(session, now, name="real", base_url="https://api.vapi.ai")
    for account, silence in (("main", hasty.silence), ("real", TIMING.silence)):
        call = in_call(session, now, account=account, name=f"of-{account}")
        locked = ledger.lock(session, call.id, timing=hasty)
        assert locked is not None
        assert locked.timing.silence == silence


@pytest.mark.parametrize("pushed", [True, False], ids=["pushed", "asked"])
def test_a_report_that_gives_no_reason_does_not_undo_the_one_that_was_heard(
    session: Session, now: datetime, *, pushed: bool
) -> None:
    call = in_call(session, now)
    tell(session, call, ended(call, "customer-ended-call", now), now)
    if pushed:
        told = report(call, "", now)
        told["message"]["endedReason"] = None
        tell(session, call, told, now)
    else:
        record = {"id": PROVIDER_ID, "status": "ended", "endedAt": now.isoformat(), "analysis": {"summary": "agreed"}}
        ending = read_call(record, now=now).ending
        settling.settle(session, Ended(call.id, ending, learned="asked"), now=now, timing=TIMING)
    outcome = session.get_one(Outcome, call.id)
    assert (outcome.outcome, outcome.complete, outcome.summary) == (OutcomeClass.COMPLETED, True, "agreed")
    assert person(session, call).state is ProspectState.COMPLETED
