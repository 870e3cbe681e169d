"""Caps per person over all campaigns: which calls count, and that no two at once slip through."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns import clock, db, facts
from campaigns.models import Account, Call, Outcome, Prospect
from campaigns.pipeline import calling, dispatching, settling, withdrawing
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState, Evidence
from campaigns.rules.eligibility import Facts
from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from tests import factories
from tests.pipeline.placing import REAL, TIMING, accepted, claim, prepare, record

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def one_a_day(session: Session, now: datetime, name: str, **changes: Any) -> Any:
    return factories.campaign(session, now, name=name, caps=[{"calls": 1, "per": "1d"}], **changes)


def of(session: Session, prospect: Prospect) -> Facts:
    session.flush()
    return facts.gather(session, [prospect.id])[prospect.id]


def past(
    session: Session, prospect: Prospect, at: datetime, *, outcome: OutcomeClass | None = None, **call: Any
) -> Call:
    """A call of before, ended and settled, with what came of it."""
    call = {"state": CallState.ENDED, "ended_at": at, "settled_at": at} | call
    answered = call.pop("answered", None)
    made = factories.call(session, prospect, at, **call)
    if outcome is not None:
        values = {"campaign_id": made.campaign_id, "prospect_id": prospect.id, "complete": True, "learned": "pushed"}
        row = Outcome(call_id=made.id, outcome=outcome, answered=answered, created_at=at, changed_at=at, **values)
        session.add(row)
    return made


def test_calls_of_every_campaign_and_number_count(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    number = factories.number()
    other = factories.prospect(session, factories.campaign(session, now, name="other"), now, e164=number)
    past(session, other, now - 3 * HOUR)
    person = factories.prospect(session, one_a_day(session, now, "mine"), now, e164=number)
    assert claim(session, account.id, now) == []
    assert person.due_at == now + 21 * HOUR + 2 * HOUR  # 07:00 in New York is too early
    assert person.state_why == "cap_reached: at most 1 call in 24 hours (the campaign)"


def test_the_caps_of_every_state_that_the_person_may_be_in_bind(session: Session, now: datetime) -> None:
    factories.account(session, now)
    campaign = factories.campaign(session, now)
    person = factories.prospect(session, campaign, now, states=["US-NY", "US-FL", "US-NV"])
    found = {str(cap) for cap in of(session, person).caps}
    assert {"at most 3 calls in 24 hours (US-FL)", "no call ever after the person hung up (US-NV)"} <= found
    assert {cap.counts for cap in of(session, person).caps if cap.source == "US"} == {
        "without_consent",
        "debt_collection",
    }


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        ({"state": CallState.ENDED}, True),
        ({"state": CallState.UNKNOWN}, True),
        ({"state": CallState.REVIEW}, True),
        ({"state": CallState.RINGING}, True),
        ({"state": CallState.ENDED, "forgiven": True, "counted": False}, True),
        ({"state": CallState.ENDED, "outcome": OutcomeClass.NO_ANSWER}, True),
        ({"state": CallState.ENDED, "ended_reason": "something new"}, True),
        ({"state": CallState.CLAIMED, "intent_at": None}, False),
        ({"state": CallState.NOT_PLACED}, False),
        ({"state": CallState.NOT_PLACED, "incident": "the provider spoke of it"}, True),
        ({"state": CallState.ENDED, "ended_reason": "call.start.error-get-transport"}, False),
        ({"state": CallState.ENDED, "ended_reason": "call.start.error-get-transport", "started_at": REAL}, True),
        ({"state": CallState.ENDED, "ended_reason": "manually-canceled", "outcome": OutcomeClass.CANCELLED}, True),
        ({"state": CallState.ENDED, "ended_reason": "manually-canceled", "outcome": OutcomeClass.CAPACITY}, False),
    ],
)
def test_every_call_that_may_have_rung_counts(
    session: Session, now: datetime, call: dict[str, Any], *, counts: bool
) -> None:
    person = factories.prospect(session, factories.campaign(session, now), now)
    past(session, person, now - HOUR, **call)
    assert len(of(session, person).rung) == counts


@pytest.mark.parametrize(
    ("call", "events"),
    [
        ({"outcome": OutcomeClass.OPTED_OUT}, {"refusal"}),
        ({"outcome": OutcomeClass.COMPLETED, "ended_reason": "customer-ended-call"}, {"hang_up"}),
        ({"outcome": OutcomeClass.OPTED_OUT, "ended_reason": "customer-ended-call"}, {"refusal", "hang_up"}),
        ({"outcome": OutcomeClass.COMPLETED, "ended_reason": "assistant-ended-call"}, set()),
        ({"outcome": OutcomeClass.PIPELINE_ERROR, "answered": True}, {"abandoned_call"}),
        ({"outcome": OutcomeClass.PIPELINE_ERROR, "started_at": REAL}, {"abandoned_call"}),
        ({"outcome": OutcomeClass.PIPELINE_ERROR, "answered": False, "started_at": REAL}, set()),
        ({"outcome": OutcomeClass.TRANSPORT_ERROR}, set()),
    ],
)
def test_what_a_call_came_to_is_an_event_of_the_rules(
    session: Session, now: datetime, call: dict[str, Any], events: set[str]
) -> None:
    person = factories.prospect(session, factories.campaign(session, now), now)
    past(session, person, now - HOUR, **call)
    assert [rung.events for rung in of(session, person).rung] == [events]


def test_a_call_counts_from_its_end_whatever_the_providers_clock_says(session: Session, now: datetime) -> None:
    person = factories.prospect(session, factories.campaign(session, now), now)
    waited = past(session, person, now - 5 * HOUR, ended_at=now - 4 * HOUR, settled_at=now - 4 * HOUR)
    past(session, person, now - 3 * HOUR, ended_at=now + 9 * DAY, settled_at=now - 2 * HOUR)
    past(session, person, now - HOUR, ended_at=now - 9 * DAY, settled_at=now)
    assert waited.ended_at is not None
    assert [rung.at for rung in of(session, person).rung] == [now - HOUR, now - 2 * HOUR, waited.ended_at]


def test_after_a_call_the_person_is_due_when_the_cap_permits(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    campaign = one_a_day(session, now, "mine", retry={"busy": ["20m"]})
    person = factories.prospect(session, campaign, now)
    (call_id,) = claim(session, account.id, now)
    assert prepare(session, call_id, now) is not None
    _end(session, call_id, now, Ending("customer-busy", OutcomeClass.BUSY, rang=True, ended_at=now))
    assert person.state is ProspectState.WAITING
    assert person.due_at == now + DAY
    assert person.state_why is not None
    assert "again after busy" in person.state_why


def test_a_call_that_waits_for_a_line_is_within_the_cap_that_it_reaches(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    person = factories.prospect(session, one_a_day(session, now, "mine"), now)
    (call_id,) = claim(session, account.id, now)
    call = session.get_one(Call, call_id)
    assert prepare(session, call_id, now) is not None
    blocked = {"subscriptionLimits": {"concurrencyBlocked": True, "remainingConcurrentCalls": 0}}
    record(session, call, accepted(call, now, **blocked), now)
    past(session, person, now - 2 * DAY)  # another one, of which nothing is left to count
    session.flush()
    assert withdrawing.unwanted(session, now=now, real=REAL, limit=10) == []
    past(session, person, now - HOUR, state=CallState.ENDED)
    session.flush()
    assert withdrawing.unwanted(session, now=now, real=REAL, limit=10) == [(call_id, account.id)]


def _end(session: Session, call_id: Any, now: datetime, ending: Ending) -> None:
    from campaigns.ledger import lock, move

    locked = lock(session, call_id, timing=TIMING)
    assert locked is not None
    move(locked, Evidence.ENDED, now=now, real=REAL)
    settling.settle(session, Ended(call_id, ending, "pushed", locked=locked), now=now, timing=TIMING)
    session.flush()


def test_a_claim_that_was_decided_before_another_call_was_made_is_taken_back_at_the_intent(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dispatcher has gathered its facts; the other account's call to the person is made and over; then the first
    one goes on.
    """
    number = factories.number()
    with db.transaction(database) as session:
        accounts = [factories.account(session, now, name=name).id for name in ("slow", "quick")]
        people = [
            factories.prospect(session, one_a_day(session, now, name, account=name), now, e164=number).id
            for name in ("slow", "quick")
        ]
    gather = dispatching.gather

    def gather_and_wait(session: Session, prospect_ids: Any) -> Any:
        found = gather(session, prospect_ids)
        monkeypatch.setattr(dispatching, "gather", gather)
        with db.transaction(database) as other:
            (call_id,) = claim(other, accounts[1], now)
            assert prepare(other, call_id, now) is not None
        with db.transaction(database) as other:
            _end(other, call_id, now, Ending("customer-busy", OutcomeClass.BUSY, rang=True, ended_at=now))
        return found

    monkeypatch.setattr(dispatching, "gather", gather_and_wait)
    with db.transaction(database) as session:
        (call_id,) = claim(session, accounts[0], now)
    with db.transaction(database) as session:
        assert prepare(session, call_id, now) is None
        person = session.get_one(Prospect, people[0])
        assert person.due_at == now + DAY
        assert session.get_one(Call, call_id).state is CallState.NOT_PLACED


def test_campaigns_at_once_never_call_anybody_more_often_than_the_cap(database: str, now: datetime) -> None:
    numbers = [factories.number() for _ in range(6)]
    with db.transaction(database) as session:
        for name in ("one", "two", "three"):
            factories.account(session, now, name=name, concurrency=20)
            caps = [{"calls": 2, "per": "1d"}]
            campaign = factories.campaign(session, now, name=name, account=name, caps=caps, retry={"busy": ["1m"]})
            for number in numbers:
                factories.prospect(session, campaign, now, e164=number)
        accounts = session.scalars(select(Account.id)).all()
    barrier = threading.Barrier(len(accounts))
    failed: list[BaseException] = []

    def run(account_id: Any) -> None:
        try:
            barrier.wait()
            for minute in range(0, 40, 2):
                at = now + timedelta(minutes=minute)
                with db.transaction(database) as session:
                    real = clock.read(session).real
                    claimed = dispatching.claim_due(session, account_id, now=at, real=real, timing=Timing())
                for call_id in claimed:
                    with db.transaction(database) as session:
                        held = calling.hold_still(session, [call_id], timing=TIMING)
                        prepared = calling.prepare(session, held, now=at, real=clock.read(session).real)
                    if prepared:
                        with db.transaction(database) as session:
                            busy = Ending("customer-busy", OutcomeClass.BUSY, rang=True, ended_at=at)
                            _end(session, call_id, at, busy)
        except BaseException as problem:  # noqa: BLE001 - told by the test, not by a thread
            failed.append(problem)

    threads = [threading.Thread(target=run, args=(account_id,)) for account_id in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with db.transaction(database) as session:
        placed = select(Call.person_id, func.count()).where(Call.intent_at.is_not(None)).group_by(Call.person_id)
        assert Counter(dict(session.execute(placed).all()).values()) == {2: len(numbers)}
