"""Lines shared between campaigns and between caller numbers, by any number of dispatchers at once."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from sqlalchemy import Text, cast, func, select, update
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Call, Campaign, PhoneNumber, Prospect
from campaigns.pipeline import dispatching
from campaigns.rules.call_state import CallState
from campaigns.rules.timing import Timing
from tests import factories

REAL = datetime(2026, 11, 21, 9, tzinfo=UTC)
LONG_LEASE = Timing(lease=timedelta(hours=1))


def claim(session: Session, account_id: UUID, now: datetime) -> list[UUID]:
    return dispatching.claim_due(session, account_id, now=now, real=REAL, timing=Timing())


def lines_of(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(Campaign.name, func.count()).join(Call).where(Call.state == CallState.CLAIMED).group_by(Campaign.name)
    )
    return dict(rows.all())


def calls_from(session: Session) -> Counter[str]:
    rows = session.execute(
        select(PhoneNumber.provider_id, func.count())
        .join(Call, Call.phone_number_id == PhoneNumber.id)
        .where(Call.state == CallState.CLAIMED)
        .group_by(PhoneNumber.provider_id)
    )
    return Counter(dict(rows.all()))


def test_a_single_free_line_goes_to_whoever_is_due_however_poor_an_idle_campaign_is(
    session: Session, now: datetime
) -> None:
    account = factories.account(session, now, concurrency=1)
    for turn, name in enumerate(("idle", "idle-too", "busy")):
        factories.campaign(session, now, name=name, weight=[100, 50, 1][turn])
    busy = session.scalars(select(Campaign).where(Campaign.name == "busy")).one()
    factories.prospect(session, busy, now)
    assert len(claim(session, account.id, now)) == 1


def test_a_number_makes_no_more_calls_at_once_than_it_may_over_all_campaigns(session: Session, now: datetime) -> None:
    account = factories.account(session, now, number_concurrency=2, numbers=[{"id": "wide", "concurrency": 4}])
    one = factories.campaign(session, now, name="one", phone_number_ids=["shared", "wide"])
    two = factories.campaign(session, now, name="two", phone_number_ids=["shared"])
    for _ in range(10):
        factories.prospect(session, one, now)
        factories.prospect(session, two, now)
    assert len(claim(session, account.id, now)) == 6
    assert calls_from(session) == {"shared": 2, "wide": 4}
    assert claim(session, account.id, now) == []
    ended = session.scalars(select(Call).join(PhoneNumber).where(PhoneNumber.provider_id == "shared")).first()
    assert ended is not None
    ended.state = CallState.ENDED
    assert len(claim(session, account.id, now)) == 1
    assert calls_from(session) == {"shared": 2, "wide": 4}


def test_a_campaign_whose_numbers_are_full_leaves_its_lines_to_the_others(session: Session, now: datetime) -> None:
    account = factories.account(session, now, numbers=[{"id": "narrow", "concurrency": 1}])
    narrow = factories.campaign(session, now, name="narrow", phone_number_ids=["narrow"], weight=9)
    wide = factories.campaign(session, now, name="wide", phone_number_ids=["wide"])
    for _ in range(12):
        factories.prospect(session, narrow, now)
        factories.prospect(session, wide, now)
    assert len(claim(session, account.id, now)) == 10
    assert lines_of(session) == {"narrow": 1, "wide": 9}


def test_calls_spread_over_the_numbers_and_a_retry_comes_from_another(session: Session, now: datetime) -> None:
    account = factories.account(session, now, concurrency=9)
    campaign = factories.campaign(session, now, phone_number_ids=["a", "b", "c"])
    people = [factories.prospect(session, campaign, now) for _ in range(9)]
    assert len(claim(session, account.id, now)) == 9
    assert calls_from(session) == {"a": 3, "b": 3, "c": 3}
    for _ in range(4):
        for call in session.scalars(select(Call).where(Call.state == CallState.CLAIMED)):
            call.state, call.counted, call.claimed_at = CallState.ENDED, True, call.claimed_at - timedelta(hours=1)
        session.execute(update(Prospect).values(state="waiting", due_at=now, calls=Prospect.calls + 1))
        session.execute(update(Call).values(claimed_at=Call.claimed_at - timedelta(hours=1)))
        session.expire_all()
        assert len(claim(session, account.id, now)) == 9
    for person in people:
        query = select(Call.phone_number_id).where(Call.prospect_id == person.id).order_by(Call.claimed_at)
        came_from = session.scalars(query).all()
        assert len(came_from) == 5
        assert all(earlier != later for earlier, later in pairwise(came_from))


def test_dispatchers_at_once_exceed_no_limit_and_share_by_weight_what_an_idle_campaign_leaves(
    database: str, now: datetime
) -> None:
    with db.transaction(database) as session:
        account_id = factories.account(
            session, now, concurrency=24, reserve=3, numbers=[{"id": "narrow", "concurrency": 5}]
        ).id
        for name, weight, cap, numbers in (
            ("heavy", 3, None, ["wide"]),
            ("light", 1, None, ["wide"]),
            ("capped", 9, 4, ["wide", "narrow"]),
            ("narrow", 9, None, ["narrow"]),
            ("idle", 100, None, ["wide"]),
        ):
            campaign = factories.campaign(
                session, now, name=name, weight=weight, max_concurrency=cap, phone_number_ids=numbers
            )
            for _ in range(0 if name == "idle" else 60):
                factories.prospect(session, campaign, now)
    worst: list[dict[str, int]] = []
    barrier = threading.Barrier(3)

    def run(turn: int) -> None:
        barrier.wait()
        for _ in range(6):
            with db.transaction(database) as session:
                real = clock.read(session).real
                dispatching.claim_due(session, account_id, now=now, real=real, timing=LONG_LEASE)
            with db.transaction(database) as session:
                lines, numbers = lines_of(session), calls_from(session)
                worst.append({**lines, "total": sum(lines.values()), "number": numbers["narrow"]})
                # Some calls end, each round others: the next round shares out a few lines.
                some = select(Call.id).where(Call.state == CallState.CLAIMED).order_by(func.md5(cast(Call.id, Text)))
                ended = session.scalars(some.limit(2).with_for_update(skip_locked=True)).all()
                session.execute(update(Call).where(Call.id.in_(ended)).values(state=CallState.ENDED))

    threads = [threading.Thread(target=run, args=(turn,)) for turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(each["total"] for each in worst) == 21
    assert max(each["capped"] for each in worst) == 4
    assert max(each["number"] for each in worst) == 5
    with db.transaction(database) as session:
        dispatching.claim_due(session, account_id, now=now, real=clock.read(session).real, timing=LONG_LEASE)
        lines = lines_of(session)
    assert sum(lines.values()) == 21
    assert "idle" not in lines
    assert lines["capped"] == 4
    assert lines["narrow"] + lines["capped"] >= 5
    assert abs(lines["heavy"] - 3 * lines["light"]) <= 4  # whole lines, and those that ended were anybody's
