"""Caller numbers: their calls of any 24 hours, whose turn it is, and from which one somebody is called again."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Call, Campaign, PhoneNumber, Prospect
from campaigns.pipeline import dispatching, reporting
from campaigns.rules.call_state import CallState
from campaigns.rules.timing import Timing
from tests import factories
from tests.pipeline.placing import claim, prepare

HOUR = timedelta(hours=1)


def people(session: Session, campaign: Campaign, now: datetime, count: int) -> list[Prospect]:
    return [factories.prospect(session, campaign, now) for _ in range(count)]


def calls_from(session: Session) -> Counter[str]:
    rows = session.execute(
        select(PhoneNumber.provider_id, func.count())
        .join(Call, Call.phone_number_id == PhoneNumber.id)
        .where(Call.state != CallState.NOT_PLACED)
        .group_by(PhoneNumber.provider_id)
    )
    return Counter(dict(rows.all()))


def over(session: Session, now: datetime) -> None:
    """Every call was sent at `now`, and is over."""
    values = {"state": CallState.ENDED, "intent_at": now, "counted": True, "settled_at": now}
    session.execute(update(Call).where(Call.state == CallState.CLAIMED).values(**values))
    session.expire_all()


def test_a_number_makes_so_many_calls_in_any_24_hours_over_all_campaigns(session: Session, now: datetime) -> None:
    account = factories.account(session, now, number_per_day=3, numbers=[{"id": "b", "per_day": 5}])
    one = factories.campaign(session, now, name="one", phone_number_ids=["a"])
    two = factories.campaign(session, now, name="two", phone_number_ids=["a", "b"])
    people(session, one, now, 20)
    people(session, two, now, 20)
    assert len(claim(session, account.id, now)) == 8
    over(session, now)
    assert claim(session, account.id, now + 23.9 * HOUR) == []
    assert calls_from(session) == {"a": 3, "b": 5}
    assert len(claim(session, account.id, now + 24 * HOUR)) == 8


def test_what_was_claimed_and_not_sent_yet_counts_in_the_day_of_its_sending(session: Session, now: datetime) -> None:
    account = factories.account(session, now, number_per_day=2)
    people(session, factories.campaign(session, now), now, 9)
    first, second = claim(session, account.id, now)
    assert claim(session, account.id, now) == []
    assert prepare(session, first, now + HOUR) is not None
    assert claim(session, account.id, now + HOUR) == []
    assert prepare(session, second, now + HOUR) is not None
    session.execute(update(Call).values(state=CallState.ENDED))
    assert claim(session, account.id, now + 24.9 * HOUR) == []
    assert len(claim(session, account.id, now + 25 * HOUR)) == 2


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        ({"state": CallState.ENDED}, True),
        ({"state": CallState.UNKNOWN}, True),
        ({"state": CallState.REVIEW}, True),
        ({"state": CallState.NOT_PLACED}, False),
        ({"state": CallState.NOT_PLACED, "incident": "the provider spoke of it"}, True),
    ],
)
def test_every_call_that_may_have_been_placed_counts_in_its_numbers_day(
    session: Session, now: datetime, call: dict[str, Any], *, counts: bool
) -> None:
    account = factories.account(session, now, number_per_day=1)
    campaign = factories.campaign(session, now)
    factories.call(session, people(session, campaign, now, 1)[0], now - HOUR, **call)
    people(session, campaign, now, 1)
    assert (claim(session, account.id, now) == []) == counts


def test_a_campaign_whose_numbers_have_made_their_calls_says_when_the_next_is_free(
    session: Session, now: datetime
) -> None:
    account = factories.account(session, now, number_per_day=1)
    campaign = factories.campaign(session, now, phone_number_ids=["a", "b"])
    other = factories.campaign(session, now, name="other", phone_number_ids=["c"])
    people(session, campaign, now, 9)
    for hours in (0, 2):
        at = now + hours * HOUR
        assert reporting.held_up(session, campaign, now=at) is None
        session.execute(update(Prospect).values(due_at=at).where(Prospect.due_at.is_not(None)))
        factories.account(session, now, number_per_day=1, concurrency=1)
        assert len(claim(session, account.id, at)) == 1
        over(session, at)
    at = now + 3 * HOUR
    why = "every caller number has made its calls of the day; the next is free at 2027-03-03 15:00 UTC"
    assert reporting.held_up(session, campaign, now=at) == why
    assert reporting.progress(session, campaign, now=at).held_up == why
    assert reporting.without_numbers(session, now=at) == {"spring": why}
    assert reporting.held_up(session, other, now=at) is None
    assert reporting.held_up(session, campaign, now=now + 24 * HOUR) is None


def test_the_number_used_the_longest_ago_is_next_from_one_claim_to_the_next(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=1)
    people(session, factories.campaign(session, now, phone_number_ids=["a", "b", "c"]), now, 9)
    for turn in range(6):
        at = now + timedelta(minutes=turn)
        assert len(claim(session, account.id, at)) == 1
        over(session, at)
    by_id = dict(session.execute(select(PhoneNumber.id, PhoneNumber.provider_id)).all())
    used = [by_id[each] for each in session.scalars(select(Call.phone_number_id).order_by(Call.claimed_at))]
    assert sorted(used[:3]) == ["a", "b", "c"]
    assert used[3:] == used[:3]


@pytest.mark.parametrize("on_retry", ["another", "same"])
def test_somebody_is_called_again_from_another_number_or_from_the_same(
    session: Session, now: datetime, on_retry: str
) -> None:
    account = factories.account(session, now)
    campaign = factories.campaign(session, now, phone_number_ids=["a", "b", "c"], number_on_retry=on_retry)
    crowd = people(session, campaign, now, 6)
    assert len(claim(session, account.id, now)) == 6
    over(session, now)
    session.execute(update(Prospect).values(state="waiting", due_at=now, calls=1))
    session.expire_all()
    assert len(claim(session, account.id, now + HOUR)) == 6
    for person in crowd:
        query = select(Call.phone_number_id).where(Call.prospect_id == person.id).order_by(Call.claimed_at)
        first, second = session.scalars(query)
        assert (first == second) == (on_retry == "same")


def test_people_are_called_from_the_nearest_number(session: Session, now: datetime) -> None:
    places = {"sf": "+14155550100", "la": "+12135550100", "ny": "+12125550100", "berlin": "+493012345678"}
    numbers = [{"id": name, "number": number} for name, number in places.items()]
    account = factories.account(session, now, numbers=numbers)
    campaign = factories.campaign(session, now, phone_number_ids=[*places, "unknown"], local_presence="area_code")
    wanted = {"+14155550187": {"sf"}, "+16195550187": {"sf", "la"}, "+12125550187": {"ny"}, "+13125550187": {"sf"}}
    wanted["+13125550187"] = {"sf", "la", "ny"}
    for number in wanted:
        factories.prospect(session, campaign, now, e164=number)
    assert len(claim(session, account.id, now)) == 4
    rows = session.execute(
        select(factories.Person.number, PhoneNumber.provider_id)
        .join(Call, Call.person_id == factories.Person.id)
        .join(PhoneNumber, PhoneNumber.id == Call.phone_number_id)
    )
    for person, caller in rows:
        assert caller in wanted[person], person


def test_dispatchers_at_once_exceed_no_numbers_day(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        numbers = [{"id": "b", "per_day": 11}]
        account_id = factories.account(session, now, concurrency=40, number_per_day=7, numbers=numbers).id
        for name, own in (("one", ["a", "b"]), ("two", ["b"])):
            people(session, factories.campaign(session, now, name=name, phone_number_ids=own), now, 40)
    barrier = threading.Barrier(3)

    def run() -> None:
        barrier.wait()
        for _ in range(5):
            with db.transaction(database) as session:
                real = clock.read(session).real
                dispatching.claim_due(session, account_id, now=now, real=real, timing=Timing(lease=HOUR))
            with db.transaction(database) as session:
                ours = select(Call.id).where(Call.state == CallState.CLAIMED).limit(3).with_for_update(skip_locked=True)
                sent = update(Call).where(Call.id.in_(session.scalars(ours).all()))
                session.execute(sent.values(state=CallState.ENDED, intent_at=now, settled_at=now))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.transaction(database) as session:
        assert calls_from(session) == {"a": 7, "b": 11}
