"""The intent and the answers: one request at most, and nobody rung on a guess."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent, Throttled
from campaigns.models import Campaign, Event, Pace, Person, Suppression
from campaigns.pipeline import calling, ingesting, scheduling
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.placing import REAL, TIMING, accepted, claimed, fail, person, prepare, record, wait


def test_the_intent_builds_the_request_and_is_counted(session: Session, now: datetime) -> None:
    call = claimed(session, now, name="Dana", variables={"first_name": "Dana"}, extension="12")
    prepared = prepare(session, call.id, now)
    assert prepared is not None
    body = prepared.request.body
    assert body["name"] == body["customer"]["externalId"] == str(call.id)
    assert body["assistantOverrides"]["metadata"]["call_id"] == str(call.id)
    assert body["assistantOverrides"]["variableValues"] == {"first_name": "Dana"}
    assert body["customer"]["extension"] == "12"
    assert body["phoneNumberId"] == "number-1"
    assert call.state is CallState.PLACING
    assert call.intent_at == now
    assert call.quiet_at == REAL + TIMING.quiet
    assert person(session, call).calls == 1


def test_a_claimed_call_is_handed_out_a_single_time(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    assert prepare(session, call.id, now) is not None
    assert prepare(session, call.id, now) is None
    assert person(session, call).calls == 1


@pytest.mark.parametrize("state", [state for state in CallState if state is not CallState.CLAIMED])
def test_a_call_in_any_other_state_is_not_handed_out(session: Session, now: datetime, state: CallState) -> None:
    prospect = factories.prospect(session, factories.campaign(session, now), now)
    call = factories.call(session, prospect, now, state=state)
    assert prepare(session, call.id, now) is None
    assert call.state is state


def test_two_workers_with_the_same_hint_send_one_request(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        calls = [factories.call(session, factories.prospect(session, campaign, now), now).id for _ in range(10)]
    handed_out: list[UUID] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        for call_id in calls:
            barrier.wait()
            with db.transaction(database) as session:
                prepared = prepare(session, call_id, now)
            if prepared is not None:
                handed_out.append(prepared.request.call_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(handed_out) == sorted(calls)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("paused", ProspectState.WAITING),
        ("cancelled", ProspectState.CANCELLED),
        ("frozen", ProspectState.WAITING),
        ("suppressed", ProspectState.SUPPRESSED),
        ("night", ProspectState.WAITING),
        ("consent withdrawn", ProspectState.HELD),
    ],
)
def test_what_changed_between_claim_and_intent_is_seen(
    session: Session, now: datetime, change: str, state: ProspectState
) -> None:
    call = claimed(session, now)
    campaign = session.get_one(Campaign, call.campaign_id)
    at = now
    match change:
        case "paused":
            campaign.state = CampaignState.PAUSED
        case "cancelled":
            campaign.state = CampaignState.CANCELLED
        case "frozen":
            scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
        case "suppressed":
            session.add(Suppression(person_id=call.person_id, reason="asked", created_at=now))
        case "night":
            at = now + timedelta(hours=12)
        case _:
            campaign.definition = campaign.definition | {"consent": None}
    session.flush()
    assert prepare(session, call.id, at) is None
    assert call.state is CallState.NOT_PLACED
    assert person(session, call).state is state
    assert person(session, call).calls == 0


@pytest.mark.parametrize("stop", ["pause", "freeze", "suppress"])
def test_a_stop_waits_for_an_open_intent(database: str, now: datetime, stop: str) -> None:
    with db.transaction(database) as session:
        call_id = claimed(session, now).id

    def do_stop(session: Session) -> None:
        session.connection().exec_driver_sql("SET LOCAL lock_timeout = '300ms'")
        if stop == "pause":
            scheduling.command(session, "spring", Command.PAUSE, who="test", now=now)
        elif stop == "freeze":
            scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
        else:
            session.execute(update(Person).values(suppressed_at=now))

    with db.transaction(database) as intent:
        assert prepare(intent, call_id, now) is not None
        with pytest.raises(OperationalError, match="lock timeout"), db.transaction(database) as session:
            do_stop(session)
    with db.transaction(database) as session:
        do_stop(session)  # once the intent is committed, nothing holds it up


def test_open_intents_do_not_wait_for_each_other(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        first, second = (factories.call(session, factories.prospect(session, campaign, now), now).id for _ in range(2))
    with db.transaction(database) as one, db.transaction(database) as two:
        two.connection().exec_driver_sql("SET LOCAL lock_timeout = '300ms'")
        assert prepare(one, first, now) is not None
        assert prepare(two, second, now) is not None
        two.commit()
        one.commit()


def test_an_accepted_call_keeps_the_providers_id(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    record(session, call, accepted(call, now), now)
    assert (call.state, call.provider_id) == (CallState.QUEUED, "call-1")
    assert call.check_at == REAL + TIMING.silence


def test_an_answer_that_comes_twice_changes_nothing(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    record(session, call, accepted(call, now), now)
    record(session, call, accepted(call, now, provider_id="call-2"), now)
    assert (call.state, call.provider_id) == (CallState.QUEUED, "call-1")
    assert session.scalar(select(func.count()).select_from(Event)) == 1


def test_an_answer_with_another_id_than_a_webhook_brought_is_for_a_person_to_review(
    session: Session, now: datetime
) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    call.provider_id = "from-the-webhook"
    record(session, call, accepted(call, now), now)
    assert call.state is CallState.REVIEW
    assert person(session, call).state is ProspectState.REVIEW


def test_an_accepted_call_that_waits_for_a_line_is_marked_blocked(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    limits = {"subscriptionLimits": {"concurrencyBlocked": True, "concurrencyLimit": 10}}
    record(session, call, accepted(call, now, **limits), now)
    assert call.blocked
    assert call.state is CallState.QUEUED


@pytest.mark.parametrize(
    "failure",
    [NotSent("no connection"), Throttled("slow down", status=429), AccountRefused("bad key", status=401)],
)
def test_a_call_that_was_not_accepted_costs_nothing(session: Session, now: datetime, failure: CallFailure) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    fail(session, call, failure, now)
    found = person(session, call)
    assert call.state is CallState.NOT_PLACED
    assert (found.state, found.calls, found.attempts) == (ProspectState.WAITING, 0, 0)
    assert found.due_at is not None
    assert found.due_at > now


def test_a_refused_request_is_final_and_keeps_the_providers_words(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    fail(session, call, CallRefused("customer.number must be valid", status=400), now)
    found = person(session, call)
    assert (found.state, found.attempts, found.calls) == (ProspectState.REFUSED, 1, 1)
    assert found.state_why is not None
    assert "customer.number must be valid" in found.state_why


def test_a_refusal_that_comes_after_a_webhook_does_not_undo_the_call(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    call.state = CallState.RINGING
    fail(session, call, Throttled("slow down", status=429), now)
    assert call.state is CallState.RINGING
    assert person(session, call).state is ProspectState.IN_CALL


def test_an_unclear_answer_keeps_the_person_held(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    fail(session, call, CallUnclear("the provider answered 500", status=500), now)
    found = person(session, call)
    assert call.state is CallState.UNKNOWN
    assert (found.state, found.calls) == (ProspectState.IN_CALL, 1)
    event = session.scalars(select(Event).where(Event.call_id == call.id)).one()
    assert (event.learned, event.type, event.body["status"]) == ("answered", "unclear", 500)  # for the person's story


def test_a_report_that_came_before_its_call_was_known_is_due_once_the_id_arrives(
    session: Session, now: datetime
) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    body = {
        "message": {
            "type": "end-of-call-report",
            "endedReason": "customer-ended-call",
            "artifact": {},
            "analysis": {},
            "call": {"id": "call-1"},
        }
    }
    from json import dumps

    from campaigns.vapi.events import read_message

    event_id, _ = ingesting.store(
        session, call.account_id, read_message(dumps(body).encode()), learned="pushed", now=now, real=REAL
    )
    assert event_id is not None
    assert ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING) is None
    event = session.get_one(Event, event_id)
    assert (event.applied_at, event.retry_at) == (None, None)
    record(session, call, accepted(call, now), now)
    session.refresh(event)
    assert event.retry_at == REAL
    assert ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING) is not None
    assert call.state is CallState.ENDED


def test_a_call_waits_for_its_slot(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    early = REAL - timedelta(seconds=1.5)
    assert wait(session, call.id, real=early) == timedelta(seconds=1.5)
    assert wait(session, call.id, real=REAL + timedelta(seconds=0.3)) == timedelta(0)


def test_a_missed_slot_is_stamped_anew_behind_the_others(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=2)
    call = claimed(session, now)
    late = REAL + timedelta(seconds=5)
    session.execute(update(Pace).values(next_slot=late + timedelta(seconds=3)))
    assert prepare(session, call.id, now, real=late) is None
    session.flush()
    assert wait(session, call.id, real=late) == timedelta(seconds=3)
    session.refresh(call)
    assert call.slot_at == late + timedelta(seconds=3)
    assert session.scalar(select(Pace.next_slot)) == late + timedelta(seconds=3.5)


def test_calls_held_up_together_get_new_slots_and_do_not_wait_for_another_look(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=20)
    campaign = factories.campaign(session, now)
    calls = [factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(4)]
    late = REAL + timedelta(seconds=1.5)
    held = calling.hold_still(session, [call.id for call in calls], timing=TIMING)
    prepared = calling.prepare(session, held, now=now, real=late)
    assert [each.slot_at - late for each in prepared] == [timedelta(seconds=0.05 * turn) for turn in range(3)]
    assert [call.state for call in calls].count(CallState.CLAIMED) == 1  # its new slot is too far off
    assert sorted(call.slot_at - late for call in calls) == [timedelta(seconds=0.05 * turn) for turn in range(4)]


def test_the_latest_moment_of_a_slot_is_half_a_second_after_it(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=1)
    campaign = factories.campaign(session, now)
    first, second = (factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(2))
    session.execute(update(Pace).values(next_slot=REAL + timedelta(seconds=3)))
    assert prepare(session, first.id, now, real=REAL + timedelta(seconds=0.5)) is not None
    assert prepare(session, second.id, now, real=REAL + timedelta(seconds=0.51)) is None
    assert second.slot_at == REAL + timedelta(seconds=3)
    assert second.check_at == second.slot_at + TIMING.lease


def test_a_call_is_prepared_a_moment_before_its_slot(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    assert prepare(session, call.id, now, real=REAL - timedelta(seconds=0.15)) is None
    assert prepare(session, call.id, now, real=REAL - timedelta(seconds=0.14)) is not None


def test_calls_that_come_late_leave_one_after_the_other(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=20)
    campaign = factories.campaign(session, now)
    calls = [factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(3)]
    held = calling.hold_still(session, [call.id for call in calls], timing=TIMING)
    first, *others = calling.prepare(session, held, now=now, real=REAL)
    late = REAL + timedelta(seconds=0.4)  # by a slow disk, since the intent

    def turns(*prepared: calling.Prepared) -> list[timedelta | None]:
        pace = calling.lock_turns(session, campaign.account_id)
        return [turn and turn - late for turn in calling.take_turns(pace, prepared, real=late)]

    assert turns(first) == [timedelta(0)]
    assert turns(*others) == [timedelta(milliseconds=25), timedelta(milliseconds=75)]


def test_a_lowered_rate_makes_nobody_wait_longer_than_a_request_may(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=10)
    campaign = factories.campaign(session, now)
    calls = [factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(8)]
    factories.account(session, now, calls_per_second=0.5)
    held = calling.hold_still(session, [call.id for call in calls], timing=TIMING)
    prepared = calling.prepare(session, held, now=now, real=REAL)
    turns = calling.take_turns(calling.lock_turns(session, campaign.account_id), prepared, real=REAL)
    assert turns == [REAL, REAL + timedelta(seconds=2), REAL + timedelta(seconds=4), *[None] * 5]
    assert session.scalars(select(Pace.left_at)).one() == turns[2]  # they take no turn


def test_there_is_no_slot_for_a_call_that_is_not_claimed_any_more(session: Session, now: datetime) -> None:
    call = claimed(session, now)
    prepare(session, call.id, now)
    session.flush()
    assert wait(session, call.id, real=REAL) is None
    assert wait(session, uuid4(), real=REAL) is None
