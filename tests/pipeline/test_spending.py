"""Money is reserved before a call is dialled and settled after it, exactly once, whatever becomes of the call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import CallRefused, CallUnclear, Throttled
from campaigns.models import Call, Campaign, Change, Prospect, Spending
from campaigns.pipeline import calling, defining, dispatching, recovering, reviewing, settling, withdrawing
from campaigns.pipeline.reviewing import Decision
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState, Evidence
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.records import Placed
from tests import factories
from tests.pipeline.paying import PRICES, WORST, campaign_with, claimed, sums
from tests.pipeline.placing import REAL, TIMING, accepted, fail, prepare, record
from tests.pipeline.telling import ended, person, report, tell
from tests.pipeline.waiting import alone, held_up

NOTHING = Decimal(0)


def dial(session: Session, call: Call, now: datetime) -> None:
    assert prepare(session, call.id, now) is not None
    record(session, call, accepted(call, now, provider_id=f"provider-{call.id}"), now)


def tell_of(session: Session, call: Call, body: dict[str, object], now: datetime) -> None:
    message = body["message"]
    assert isinstance(message, dict)
    message["call"]["id"] = f"provider-{call.id}"
    tell(session, call, body, now)


# The reservation


def test_the_most_that_a_call_may_cost_is_reserved_with_its_intent(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=1.0)
    (call,) = claimed(session, campaign, now)
    assert sums(session, campaign.id) == (NOTHING, NOTHING)
    assert prepare(session, call.id, now) is not None
    assert (call.reserved, call.spent_on) == (WORST, datetime(2027, 3, 2).date())  # noqa: DTZ001 - a day
    assert sums(session, campaign.id) == (NOTHING, WORST)


def test_a_call_that_would_pass_the_budget_is_not_dialled_and_costs_nobody_a_try(
    session: Session, now: datetime
) -> None:
    campaign = campaign_with(session, now, total=1.2)
    calls = claimed(session, campaign, now, 4)
    held = calling.hold_still(session, [call.id for call in calls], timing=TIMING)
    prepared = calling.prepare(session, held, now=now, real=REAL)
    assert len(prepared) == 2
    left = [call for call in calls if call.id not in {each.call_id for each in prepared}]
    assert [call.state for call in left] == [CallState.NOT_PLACED] * 2
    for call in left:
        who = person(session, call)
        assert (who.state, who.attempts, who.calls) == (ProspectState.WAITING, 0, 0)
        assert who.state_why == "no_money: other calls reserved what was left of the budget"
        assert who.due_at == now + timedelta(minutes=1)
    assert sums(session, campaign.id) == (NOTHING, Decimal(1))


def test_any_number_of_workers_at_once_never_reserve_more_than_the_budget(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign_id = campaign_with(session, now, total=4.3, per_day=3.2).id
        calls = [call.id for call in claimed(session, session.get_one(Campaign, campaign_id), now, 24)]

    def place(lot: list[UUID]) -> int:
        with db.transaction(database) as session:
            held = calling.hold_still(session, lot, timing=TIMING)
            return len(calling.prepare(session, held, now=now, real=REAL))

    lots = [calls[start : start + 2] for start in range(0, 24, 2)]
    with ThreadPoolExecutor(8) as pool:
        placed = sum(pool.map(place, lots))
    assert placed == 6  # at half a dollar each, of the day's 3.20
    with db.transaction(database) as session:
        assert sums(session, campaign_id) == (NOTHING, Decimal(3))


def test_a_reservation_waits_for_one_that_is_open_and_sees_it(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = campaign_with(session, now, total=0.9)
        first, second = (call.id for call in claimed(session, campaign, now, 2))
    with db.transaction(database) as open_before:
        assert prepare(open_before, first, now) is not None
        with held_up(database, partial(alone, database, partial(prepare, call_id=second, now=now))) as prepared:
            open_before.commit()
            assert prepared.result() is None


def test_two_workers_with_calls_of_the_same_two_campaigns_do_not_deadlock(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        names = ("spring", "autumn")
        campaigns = [campaign_with(session, now, total=100.0, name=name) for name in names]
        calls = [[call.id for call in claimed(session, campaign, now, 20)] for campaign in campaigns]
        for turn, call_id in enumerate([*calls[0], *calls[1]]):  # each lot has the two in another order
            ahead = timedelta(milliseconds=turn if turn % 2 else -turn)
            session.get_one(Call, call_id).slot_at = REAL + ahead

    def place(lot: tuple[UUID, UUID]) -> int:
        with db.transaction(database) as session:
            held = calling.hold_still(session, lot, timing=TIMING)
            return len(calling.prepare(session, held, now=now, real=REAL))

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(place, zip(*calls, strict=True))) == 40


def test_a_campaign_without_a_budget_has_no_row_and_asks_for_none(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, prices=PRICES)
    (call,) = claimed(session, campaign, now)
    dial(session, call, now)
    tell_of(session, call, report(call, "customer-ended-call", now), now)
    assert (call.reserved, call.spent) == (None, Decimal("0.05"))
    assert session.scalars(select(Spending)).all() == []
    assert "spending" not in session.info


# What becomes of it


def test_a_report_settles_the_call_at_its_cost(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=5.0)
    (call,) = claimed(session, campaign, now)
    dial(session, call, now)
    tell_of(session, call, ended(call, "customer-ended-call", now), now)
    assert sums(session, campaign.id) == (NOTHING, WORST)  # only that it is over
    tell_of(session, call, report(call, "customer-ended-call", now), now)
    assert sums(session, campaign.id) == (Decimal("0.05"), NOTHING)
    assert (call.spent, call.reserved, call.estimated) == (Decimal("0.05"), None, False)
    revised = Ending("customer-ended-call", OutcomeClass.COMPLETED, rang=True, complete=True, cost=Decimal("0.11"))
    for _ in range(2):
        settling.settle(session, Ended(call.id, revised, learned="asked"), now=now, timing=TIMING)
    assert sums(session, campaign.id) == (Decimal("0.11"), NOTHING)  # the difference, once


def test_a_call_that_cost_more_than_was_reserved_is_booked_as_it_is(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=0.9)
    (call, other) = claimed(session, campaign, now, 2)
    dial(session, call, now)
    tell_of(session, call, report(call, "customer-ended-call", now, cost=1.25), now)
    assert sums(session, campaign.id) == (Decimal("1.25"), NOTHING)
    assert prepare(session, other.id, now) is None
    assert "its budget is used up" in str(person(session, other).state_why)


@pytest.mark.parametrize("failure", [CallRefused("no such number", status=400), Throttled("later", status=429)])
def test_what_was_reserved_for_a_call_that_was_not_placed_is_free_again(
    session: Session, now: datetime, failure: CallRefused | Throttled
) -> None:
    campaign = campaign_with(session, now, total=5.0)
    (call,) = claimed(session, campaign, now)
    assert prepare(session, call.id, now) is not None
    fail(session, call, failure, now)
    assert call.state is CallState.NOT_PLACED
    assert sums(session, campaign.id) == (NOTHING, NOTHING)
    fail(session, call, failure, now)  # a repeat
    assert sums(session, campaign.id) == (NOTHING, NOTHING)


@pytest.mark.parametrize("decision", [Decision.NOT_PLACED, Decision.UNKNOWN])
def test_while_nobody_knows_what_became_of_a_call_its_money_stays_reserved(
    session: Session, now: datetime, decision: Decision
) -> None:
    campaign = campaign_with(session, now, total=5.0)
    (call,) = claimed(session, campaign, now)
    assert prepare(session, call.id, now) is not None
    fail(session, call, CallUnclear("the provider answered 500", status=500), now)
    assert sums(session, campaign.id) == (NOTHING, WORST)
    locked = calling.lock_all(session, [call.id], timing=TIMING)[call.id]
    calling.move(locked, Evidence.NO_TRACE, now=now, real=REAL)
    later = now + timedelta(days=3)
    settling.give_up_on_costs(session, now=later, timing=TIMING, limit=10)
    assert sums(session, campaign.id) == (NOTHING, WORST)
    ending = reviewing.decide(session, call.id, decision, who="ada", why="seen", now=later, real=REAL, timing=TIMING)
    if ending is None:
        assert sums(session, campaign.id) == (NOTHING, NOTHING)
        return
    settling.settle(session, Ended(call.id, ending, learned="decided", give_up=True), now=later, timing=TIMING)
    assert sums(session, campaign.id) == (NOTHING, WORST)  # what it cost nobody has said


def test_what_nobody_told_the_cost_of_is_counted_at_the_most_after_a_day(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=5.0)
    silent, without = claimed(session, campaign, now, 2)
    for call in (silent, without):
        dial(session, call, now)
    tell_of(session, silent, ended(silent, "customer-busy", now), now)
    body = report(without, "customer-ended-call", now)
    del body["message"]["cost"]
    tell_of(session, without, body, now)
    assert settling.give_up_on_costs(session, now=now + timedelta(hours=23), timing=TIMING, limit=10) == 0
    assert sums(session, campaign.id) == (NOTHING, 2 * WORST)
    assert settling.give_up_on_costs(session, now=now + timedelta(hours=24), timing=TIMING, limit=10) == 2
    assert sums(session, campaign.id) == (2 * WORST, NOTHING)
    assert silent.estimated
    assert without.estimated
    assert settling.give_up_on_costs(session, now=now + timedelta(hours=25), timing=TIMING, limit=10) == 0
    tell_of(session, silent, report(silent, "customer-busy", now, cost=0.01), now + timedelta(hours=30))
    assert sums(session, campaign.id) == (WORST + Decimal("0.01"), NOTHING)
    assert not silent.estimated


def test_what_was_reserved_yesterday_is_settled_yesterday(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, per_day=0.9)
    late, early = claimed(session, campaign, now, 2)
    evening = datetime(2027, 3, 3, 0, 40, tzinfo=now.tzinfo)  # 19:40 in New York
    morning = evening + timedelta(hours=14)
    dial(session, late, evening)
    assert prepare(session, early.id, morning) is not None  # though yesterday's half dollar is not settled yet
    tell_of(session, late, report(late, "customer-ended-call", morning, cost=0.3), morning)
    row = session.get_one(Spending, campaign.id)
    assert sums(session, campaign.id) == (Decimal("0.3"), WORST)
    assert (row.day_spent, row.day_reserved) == (NOTHING, WORST)


def test_whoever_read_the_clock_before_midnight_pays_from_the_new_day(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, per_day=1.4, zone="UTC")
    first, second, third = claimed(session, campaign, now, 3)
    afternoon = datetime(2027, 3, 3, 15, tzinfo=now.tzinfo)
    assert prepare(session, first.id, afternoon) is not None
    assert prepare(session, second.id, afternoon - timedelta(hours=16)) is not None  # by a clock of the day before
    assert first.spent_on == second.spent_on == afternoon.date()
    assert prepare(session, third.id, afternoon) is None  # the day has not begun anew
    assert sums(session, campaign.id) == (NOTHING, 2 * WORST)


def test_a_call_that_a_restored_ledger_takes_in_is_counted(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=0.5)
    who = factories.prospect(session, campaign, now, e164="+12125550199")
    lost = Placed(
        call_id=UUID(int=7),
        provider_id="lost-1",
        number="+12125550199",
        extension="",
        campaign="spring",
        phone_number_id="number-1",
        created_at=now,
    )
    recovering.take_in(session, campaign.account_id, lost, who="ada", now=now, real=REAL, timing=TIMING)
    assert sums(session, campaign.id) == (NOTHING, WORST)
    assert who.state is ProspectState.IN_CALL


# A budget that comes later


def apply(session: Session, now: datetime, **changes: object) -> None:
    definition = CampaignDefinition.model_validate(factories.CAMPAIGN | changes)
    defining.apply_campaign(session, definition, who="ada", now=now)


def test_a_budget_that_is_given_later_counts_what_was_spent_and_what_goes_on(session: Session, now: datetime) -> None:
    terms = {"prices": PRICES, "max_duration": "5m"}
    campaign = factories.campaign(session, now, **terms)
    done, going_on, reported_late = claimed(session, campaign, now, 3)
    for call in (done, going_on, reported_late):
        dial(session, call, now)
    tell_of(session, done, report(done, "customer-ended-call", now, cost=0.2), now)
    tell_of(session, reported_late, ended(reported_late, "customer-ended-call", now), now)
    apply(session, now, **terms, budget={"total": 1.5})
    assert sums(session, campaign.id) == (Decimal("0.2"), 2 * WORST)
    for call in (going_on, reported_late):
        tell_of(session, call, report(call, "customer-ended-call", now, cost=0.1), now)
    assert sums(session, campaign.id) == (Decimal("0.4"), NOTHING)
    apply(session, now, **terms)  # taken away, and given again
    (another,) = claimed(session, campaign, now)
    dial(session, another, now)
    tell_of(session, another, report(another, "customer-ended-call", now, cost=0.3), now)
    apply(session, now, **terms, budget={"total": 1.5})
    assert sums(session, campaign.id) == (Decimal("0.7"), NOTHING)


def test_a_budget_that_is_given_waits_for_whoever_settles_a_call_just_now(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now, prices=PRICES, max_duration="5m")
        (call,) = claimed(session, campaign, now)
        dial(session, call, now)
        campaign_id, call_id = campaign.id, call.id

    def give(session: Session) -> None:
        apply(session, now, prices=PRICES, max_duration="5m", budget={"total": 2.0})

    with db.transaction(database) as settling_now:
        call = settling_now.get_one(Call, call_id)
        tell_of(settling_now, call, report(call, "customer-ended-call", now, cost=0.2), now)
        with held_up(database, partial(alone, database, give)) as given:
            settling_now.commit()
        given.result()
    with db.transaction(database) as session:
        assert sums(session, campaign_id) == (Decimal("0.2"), NOTHING)


# Claiming


def test_nobody_is_claimed_for_whom_there_is_no_money(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=1.2)
    for _ in range(5):
        factories.prospect(session, campaign, now)

    def claim() -> list[UUID]:
        return dispatching.claim_due(session, campaign.account_id, now=now, real=REAL, timing=TIMING)

    offered = claim()
    assert len(offered) == 2
    for call_id in offered:
        dial(session, session.get_one(Call, call_id), now)
    assert claim() == []
    waiting = session.scalars(select(Prospect).where(Prospect.state == ProspectState.WAITING)).all()
    assert [(who.due_at, who.state_why) for who in waiting] == [(now - timedelta(minutes=1), None)] * 3  # untouched
    for call_id in offered:
        call = session.get_one(Call, call_id)
        tell_of(session, call, report(call, "customer-ended-call", now, cost=0.05), now)
    assert sums(session, campaign.id) == (Decimal("0.1"), NOTHING)
    assert len(claim()) == 2
    assert campaign.state is CampaignState.RUNNING
    assert session.scalars(select(Change).where(Change.what == "paused")).all() == []


def test_a_call_that_waits_for_a_line_is_not_ended_for_want_of_money(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=0.6)
    (call,) = claimed(session, campaign, now)
    assert prepare(session, call.id, now) is not None
    blocked = {"subscriptionLimits": {"concurrencyBlocked": True, "remainingConcurrentCalls": 0}}
    record(session, call, accepted(call, now, **blocked), now)
    assert call.blocked
    assert sums(session, campaign.id) == (NOTHING, WORST)  # for this very call: there is nothing for another
    assert withdrawing.unwanted(session, now=now, real=REAL, limit=10) == []
