"""While the provider asks us to wait, or says nothing, nothing is sent; and no line is lost to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from campaigns.models import Pace
from campaigns.pipeline import calling, dispatching, doubting
from campaigns.rules.call_state import CallState
from campaigns.rules.pacing import DOUBTS
from tests import factories
from tests.pipeline.placing import REAL, TIMING, claim, prepare, wait


def test_a_back_off_ends_by_itself_and_is_never_shortened(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    factories.prospect(session, factories.campaign(session, now), now)
    doubting.back_off(session, account.id, until=REAL + timedelta(seconds=9))
    doubting.back_off(session, account.id, until=REAL + timedelta(seconds=5))
    assert claim(session, account.id, now, real=REAL + timedelta(seconds=6)) == []
    assert len(claim(session, account.id, now, real=REAL + timedelta(seconds=9))) == 1


def test_a_back_off_holds_calls_that_are_claimed_already(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=1)
    campaign = factories.campaign(session, now)
    calls = [factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(2)]
    until = REAL + timedelta(seconds=2)
    doubting.back_off(session, campaign.account_id, until=until)
    assert [wait(session, call.id, real=REAL) for call in calls] == [timedelta(seconds=2)] * 2
    assert [prepare(session, call.id, now) for call in calls] == [None, None]
    assert {call.state for call in calls} == {CallState.CLAIMED}
    assert prepare(session, calls[0].id, now, real=until) is not None
    assert prepare(session, calls[1].id, now, real=until) is None  # and not together once it is over
    assert calls[1].slot_at == until + timedelta(seconds=1)


def test_no_worker_waits_long_and_who_is_left_to_wait_is_offered_again_in_time(session: Session, now: datetime) -> None:
    factories.account(session, now, calls_per_second=1)
    campaign = factories.campaign(session, now)
    held_back, late = (factories.call(session, factories.prospect(session, campaign, now), now) for _ in range(2))
    session.execute(update(Pace).values(next_slot=REAL + timedelta(seconds=9)))
    assert prepare(session, late.id, now, real=REAL + timedelta(seconds=1)) is None
    doubting.back_off(session, campaign.account_id, until=REAL + timedelta(seconds=5))
    session.flush()
    assert [wait(session, call.id, real=REAL + timedelta(seconds=1)) for call in (held_back, late)] == [None, None]

    def offered(seconds: int) -> list[UUID]:
        real = REAL + timedelta(seconds=seconds)
        return dispatching.claim_due(session, campaign.account_id, now=now, real=real, timing=TIMING)

    assert [offered(seconds) for seconds in (4, 6, 7)] == [[], [], []]  # all slots of the next two seconds are given
    assert offered(8) == [held_back.id]
    assert offered(9) == [late.id]


def test_while_requests_come_to_nothing_one_is_tried_in_each_pause(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=100, calls_per_second=10)
    campaign = factories.campaign(session, now)
    for _ in range(60):
        factories.prospect(session, campaign, now)

    def second(at: int) -> int:
        """How many requests are sent from one tick of the dispatcher, `at` so many seconds. None is answered."""
        real = REAL + timedelta(seconds=at)
        offered = dispatching.claim_due(session, account.id, now=now, real=real, timing=TIMING)
        waits = calling.await_slots(session, offered, real=real)
        return sum(prepare(session, call_id, now, real=real + wait) is not None for call_id, wait in waits.items())

    assert second(0) == 21  # ten a second, for the two seconds to come
    for _ in range(21):
        doubting.doubt(session, account.id, real=REAL)
    assert [at for at in (1, 4, 5, 6, 14, 15, 16, 60, 314, 315, 316) if second(at)] == [5, 15, 315]
    # It answers a question: it is there again, and may be tried, though not all the time.
    doubting.answers(session, account.id, real=REAL + timedelta(seconds=330))
    assert [at for at in (330, 374, 375, 376, 600) if second(at)] == [375]
    doubting.answers(session, account.id, real=REAL + timedelta(seconds=600))
    assert [at for at in (600, 601) if second(at)] == [600]
    doubting.trust(session, account.id, real=REAL + timedelta(seconds=601))
    doubting.answers(session, account.id, real=REAL + timedelta(seconds=601))
    assert second(602) > 1


def test_once_the_provider_answers_again_calls_that_nobody_waited_for_are_offered_at_once(
    session: Session, now: datetime
) -> None:
    account = factories.account(session, now, calls_per_second=10)
    campaign = factories.campaign(session, now)
    for _ in range(10):
        factories.prospect(session, campaign, now)
    claimed = claim(session, account.id, now)
    for _ in range(DOUBTS):
        doubting.doubt(session, account.id, real=REAL)
    session.flush()
    assert calling.await_slots(session, claimed, real=REAL) == {}  # every worker lets go of them
    doubting.trust(session, account.id, real=REAL)
    session.flush()
    session.expire_all()
    assert claim(session, account.id, now) == claimed


def test_an_answer_does_not_end_the_wait_that_the_provider_asked_for(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    until = REAL + timedelta(minutes=1)
    doubting.back_off(session, account.id, until=until)
    for _ in range(DOUBTS):
        doubting.doubt(session, account.id, real=REAL)
    session.flush()
    doubting.trust(session, account.id, real=REAL)
    assert session.execute(select(Pace.doubts, Pace.backoff_until)).one() == (0, until)
