"""What is unknown is asked about, and given up only when there is no doubt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import CallUnclear
from campaigns.models import Call, Outcome, Prospect
from campaigns.pipeline import calling, ingesting, reconciling, reporting, settling, warning
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_call, read_message
from tests import factories
from tests.pipeline.telling import PROVIDER_ID, REAL, TIMING, ended, figures, in_call, person, status, tell
from tests.pipeline.waiting import held_up


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


def test_who_asks_takes_people_in_the_order_in_which_everybody_does(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        for turn in range(2):
            prospect = factories.prospect(session, campaign, now)
            factories.call(session, prospect, now, state=CallState.RINGING, check_at=REAL - timedelta(seconds=turn))

    def ask() -> int:
        with db.transaction(database) as session:
            return len(questions(session, now, REAL))

    with db.transaction(database) as holding:
        lower, higher = holding.scalars(select(Prospect.id).order_by(Prospect.id)).all()
        holding.execute(select(Prospect.id).where(Prospect.id == lower).with_for_update())
        with held_up(database, ask) as asked:
            # Had it taken the higher one, whose call is due first, before it began to wait, this would be a deadlock.
            holding.execute(select(Prospect.id).where(Prospect.id == higher).with_for_update(nowait=True))
            holding.commit()
    assert asked.result() == 2


def miss(session: Session, call: Call, now: datetime, real: datetime) -> bool:
    """The provider is asked about the call, whenever that is due, and says that there is none."""
    call.check_at = real
    session.flush()
    (question,) = questions(session, now, real)
    over = reconciling.missed(session, question, now=now, real=real, timing=TIMING)
    session.flush()
    return over


@pytest.mark.parametrize(
    ("provider_id", "unknown_at"),
    # Without its id it is looked for only where nearly all are, until its quiet period is over: that says too little.
    [(PROVIDER_ID, (0, 5, 10, 14)), (None, (0, 5, 10, 14, 15, 16))],
)
def test_no_trace_becomes_review_only_after_the_quiet_period_and_three_answers(
    session: Session, now: datetime, provider_id: str | None, unknown_at: Sequence[int]
) -> None:
    call = in_call(session, now)
    call.quiet_at, call.provider_id = REAL + timedelta(minutes=15), provider_id
    for minutes in unknown_at:
        assert not miss(session, call, now, REAL + timedelta(minutes=minutes))
        assert call.state is CallState.UNKNOWN
    assert not miss(session, call, now, REAL + timedelta(minutes=unknown_at[-1] + 1))
    assert call.state is CallState.REVIEW
    assert person(session, call).state is ProspectState.REVIEW
    assert call.check_at is None
    assert figures(session, call) == reporting.count_from_rows(session, call.campaign_id)


def test_what_a_person_is_to_decide_says_why_it_was_unclear_in_the_first_place(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    doubt = CallUnclear("the answer did not arrive")
    calling.record(session, {call.id: doubt}, now=now, real=REAL, timing=TIMING)
    call.quiet_at = REAL
    for _ in range(3):
        miss(session, call, now, REAL)
    assert call.state_why == "the answer did not arrive; the provider was asked and does not know it"


def trusting(session: Session, now: datetime) -> Call:
    """A call of an account that takes for not placed what the provider does not list."""
    factories.account(session, now, unresolved="not_placed")
    call = in_call(session, now)
    call.quiet_at = REAL + timedelta(minutes=15)
    return call


def test_an_account_may_take_for_not_placed_what_the_provider_does_not_list(session: Session, now: datetime) -> None:
    call = trusting(session, now)
    for minutes in (0, 5, 10, 14, 15, 16):
        assert not miss(session, call, now, REAL + timedelta(minutes=minutes))
        assert call.state is CallState.UNKNOWN
    assert not miss(session, call, now, REAL + timedelta(minutes=17))
    someone = person(session, call)
    assert (call.state, call.counted) == (CallState.NOT_PLACED, False)
    assert (someone.state, someone.due_at, someone.calls, someone.attempts) == (ProspectState.WAITING, now, 0, 0)
    counted = reporting.count_from_rows(session, call.campaign_id)
    assert figures(session, call) == {name: number for name, number in counted.items() if number}

    tell(session, call, status(call, "ringing", now), now)  # it was placed after all
    assert call.state is CallState.NOT_PLACED
    assert call.incident is not None
    assert person(session, call).state is ProspectState.WAITING
    assert [trouble.count for trouble in warning.troubles(session)] == [1]


def test_too_few_answers_decide_nothing_for_a_trusting_account_either(session: Session, now: datetime) -> None:
    call = trusting(session, now)
    for _ in range(2):
        miss(session, call, now, REAL + timedelta(hours=1))
    assert call.state is CallState.UNKNOWN


def test_a_request_that_came_to_nothing_is_no_word_of_the_provider(session: Session, now: datetime) -> None:
    call = trusting(session, now)
    doubt = CallUnclear("the provider answered 503", status=503)
    calling.record(session, {call.id: doubt}, now=now, real=REAL, timing=TIMING)
    for _ in range(3):
        miss(session, call, now, REAL + timedelta(hours=1))
    assert (call.state, person(session, call).state) == (CallState.NOT_PLACED, ProspectState.WAITING)


@pytest.mark.parametrize("word", ["its id", "a hang", "a status that was not applied yet", "a live state"])
def test_a_call_that_the_provider_ever_spoke_of_is_never_taken_for_not_placed(
    session: Session, now: datetime, word: str
) -> None:
    call = trusting(session, now)
    match word:
        case "its id":
            call.provider_id = PROVIDER_ID
        case "a live state":
            call.state = CallState.RINGING
        case _:
            body = status(call, "in-progress", now)
            body["message"] |= {"type": "hang"} if word == "a hang" else {}
            body["message"]["call"]["id"] = None
            message = read_message(json.dumps(body).encode())
            event_id, _ = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
            assert event_id is not None
            if word == "a hang":
                ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING)
    for _ in range(3):
        miss(session, call, now, REAL + timedelta(hours=1))
    assert (call.state, person(session, call).state) == (CallState.REVIEW, ProspectState.REVIEW)


def test_a_quiet_period_with_too_few_answers_decides_nothing(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.quiet_at = REAL
    for _ in range(2):
        miss(session, call, now, REAL + timedelta(hours=1))
    assert call.state is CallState.UNKNOWN


def test_a_live_call_that_the_provider_no_longer_knows_is_over(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.state, call.provider_id = CallState.RINGING, PROVIDER_ID
    assert [miss(session, call, now, REAL) for _ in range(3)] == [False, False, True]
    assert call.state is CallState.ENDED


def test_a_live_call_without_an_id_that_is_not_listed_is_for_a_person_to_review(
    session: Session, now: datetime
) -> None:
    call = in_call(session, now)
    call.state, call.quiet_at = CallState.RINGING, REAL + timedelta(minutes=15)
    for minutes in (0, 5, 10):
        assert not miss(session, call, now, REAL + timedelta(minutes=minutes))
        assert call.state is CallState.RINGING
    assert not miss(session, call, now, REAL + timedelta(minutes=15))
    assert (call.state, person(session, call).state) == (CallState.REVIEW, ProspectState.REVIEW)


@pytest.mark.parametrize("provider_id", [None, PROVIDER_ID])
def test_an_ended_call_that_the_provider_does_not_know_is_settled_without_its_report(
    session: Session, now: datetime, provider_id: str | None
) -> None:
    call = in_call(session, now)
    body = ended(call, "customer-ended-call", now)
    body["message"]["call"]["id"] = provider_id
    tell(session, call, body, now)
    assert (call.state, call.provider_id) == (CallState.ENDED, provider_id)
    later = REAL + TIMING.report_grace
    assert [miss(session, call, now, later) for _ in range(3)] == [False, False, True]
    settling.settle(session, Ended(call.id, None, learned="asked", give_up=True), now=now, timing=TIMING)
    assert person(session, call).state is ProspectState.COMPLETED
    assert questions(session, now, later + timedelta(days=1)) == []


def test_a_provider_that_does_not_answer_has_not_said_that_there_is_no_call(session: Session, now: datetime) -> None:
    lost, live = in_call(session, now), in_call(session, now, name="live")
    live.state, live.provider_id = CallState.RINGING, PROVIDER_ID
    for call in (lost, live):
        call.check_at, call.quiet_at = REAL, REAL
    session.flush()
    for turn in range(5):
        assert len(questions(session, now, REAL + turn * TIMING.ask_again)) == 2  # and no answer to any of them
    for call in (lost, live):
        miss(session, call, now, REAL)
    assert (lost.state, live.state) == (CallState.UNKNOWN, CallState.RINGING)


@pytest.mark.parametrize("sign", ["a late word", "a hang", "the same answer again"])
def test_any_sign_of_life_begins_the_count_anew(session: Session, now: datetime, sign: str) -> None:
    call = in_call(session, now)
    tell(session, call, status(call, "in-progress", now), now)
    for _ in range(2):
        miss(session, call, now, REAL)
    match sign:
        case "a late word":
            tell(session, call, status(call, "ringing", now), now)
        case "a hang":
            body = status(call, "in-progress", now)
            body["message"]["type"] = "hang"
            tell(session, call, body, now)
        case _:
            reconciling.seen(session, call.id, real=REAL, timing=TIMING)
    assert call.asked == 0
    assert call.check_at == REAL + TIMING.silence
    assert not miss(session, call, now, REAL)
    assert call.state is CallState.IN_PROGRESS


def test_what_we_failed_to_hear_is_no_sign_of_life(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, status(call, "ringing", now), now)
    miss(session, call, now, REAL)
    calling.record(session, {call.id: CallUnclear("a timeout")}, now=now, real=REAL, timing=TIMING)
    assert call.asked == 1


def test_the_count_of_answers_stays_small(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.quiet_at, call.provider_id = REAL + timedelta(days=365), PROVIDER_ID
    for _ in range(6):
        miss(session, call, now, REAL)
    assert call.asked == reconciling.MISSES


def test_an_answer_from_before_the_id_was_known_counts_for_nothing(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.check_at = REAL
    session.flush()
    (question,) = questions(session, now, REAL)
    tell(session, call, status(call, "ringing", now), now)
    assert not reconciling.missed(session, question, now=now, real=REAL, timing=TIMING)
    assert call.asked == 0


def test_a_call_that_rings_before_its_intent_is_asked_about_like_any_other(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    call = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.CLAIMED)
    tell(session, call, status(call, "ringing", now), now)
    assert (call.state, call.intent_at, call.counted) == (CallState.RINGING, now, True)
    assert call.quiet_at == REAL + TIMING.quiet
    (question,) = questions(session, now, REAL + TIMING.silence)
    assert (question.call_id, question.intent_at) == (call.id, now)
    assert figures(session, call) == reporting.count_from_rows(session, call.campaign_id)


def test_what_nobody_got_round_to_asking_is_asked_first_next_time(session: Session, now: datetime) -> None:
    calls = [in_call(session, now, name=name) for name in ("one", "two", "three")]
    for turn, call in enumerate(calls):
        call.check_at = REAL + timedelta(seconds=turn)
    session.flush()
    later = REAL + timedelta(seconds=5)
    assert len(questions(session, now, later)) == 3
    reconciling.hand_back(session, [calls[2].id], real=later)
    assert [question.call_id for question in questions(session, now, later)] == [calls[2].id]


@pytest.mark.parametrize("state", [CallState.CLAIMED, CallState.REVIEW])
def test_what_is_not_asked_about_is_not_handed_back(session: Session, now: datetime, state: CallState) -> None:
    campaign = factories.campaign(session, now)
    check_at = None if state is CallState.REVIEW else now
    person = factories.prospect(session, campaign, now)
    call = factories.call(session, person, now, state=state, check_at=check_at)
    reconciling.hand_back(session, [call.id], real=REAL)
    session.refresh(call)
    assert call.check_at == check_at


def test_an_erased_call_is_asked_about_while_it_is_going_on_and_not_once_it_is_settled(
    session: Session, now: datetime
) -> None:
    call = in_call(session, now)
    erased = status(call, "", now)
    erased["message"]["type"] = "call.deleted"
    tell(session, call, status(call, "ringing", now), now)
    tell(session, call, erased, now)
    assert call.check_at == REAL
    tell(session, call, ended(call, "customer-busy", now), now)
    assert call.check_at is None
    erased["message"]["timestamp"] = (now + timedelta(minutes=1)).timestamp() * 1000
    tell(session, call, erased, now)
    assert call.check_at is None


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
    applied = ingesting.apply_alone(session, event_id, now=now, real=later, timing=TIMING)
    assert applied is not None
    settling.settle(session, Ended(call.id, applied.ending, learned="asked", give_up=True), now=now, timing=TIMING)
    assert person(session, call).state is ProspectState.COMPLETED
    assert session.get_one(Outcome, call.id).complete is False
