"""A campaign whose calls fail by nobody's fault pauses itself, and nobody is lost to it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from campaigns import db, ledger
from campaigns.models import Call, Campaign, Change, Outcome, Prospect, Suppression
from campaigns.pipeline import breaking, dispatching, scheduling, settling, warning
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_message
from tests import factories
from tests.pipeline.advancing import advance
from tests.pipeline.lists import assert_tallies_equal_rows
from tests.pipeline.placing import REAL, TIMING
from tests.pipeline.plans import pages, plans_of
from tests.pipeline.telling import report, tell

MINUTE = timedelta(minutes=1)
FAILURE = "pipeline-error-openai-llm-failed"
FAILED_TO_REACH = "twilio-failed-to-connect-call"
BREAKER = {"share": 0.5, "calls": 6, "within": "30m"}
ONCE = {"max_attempts": 1, "max_calls": 1}


def campaign_with(session: Session, now: datetime, **changes: Any) -> Campaign:
    return factories.campaign(session, now, **{"breaker": BREAKER, "retry": ONCE} | changes)


def ends(session: Session, campaign: Campaign, at: datetime, reason: str, **more: Any) -> Call:
    """One more call of the campaign, to somebody new, that ended and settled at `at`."""
    prospect = more.pop("prospect", None) or factories.prospect(session, campaign, at)
    call = more.pop("call", None) or factories.call(session, prospect, at, state=CallState.RINGING, **more)
    provider_id = f"id-of-{call.id}"
    said = report(call, reason, at)
    said["message"]["call"]["id"] = provider_id
    tell(session, call, said, at)
    assert call.settled_at == at
    return call


def person(session: Session, call: Call) -> Prospect:
    return session.get_one(Prospect, call.prospect_id)


def pauses(session: Session, campaign: Campaign, at: datetime) -> bool:
    session.flush()
    return breaking.pause_if_at_fault(session, campaign.id, now=at)


def fails(session: Session, campaign: Campaign, at: datetime, calls: int = 6) -> list[Call]:
    return [ends(session, campaign, at + turn * timedelta(seconds=1), FAILURE) for turn in range(calls)]


def test_too_many_failures_by_nobodys_fault_pause_the_campaign_and_cost_nobody_a_try(
    session: Session, now: datetime
) -> None:
    campaign = campaign_with(session, now)
    fine = [ends(session, campaign, now, "customer-did-not-answer") for _ in range(3)]
    failed = fails(session, campaign, now + MINUTE, 2)
    assert not pauses(session, campaign, now + MINUTE * 2)
    assert {person(session, call).state for call in failed} == {ProspectState.EXHAUSTED}
    failed.append(ends(session, campaign, now + MINUTE * 2, FAILED_TO_REACH))
    assert pauses(session, campaign, now + MINUTE * 2)
    assert campaign.state is CampaignState.PAUSED
    assert campaign.state_why == (
        f"paused itself: too many calls failed: 3 of the latest 6, the last with {FAILED_TO_REACH}"
    )
    for call in failed:
        found = person(session, call)
        assert (found.state, found.calls, found.attempts) == (ProspectState.WAITING, 0, 0)
        assert found.due_at == now + MINUTE * 2
    assert {person(session, call).state for call in fine} == {ProspectState.EXHAUSTED}
    assert_tallies_equal_rows(session, campaign)
    change = session.scalars(select(Change).where(Change.what == "paused")).one()
    assert (change.who, change.why) == ("outbound", campaign.state_why)
    assert any("campaign spring paused itself" in trouble.what for trouble in warning.troubles(session))


def test_whoever_fails_after_the_pause_loses_nothing_either(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    under_way = [
        factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)
        for _ in range(4)
    ]
    fails(session, campaign, now)
    assert pauses(session, campaign, now + MINUTE)
    for call in under_way:
        ends(session, campaign, now + MINUTE * 2, FAILURE, call=call)
        assert person(session, call).state is ProspectState.EXHAUSTED
        assert not pauses(session, campaign, now + MINUTE * 2)
        assert person(session, call).state is ProspectState.WAITING
        assert call.forgiven
    assert_tallies_equal_rows(session, campaign)


def test_a_call_is_forgiven_once(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, retry={"max_attempts": 3, "max_calls": 8})
    first = ends(session, campaign, now, "customer-did-not-answer")
    again = ends(session, campaign, now + MINUTE, FAILURE, prospect=person(session, first))
    fails(session, campaign, now + MINUTE * 2)
    assert pauses(session, campaign, now + MINUTE * 3)
    for _ in range(3):
        assert not pauses(session, campaign, now + MINUTE * 3)
    later = ends(session, campaign, now + MINUTE * 4, FAILURE, prospect=person(session, first))
    for _ in range(3):
        assert not pauses(session, campaign, now + MINUTE * 4)
    assert [call.forgiven for call in (first, again, later)] == [False, True, True]
    assert (person(session, first).calls, person(session, first).attempts) == (1, 1)
    assert sorted(session.scalars(select(Prospect.calls))) == [0] * 6 + [1]


def test_more_failures_than_the_breaker_looks_at_that_settle_at_once_are_all_forgiven(
    session: Session, now: datetime
) -> None:
    campaign = campaign_with(session, now)
    failed = [ends(session, campaign, now, FAILURE) for _ in range(15)]
    assert pauses(session, campaign, now)
    assert all(call.forgiven for call in failed)
    assert {person(session, call).state for call in failed} == {ProspectState.WAITING}
    assert_tallies_equal_rows(session, campaign)


@pytest.mark.parametrize("what", ["suppressed", "opted out before", "refused"])
def test_nobody_who_is_done_for_another_reason_is_called_again(session: Session, now: datetime, what: str) -> None:
    campaign = campaign_with(session, now)
    failed = fails(session, campaign, now, 5)
    prospect = person(session, failed[0])
    match what:
        case "suppressed":
            session.add(Suppression(person_id=prospect.person_id, reason="asked", created_at=now))
        case "opted out before":
            ledger.set_state(prospect, ProspectState.SUPPRESSED, now=now)
        case "refused":
            ledger.set_state(prospect, ProspectState.REFUSED, now=now)
    ends(session, campaign, now + MINUTE, FAILURE)
    assert pauses(session, campaign, now + MINUTE)
    assert prospect.state is (ProspectState.REFUSED if what == "refused" else ProspectState.SUPPRESSED)
    assert sum(person(session, call).state is ProspectState.WAITING for call in failed) == 4
    assert_tallies_equal_rows(session, campaign)


def test_whoever_was_exhausted_by_a_later_call_stays_so(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, retry={"max_attempts": 1, "max_calls": 2})
    early = ends(session, campaign, now, FAILURE)
    ends(session, campaign, now + timedelta(seconds=1), "customer-busy", prospect=person(session, early))
    assert person(session, early).state is ProspectState.EXHAUSTED
    fails(session, campaign, now + MINUTE, 4)
    assert pauses(session, campaign, now + MINUTE * 2)
    assert early.forgiven
    assert (person(session, early).state, person(session, early).calls) == (ProspectState.EXHAUSTED, 1)


def test_a_report_that_comes_later_takes_the_forgiveness_back(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    failed = fails(session, campaign, now)
    assert pauses(session, campaign, now + MINUTE)
    call = failed[0]
    said = report(call, "customer-busy", now, note="another")
    said["message"]["call"]["id"] = f"id-of-{call.id}"
    ending = read_message(json.dumps(said).encode()).ending
    settling.settle(session, Ended(call.id, ending, learned="asked"), now=now + MINUTE * 2, timing=TIMING)
    assert not call.forgiven
    assert (person(session, call).calls, person(session, call).attempts) == (1, 1)
    assert person(session, call).state is ProspectState.EXHAUSTED
    assert_tallies_equal_rows(session, campaign)


def test_after_a_resume_only_calls_made_since_are_judged(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    old = [
        factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)
        for _ in range(6)
    ]
    fails(session, campaign, now)
    assert pauses(session, campaign, now + MINUTE)
    scheduling.command(session, "spring", Command.RESUME, who="test", now=now + MINUTE * 2)
    assert campaign.state_why is None
    for call in old:  # they were made before somebody mended it
        ends(session, campaign, now + MINUTE * 3, FAILURE, call=call, prospect=person(session, call))
    assert not pauses(session, campaign, now + MINUTE * 3)
    assert {person(session, call).state for call in old} == {ProspectState.WAITING}  # and cost nobody a try
    assert all(call.forgiven for call in old)
    assert_tallies_equal_rows(session, campaign)
    fails(session, campaign, now + MINUTE * 4, 5)
    assert not pauses(session, campaign, now + MINUTE * 5)
    ends(session, campaign, now + MINUTE * 5, FAILURE)
    assert pauses(session, campaign, now + MINUTE * 5)


def test_a_campaign_whose_last_calls_fail_pauses_though_nobody_is_left(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    failed = fails(session, campaign, now)
    session.flush()
    ledger.write_tallies(session)
    moved = advance(session, now=now)
    assert (moved, campaign.state) == ([], CampaignState.PAUSED)
    assert {person(session, call).state for call in failed} == {ProspectState.WAITING}
    assert_tallies_equal_rows(session, campaign)


def test_failures_of_long_ago_say_nothing(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    fails(session, campaign, now, 5)
    ends(session, campaign, now + MINUTE * 31, FAILURE)
    assert not pauses(session, campaign, now + MINUTE * 31)


def test_a_shortage_of_lines_is_no_failure(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    for turn in range(8):
        reason = "call.start.error-subscription-concurrency-limit-reached"
        ends(session, campaign, now + turn * timedelta(seconds=1), reason)
    assert not pauses(session, campaign, now + MINUTE)
    for turn in range(6):  # but an account without credit cannot call anybody
        reason = "call.start.error-subscription-insufficient-credits"
        ends(session, campaign, now + MINUTE + turn * timedelta(seconds=1), reason)
    assert pauses(session, campaign, now + MINUTE * 2)


@pytest.mark.parametrize("breaker", [{"enabled": False}, {"share": 1.0, "calls": 7}])
def test_a_campaign_may_ask_for_more_patience(session: Session, now: datetime, breaker: dict[str, Any]) -> None:
    campaign = campaign_with(session, now, breaker=BREAKER | breaker)
    fails(session, campaign, now)
    ends(session, campaign, now + MINUTE, "customer-busy")
    assert not pauses(session, campaign, now + MINUTE)


def test_a_campaign_that_a_person_paused_is_left_as_it_is(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    failed = fails(session, campaign, now)
    scheduling.command(session, "spring", Command.PAUSE, who="test", now=now + MINUTE, why="lunch")
    assert breaking.watched(session) == []
    assert not pauses(session, campaign, now + MINUTE)
    assert campaign.state_why == "lunch"
    assert {person(session, call).state for call in failed} == {ProspectState.EXHAUSTED}


def test_those_forgiven_are_called_after_the_resume(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now)
    fails(session, campaign, now)
    assert breaking.watched(session) == [campaign.id]
    assert pauses(session, campaign, now + MINUTE)
    assert breaking.watched(session) == [campaign.id]
    scheduling.command(session, "spring", Command.RESUME, who="test", now=now + MINUTE)
    claimed = dispatching.claim_due(session, campaign.account_id, now=now + MINUTE, real=REAL, timing=TIMING)
    assert len(claimed) == 6


def test_watching_costs_the_same_however_many_calls_have_settled(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = campaign_with(session, now)
        call = ends(session, campaign, now, "customer-busy")
        earlier = {"settled_at", "claimed_at", "created_at"}
        for table, row in ((Call, "id"), (Outcome, "call_id")):
            columns = [column.name for column in table.__table__.columns if column.name not in {row, "provider_id"}]
            values = [f"{name} - turn * interval '1 ms'" if name in earlier else name for name in columns]
            session.execute(
                text(
                    f"INSERT INTO {table.__tablename__} ({row}, {', '.join(columns)})"  # noqa: S608 - our own names
                    f" SELECT md5(turn::text)::uuid, {', '.join(values)}"
                    f" FROM {table.__tablename__}, generate_series(1, 30000) AS turn WHERE {row} = :id"
                ),
                {"id": call.id},
            )
        campaign_id = campaign.id
    with db.engine(database).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) calls, outcomes")
    plans = plans_of(database, lambda session: breaking.pause_if_at_fault(session, campaign_id, now=now))
    assert 0 < pages(plans) < 100, plans


def test_whoever_is_given_back_as_the_campaign_is_about_to_complete_is_called_again(
    session: Session, now: datetime
) -> None:
    campaign = campaign_with(session, now)
    last = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)
    failed = fails(session, campaign, now)
    assert pauses(session, campaign, now + MINUTE)
    scheduling.command(session, "spring", Command.RESUME, who="test", now=now + 2 * MINUTE)
    for call in failed:  # everybody else is reached now
        again = factories.call(session, person(session, call), now + 3 * MINUTE, state=CallState.RINGING)
        ends(session, campaign, now + 3 * MINUTE, "customer-ended-call", call=again, prospect=person(session, call))
    # And the one who was under way at the pause fails by nobody's fault, which is not seen before it is all over.
    ends(session, campaign, now + 4 * MINUTE, FAILURE, call=last, prospect=person(session, last))
    assert person(session, last).state is ProspectState.EXHAUSTED
    session.flush()
    ledger.write_tallies(session)
    assert advance(session, now=now + 4 * MINUTE) == []
    assert person(session, last).state is ProspectState.WAITING
    assert campaign.state is CampaignState.RUNNING
