"""Claiming: never more than there are lines and slots, never the same person twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Account, Call, Campaign, Pace, Prospect, Suppression
from campaigns.pipeline import dispatching, doubting
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from tests import factories
from tests.pipeline.placing import REAL, claim


def test_due_people_are_claimed_up_to_the_free_lines(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=5, reserve=2)
    campaign = factories.campaign(session, now)
    people = [factories.prospect(session, campaign, now) for _ in range(6)]
    assert len(claim(session, account.id, now)) == 3
    assert claim(session, account.id, now) == []
    in_call = [each for each in people if each.state is ProspectState.IN_CALL]
    assert len(in_call) == 3
    assert all(each.due_at is None for each in in_call)


def test_nobody_is_claimed_before_the_due_time(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    campaign = factories.campaign(session, now)
    factories.prospect(session, campaign, now, due_at=now + timedelta(seconds=1))
    assert claim(session, account.id, now) == []
    assert len(claim(session, account.id, now + timedelta(seconds=1))) == 1


def test_a_person_is_in_one_call_only_across_campaigns(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    number = factories.number()
    first, second = factories.campaign(session, now), factories.campaign(session, now, name="autumn")
    one = factories.prospect(session, first, now, e164=number)
    two = factories.prospect(session, second, now, e164=number)
    assert len(claim(session, account.id, now)) == 1
    states = {one.state, two.state}
    assert states == {ProspectState.IN_CALL, ProspectState.WAITING}
    loser = one if one.state is ProspectState.WAITING else two
    assert loser.due_at is not None
    assert loser.due_at > now


@pytest.mark.parametrize("state", [CallState.UNKNOWN, CallState.REVIEW, CallState.PLACING, CallState.IN_PROGRESS])
def test_a_person_whose_earlier_call_is_unresolved_is_not_claimed(
    session: Session, now: datetime, state: CallState
) -> None:
    account = factories.account(session, now)
    number = factories.number()
    earlier = factories.prospect(session, factories.campaign(session, now, name="earlier"), now, e164=number)
    factories.call(session, earlier, now, state=state)
    late = factories.prospect(session, factories.campaign(session, now), now, e164=number)
    assert claim(session, account.id, now) == []
    assert late.state_why is not None
    assert late.state_why.startswith("person_in_call: ")  # known beforehand: the index is only for the race


def test_the_unique_index_decides_even_if_the_facts_did_not(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = factories.account(session, now)
    number = factories.number()
    earlier = factories.prospect(session, factories.campaign(session, now, name="earlier"), now, e164=number)
    factories.call(session, earlier, now, state=CallState.RINGING)
    late = factories.prospect(session, factories.campaign(session, now), now, e164=number)
    from campaigns.rules.eligibility import Allowed

    monkeypatch.setattr(dispatching, "decide", lambda _facts, _now: Allowed())
    assert claim(session, account.id, now) == []
    assert late.state is ProspectState.WAITING


def test_whoever_may_not_be_called_after_all_moves_out_of_the_way(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=2)
    campaign = factories.campaign(session, now)
    early = [
        factories.prospect(session, campaign, now, zones=["America/Los_Angeles"], states=["US-CA"]) for _ in range(4)
    ]
    stopped = factories.prospect(session, campaign, now)
    session.add(Suppression(person_id=stopped.person_id, reason="asked", created_at=now))
    homeless = factories.prospect(session, campaign, now, zones=[])
    callable_ = factories.prospect(session, campaign, now, due_at=now)
    assert len(claim(session, account.id, now)) == 1
    assert callable_.state is ProspectState.IN_CALL
    assert {each.due_at for each in early} == {datetime(2027, 3, 2, 17, tzinfo=UTC)}
    assert stopped.state is ProspectState.SUPPRESSED
    assert homeless.state is ProspectState.HELD
    assert homeless.state_why is not None
    assert "unknown_zone" in homeless.state_why


def late_list(session: Session, campaign: Campaign, now: datetime, people: int) -> list[Prospect]:
    """People who are due by their rows, but for whom it is too early in the day."""
    west = {"zones": ["America/Los_Angeles"], "states": ["US-CA"]}
    return [factories.prospect(session, campaign, now, **west) for _ in range(people)]


def test_people_behind_a_long_list_of_refused_ones_are_still_claimed(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=3)
    campaign = factories.campaign(session, now)
    early = late_list(session, campaign, now, 60)
    behind = [factories.prospect(session, campaign, now, due_at=now) for _ in range(5)]
    assert len(claim(session, account.id, now)) == 3
    assert all(each.due_at == datetime(2027, 3, 2, 17, tzinfo=UTC) for each in early)
    assert sum(each.state is ProspectState.IN_CALL for each in behind) == 3
    assert sum(each.due_at == now for each in behind) == 2  # looked at, and left as they are


def test_a_claim_looks_at_so_many_people_and_no_more(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "LOOKED_AT_MOST", 40)
    account = factories.account(session, now, concurrency=3)
    one, two = factories.campaign(session, now, name="one"), factories.campaign(session, now, name="two")
    early = {campaign.id: late_list(session, campaign, now, 50) for campaign in (one, two)}
    behind = factories.prospect(session, two, now, due_at=now)
    assert claim(session, account.id, now) == []
    for people in early.values():  # each campaign has its share of the time
        assert sum(each.due_at is not None and each.due_at > now for each in people) == 20
    for _ in range(2):
        claim(session, account.id, now)
    assert behind.state is ProspectState.IN_CALL


def test_a_campaign_keeps_its_own_cap_and_leaves_the_rest_to_others(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=10)
    small = factories.campaign(session, now, name="small", max_concurrency=2)
    large = factories.campaign(session, now, name="large")
    for _ in range(10):
        factories.prospect(session, small, now)
        factories.prospect(session, large, now)
    claim(session, account.id, now)
    rows = session.execute(select(Campaign.name, func.count()).join(Call).group_by(Campaign.name))
    assert dict(rows.all()) == {"small": 2, "large": 8}


def test_a_share_that_nobody_is_due_for_goes_to_the_others(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=10)
    poor = factories.campaign(session, now, name="poor", weight=9)
    rich = factories.campaign(session, now, name="rich")
    factories.prospect(session, poor, now)
    for _ in range(12):
        factories.prospect(session, rich, now)
    assert len(claim(session, account.id, now)) == 10


def test_slots_follow_the_accounts_rate_across_campaigns_and_rounds(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=100, calls_per_second=4)
    for name in ("one", "two"):
        campaign = factories.campaign(session, now, name=name)
        for _ in range(20):
            factories.prospect(session, campaign, now)
    for turn in range(4):
        claim(session, account.id, now, real=REAL + timedelta(seconds=turn * 0.7))
    slots = sorted(session.scalars(select(Call.slot_at)))
    assert 9 <= len(slots) <= 18  # two seconds ahead, and 2.1 seconds of rounds, at four a second
    assert all(later - earlier >= timedelta(seconds=0.25) for earlier, later in pairwise(slots))


@pytest.mark.parametrize("stop", ["frozen", "stopped", "backing off", "paused"])
def test_nothing_is_claimed_while_the_account_or_the_campaign_stands_still(
    session: Session, now: datetime, stop: str
) -> None:
    account = factories.account(session, now)
    state = CampaignState.PAUSED if stop == "paused" else CampaignState.RUNNING
    factories.prospect(session, factories.campaign(session, now, state=state), now)
    if stop == "frozen":
        account.frozen_at = now
    if stop == "stopped":
        account.stop_reason = "key refused"
    if stop == "backing off":
        doubting.back_off(session, account.id, until=REAL + timedelta(seconds=5))
    session.flush()
    assert claim(session, account.id, now) == []


def test_a_learned_ceiling_below_the_limit_holds(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=10)
    campaign = factories.campaign(session, now)
    for _ in range(6):
        factories.prospect(session, campaign, now)
    session.execute(update(Pace).where(Pace.account_id == account.id).values(ceiling=4))
    assert len(claim(session, account.id, now)) == 4


def test_a_claimed_call_whose_hint_was_lost_is_offered_again_with_a_new_slot(session: Session, now: datetime) -> None:
    account = factories.account(session, now)
    factories.prospect(session, factories.campaign(session, now), now)
    (call_id,) = claim(session, account.id, now)
    call = session.get_one(Call, call_id)
    before = call.slot_at
    assert claim(session, account.id, now, real=REAL + timedelta(seconds=29)) == []
    assert claim(session, account.id, now, real=REAL + timedelta(seconds=31)) == [call_id]
    session.refresh(call)
    assert call.state is CallState.CLAIMED
    assert call.slot_at > before
    assert session.scalar(select(func.count()).select_from(Call)) == 1


def test_an_unknown_call_uses_its_line_for_its_longest_duration_and_no_longer(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=1)
    campaign = factories.campaign(session, now)
    lost = factories.prospect(session, campaign, now)
    factories.call(session, lost, now, state=CallState.UNKNOWN, line_until=now + timedelta(minutes=10))
    factories.prospect(session, campaign, now)
    assert claim(session, account.id, now + timedelta(minutes=9)) == []
    assert len(claim(session, account.id, now + timedelta(minutes=11))) == 1


def test_two_dispatchers_at_once_share_the_lines_and_claim_each_person_once(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        account = factories.account(session, now, concurrency=12)
        campaign = factories.campaign(session, now)
        for _ in range(40):
            factories.prospect(session, campaign, now)
        account_id = account.id
    claimed: list[UUID] = []
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        for _ in range(3):
            with db.transaction(database) as session:
                found = dispatching.claim_due(
                    session, account_id, now=now, real=clock.read(session).real, timing=Timing()
                )
            claimed.extend(found)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 12
    with db.transaction(database) as session:
        assert session.scalar(select(func.count(func.distinct(Call.prospect_id)))) == 12
        assert session.scalar(select(func.count()).where(Prospect.state == ProspectState.IN_CALL)) == 12


def test_accounts_without_work_are_left_alone(session: Session, now: datetime) -> None:
    idle = factories.account(session, now, name="idle")
    busy = factories.account(session, now)
    factories.campaign(session, now)
    assert dispatching.accounts_with_work(session) == [busy.id]
    assert session.get(Account, idle.id) is not None
