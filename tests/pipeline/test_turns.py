"""People who are called again and new ones take turns, and whoever has a higher priority comes before both."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns.models import Call, Campaign, Prospect
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.placing import claim


def due(session: Session, campaign: Campaign, now: datetime, people: int, *, calls: int, **changes: int) -> None:
    """So many people; those who were called before have been due for less long."""
    for turn in range(people):
        at = now - timedelta(hours=1 if calls else 9, seconds=people - turn)
        factories.prospect(session, campaign, now, calls=calls, due_at=at, **changes)


def called(session: Session) -> list[tuple[int, bool]]:
    """The priority of each person called, and whether they are called again, in the order of the calls."""
    rows = session.execute(
        select(Prospect.priority, Call.again)
        .join(Prospect, Prospect.id == Call.prospect_id)
        .order_by(Call.claimed_at, Prospect.due_at)
    )
    return [(row.priority, row.again) for row in rows]


def one_line_at_a_time(session: Session, now: datetime, calls: int) -> None:
    account = factories.account(session, now, concurrency=1)
    for turn in range(calls):
        (call_id,) = claim(session, account.id, now + timedelta(seconds=turn))
        session.get_one(Call, call_id).state = CallState.ENDED
        session.flush()


@pytest.mark.parametrize(("share", "again"), [(0.5, 10), (0.25, 5), (0.0, 0), (1.0, 20)])
def test_of_the_lines_that_come_free_the_share_goes_to_people_who_are_called_again(
    session: Session, now: datetime, share: float, again: int
) -> None:
    campaign = factories.campaign(session, now, retry_share=share)
    due(session, campaign, now, 30, calls=0)
    due(session, campaign, now, 30, calls=1)
    one_line_at_a_time(session, now, 20)
    assert sum(each for _, each in called(session)) == again


def test_a_retry_waits_for_its_turn_and_not_for_all_who_were_due_before(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    due(session, campaign, now, 40, calls=0)
    due(session, campaign, now, 1, calls=2)
    one_line_at_a_time(session, now, 3)
    assert [again for _, again in called(session)].count(True) == 1


def test_what_one_kind_does_not_need_the_other_gets(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    campaign = factories.campaign(session, now)
    due(session, campaign, now, 2, calls=0)
    due(session, campaign, now, 30, calls=1)
    assert len(claim(session, account.id, now)) == 10
    assert sum(again for _, again in called(session)) == 8
    other = factories.campaign(session, now, name="other")
    due(session, other, now, 30, calls=0)
    due(session, other, now, 2, calls=1)
    session.execute(Call.__table__.update().values(state="ended"))
    session.execute(Prospect.__table__.update().where(Prospect.campaign_id == campaign.id).values(priority=0))
    campaign.state = "paused"  # type: ignore[assignment]
    session.flush()
    assert len(claim(session, account.id, now)) == 10
    theirs = select(func.count()).where(Call.campaign_id == other.id, Call.again)
    assert session.scalar(theirs) == 2


def test_a_higher_priority_comes_first_and_within_it_both_take_turns(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    campaign = factories.campaign(session, now)
    for priority in (0, 100):
        due(session, campaign, now, 3, calls=0, priority=priority)
        due(session, campaign, now, 3, calls=1, priority=priority)
    assert len(claim(session, account.id, now)) == 10
    found = called(session)
    assert sum(priority == 100 for priority, _ in found) == 6
    assert sum(again for priority, again in found if priority == 0) == 2


def test_whoever_may_not_be_called_after_all_leaves_the_turn_to_the_next(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=4)
    campaign = factories.campaign(session, now)
    west = {"zones": ["America/Los_Angeles"], "states": ["US-CA"]}
    hours_ago = now - timedelta(hours=2)
    early = [factories.prospect(session, campaign, now, calls=1, due_at=hours_ago, **west) for _ in range(3)]
    due(session, campaign, now, 3, calls=1)
    due(session, campaign, now, 30, calls=0)
    assert len(claim(session, account.id, now)) == 4
    assert all(each.state is ProspectState.WAITING and each.due_at is not None for each in early)
    assert sum(each.due_at > now for each in early if each.due_at is not None) >= 2  # looked at, and out of the way
