"""What the provider says of the lines: fewer are used at once, and more again little by little."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from campaigns.models import Account, Call, Pace, Prospect, Suppression
from campaigns.pipeline import ceiling, dispatching, reporting, scheduling, withdrawing
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import Command
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.pacing import BELIEVED, RISE
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import Limits
from tests import factories
from tests.pipeline.placing import REAL, TIMING, accepted, record
from tests.pipeline.telling import PROVIDER_ID, ended, figures, person, status, tell

SOON = timedelta(seconds=1)


def in_use(session: Session, now: datetime, *states: CallState, **changes: Any) -> Account:
    """An account with ten lines, a call in each of `states` and ten people who are due."""
    account = factories.account(session, now, **changes)
    campaign = factories.campaign(session, now)
    for state in states:
        prospect = factories.prospect(session, campaign, now)
        factories.call(session, prospect, now, state=state, line_until=now + timedelta(minutes=10))
    for _ in range(10):
        factories.prospect(session, campaign, now)
    return account


def claims(session: Session, account: Account, now: datetime, real: datetime) -> int:
    """How many calls are claimed; those offered again are not new."""
    before = set(session.scalars(select(Call.id)))
    return len({*dispatching.claim_due(session, account.id, now=now, real=real, timing=TIMING)} - before)


def refuse(session: Session, account: Account, now: datetime, **more: Any) -> None:
    ceiling.refused(session, account.id, "no line", now=now, real=REAL, **more)


RINGING, QUEUED = CallState.RINGING, CallState.QUEUED


def test_after_a_refusal_no_more_lines_are_used_than_before_it_and_one_more_after_each_while(
    session: Session, now: datetime
) -> None:
    account = in_use(session, now, RINGING, RINGING, RINGING, QUEUED, CallState.UNKNOWN, CallState.CLAIMED)
    refuse(session, account, now)  # the claimed one uses no line yet: five do
    assert claims(session, account, now, REAL + SOON) == 0
    session.execute(update(Call).where(Call.state == CallState.CLAIMED).values(state=RINGING))
    assert claims(session, account, now, REAL + RISE) == 0
    assert claims(session, account, now, REAL + RISE * 2) == 1
    assert claims(session, account, now, REAL + RISE * 3 + SOON) == 1
    assert claims(session, account, now, REAL + RISE * 50) == 2
    pace = session.get_one(Pace, account.id)
    assert (pace.ceiling, pace.ceiling_why, pace.rises_at) == (None, None, None)


def test_lines_that_the_provider_says_are_left_are_used(session: Session, now: datetime) -> None:
    account = in_use(session, now, RINGING)
    refuse(session, account, now, remaining=2)
    assert claims(session, account, now, REAL + SOON) == 2


def test_a_refusal_while_nothing_is_in_use_leaves_one_line_to_try_with(session: Session, now: datetime) -> None:
    account = in_use(session, now, reserve=9)
    refuse(session, account, now)
    assert claims(session, account, now, REAL + SOON) == 1


def test_each_refusal_puts_the_rise_off(session: Session, now: datetime) -> None:
    account = in_use(session, now, RINGING, RINGING)
    refuse(session, account, now)
    ceiling.refused(session, account.id, "no line", now=now, real=REAL + RISE - SOON)
    assert claims(session, account, now, REAL + RISE + SOON) == 0
    assert claims(session, account, now, REAL + RISE * 2) == 1


def is_news(session: Session, account: Account, limits: Limits, real: datetime = REAL) -> bool:
    session.flush()
    return ceiling.is_news(session, account.id, limits, concurrency=10, real=real)


def test_fewer_lines_in_all_than_the_file_says_hold_until_the_provider_says_otherwise(
    session: Session, now: datetime
) -> None:
    account = in_use(session, now, RINGING, reserve=1)
    assert not is_news(session, account, Limits(blocked=False, limit=12, remaining=3))
    limits = Limits(blocked=False, limit=4, remaining=3)
    assert is_news(session, account, limits)
    ceiling.told(session, account.id, limits, real=REAL)
    assert not is_news(session, account, limits)
    assert is_news(session, account, limits, REAL + BELIEVED)
    assert claims(session, account, now, REAL + BELIEVED) == 2  # four, without the one for calls that come in
    more = Limits(blocked=False, limit=40, remaining=36)
    assert is_news(session, account, more)
    ceiling.told(session, account.id, more, real=REAL)
    assert claims(session, account, now, REAL + BELIEVED + SOON) == 6


def test_fewer_lines_that_nobody_speaks_of_any_more_become_more_again(session: Session, now: datetime) -> None:
    account = in_use(session, now, RINGING, RINGING, RINGING)
    ceiling.told(session, account.id, Limits(blocked=False, limit=3, remaining=0), real=REAL)
    assert claims(session, account, now, REAL + BELIEVED) == 0
    assert claims(session, account, now, REAL + BELIEVED + RISE) == 1
    assert claims(session, account, now, REAL + BELIEVED + RISE * 100) == 6


def test_whoever_asks_is_told_how_many_lines_there_are_and_why(session: Session, now: datetime) -> None:
    account = in_use(session, now, RINGING, RINGING, reserve=2)

    def lines(real: datetime) -> reporting.Lines:
        session.flush()
        (found,) = reporting.lines(session, now=now, real=real)
        return found

    assert str(lines(REAL)) == "2 in use of 8"
    (call,) = session.scalars(select(Call).limit(1))
    call.state, call.line_until = CallState.UNKNOWN, now + timedelta(minutes=5)
    assert str(lines(REAL)) == "2 in use of 8, 1 by requests of which nobody knows yet what became"
    call.state = CallState.RINGING
    ceiling.told(session, account.id, Limits(blocked=False, limit=6, remaining=None), real=REAL)
    assert "2 in use of 4 (otherwise 8): the provider says that the account has 6 lines in all" in str(lines(REAL))
    refuse(session, account, now)
    found = lines(REAL + RISE)
    assert (found.now, found.most) == (3, 8)
    assert "no line" in str(found)
    assert lines(REAL + RISE * 9).now == 4


def blocked(session: Session, now: datetime, *, provider_id: str = PROVIDER_ID, **changes: Any) -> Call:
    """A call that the provider accepted without a line for it."""
    campaign = factories.campaign(session, now, **changes)
    call = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.PLACING)
    limits = {"concurrencyBlocked": True, "concurrencyLimit": 10, "remainingConcurrentCalls": 0}
    record(session, call, accepted(call, now, provider_id=provider_id, subscriptionLimits=limits), now)
    return call


def unwanted(session: Session, now: datetime, real: datetime = REAL) -> list[str]:
    """Why each call that is to be ended is, as it is taken back."""
    session.flush()
    found = withdrawing.unwanted(session, now=now, real=real, limit=10)
    whys = [withdrawing.take_back(session, each, now=now, real=real, timing=TIMING) for each, _ in found]
    return [why for why in whys if why is not None]


def test_a_call_without_a_line_is_asked_about_sooner_until_it_rings(session: Session, now: datetime) -> None:
    call = blocked(session, now)
    assert (call.state, call.blocked, call.check_at) == (CallState.QUEUED, True, REAL + TIMING.blocked)
    tell(session, call, status(call, "queued", now), now)
    assert call.check_at == REAL + TIMING.blocked
    tell(session, call, status(call, "ringing", now), now)
    assert (call.blocked, call.check_at) == (False, REAL + TIMING.silence)


def test_a_call_without_a_line_is_known_as_one_though_the_answer_was_lost(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    call = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.UNKNOWN)
    tell(session, call, status(call, "queued", now, subscriptionLimits={"concurrencyBlocked": True}), now)
    assert call.blocked


def test_a_call_without_a_line_counts_as_none_in_use(session: Session, now: datetime) -> None:
    call = blocked(session, now)
    account = session.get_one(Account, call.account_id)
    for _ in range(3):
        prospect = factories.prospect(session, factories.campaign(session, now), now)
        factories.call(session, prospect, now, state=RINGING)
    refuse(session, account, now)
    assert session.get_one(Pace, account.id).ceiling == 3


@pytest.mark.parametrize("why", ["pause", "cancel", "freeze", "suppress", "evening", "nothing"])
def test_a_call_without_a_line_is_ended_once_its_person_may_not_be_called(
    session: Session, now: datetime, why: str
) -> None:
    call = blocked(session, now)
    at = now
    match why:
        case "pause" | "cancel":
            scheduling.command(session, "spring", Command(why), who="test", now=now)
        case "freeze":
            scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
        case "suppress":
            session.add(Suppression(person_id=call.person_id, reason="asked", created_at=now))
        case "evening":
            at = now.replace(hour=23, minute=59) + timedelta(hours=1)  # 19:59 in New York: two minutes before the end
    expected = 0 if why == "nothing" else 1
    assert len(unwanted(session, at)) == expected
    assert unwanted(session, at) == []  # one asker ends it
    assert len(unwanted(session, at, REAL + withdrawing.AGAIN)) == expected  # until it has ended


def test_calls_that_may_wait_for_a_line_do_not_hide_those_that_may_not(session: Session, now: datetime) -> None:
    for turn in range(3):
        blocked(session, now + turn * SOON, provider_id=f"wanted-{turn}")
    call = blocked(session, now + 3 * SOON, name="other")
    scheduling.command(session, "other", Command.PAUSE, who="test", now=now)
    session.flush()
    at = now + 4 * SOON
    assert withdrawing.unwanted(session, now=at, real=REAL, limit=1) == [(call.id, call.account_id)]


def test_a_call_that_rings_is_left_alone(session: Session, now: datetime) -> None:
    call = blocked(session, now)
    tell(session, call, status(call, "ringing", now), now)
    scheduling.command(session, "spring", Command.PAUSE, who="test", now=now)
    assert unwanted(session, now) == []


def test_the_last_permitted_call_of_a_person_may_wait_for_its_line(session: Session, now: datetime) -> None:
    call = blocked(session, now, retry={"max_attempts": 1, "max_calls": 1})
    session.execute(update(Prospect).values(calls=1))
    session.expire_all()
    assert call.blocked
    assert unwanted(session, now) == []


def test_a_call_that_was_ended_before_it_started_costs_nobody_an_attempt(session: Session, now: datetime) -> None:
    call = blocked(session, now)
    scheduling.command(session, "spring", Command.PAUSE, who="test", now=now)
    assert unwanted(session, now)
    tell(session, call, ended(call, "manually-canceled", now), now)
    found = person(session, call)
    assert (found.state, found.attempts) == (ProspectState.WAITING, 0)
    assert found.due_at is not None
    assert found.due_at > now
    assert figures(session, call)[f"outcome:{OutcomeClass.CAPACITY}"] == 1


def test_a_call_that_rang_just_before_it_was_ended_is_an_attempt_and_its_person_is_called_again(
    session: Session, now: datetime
) -> None:
    call = blocked(session, now)
    scheduling.command(session, "spring", Command.PAUSE, who="test", now=now)
    assert unwanted(session, now)
    tell(session, call, status(call, "ringing", now), now)
    tell(session, call, ended(call, "manually-canceled", now), now)
    assert (person(session, call).state, person(session, call).attempts) == (ProspectState.WAITING, 1)


def test_a_call_that_somebody_else_cancelled_stays_cancelled(session: Session, now: datetime) -> None:
    call = blocked(session, now)
    tell(session, call, ended(call, "manually-canceled", now), now)
    assert call.settled_at is None  # its report may still say more
    assert session.scalars(select(Call.blocked)).one() is False


def test_a_call_that_ended_for_want_of_a_line_is_due_again_without_an_attempt(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    call = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.PLACING)
    tell(session, call, ended(call, "call.start.error-subscription-concurrency-limit-reached", now), now)
    assert (person(session, call).state, person(session, call).attempts) == (ProspectState.WAITING, 0)
    assert call.blocked
