"""A whole list of people who are not to be called: as if each had been named alone."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import InvalidInput, InvalidList
from campaigns.lists.stopping import StopReport, bring_stops, open_stops, read_stops
from campaigns.models import Call, Campaign, Change, Person, Prospect, Suppression
from campaigns.pipeline import calling, suppressing
from campaigns.pipeline.suppressing import Stored
from campaigns.rules.call_state import CallState
from campaigns.rules.people_file.people import Rejection
from campaigns.rules.people_file.stops import Stop, columns_said
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, bring
from tests.pipeline.placing import REAL, TIMING, prepare
from tests.pipeline.waiting import held_up


def stop(session: Session, now: datetime, numbers: Sequence[str], campaign: Campaign | None = None) -> Stored:
    stops = [Stop(number, "mobile", None, None) for number in numbers]
    where = None if campaign is None else campaign.id
    found = suppressing.suppress_all(
        session, stops, campaign_id=where, reason="the list", source="dnc.csv", who="test", now=now
    )
    session.flush()
    session.expire_all()
    return found


def read(content: str, **said: str) -> tuple[list[Stop], list[Rejection], StopReport]:
    opened = open_stops(io.BytesIO(content.encode()), said, default_region="US")
    report, rejections = StopReport(), list[Rejection]()
    stops = [stop for lot in read_stops(opened, report, rejections.append) for stop in lot]
    return stops, rejections, report


def test_whoever_waits_is_done_everywhere_and_whoever_is_unknown_is_kept(session: Session, now: datetime) -> None:
    campaigns = [factories.campaign(session, now, name=name) for name in ("spring", "autumn")]
    people = [factories.prospect(session, campaign, now, e164="+12125550142") for campaign in campaigns]
    held = factories.prospect(session, campaigns[0], now, state=ProspectState.HELD)
    others = [factories.prospect(session, campaign, now) for campaign in campaigns]
    done = factories.prospect(session, campaigns[0], now, state=ProspectState.COMPLETED)
    numbers = [session.get_one(Person, each.person_id).number for each in (people[0], held, done)]
    assert stop(session, now, [*numbers, "+12125550199", numbers[0]]) == Stored(added=4, finished=3)
    assert [each.state for each in [*people, held]] == [ProspectState.SUPPRESSED] * 3
    assert people[0].state_why == "on a do-not-call list: the list"
    assert [each.state for each in [*others, done]] == [ProspectState.WAITING] * 2 + [ProspectState.COMPLETED]
    for campaign in campaigns:
        assert_tallies_equal_rows(session, campaign)
    changes = session.scalars(select(Change).where(Change.what == "suppress")).all()
    assert {change.subject for change in changes} == {
        f"person:{person_id}" for person_id in session.scalars(select(Suppression.person_id))
    }
    assert {(change.who, change.why) for change in changes} == {("test", "the list")}
    assert changes[0].after == {"campaign": None, "list": "dnc.csv"}
    bring(session, campaigns[1], b"Phone\n+12125550199\n", now)
    newest = session.scalars(select(Prospect).order_by(Prospect.id.desc())).first()
    assert newest is not None
    assert newest.state is ProspectState.SUPPRESSED


def test_the_same_list_again_adds_nobody_and_costs_no_ids(session: Session, now: datetime) -> None:
    numbers = [f"+1212555{turn:04}" for turn in range(100, 120)]
    assert stop(session, now, numbers).added == 20
    before = session.scalar(select(func.nextval("people_id_seq")))
    assert stop(session, now + timedelta(days=1), numbers) == Stored(0, 0)
    assert session.scalar(select(func.nextval("people_id_seq"))) == before + 1
    assert session.scalar(select(func.count()).select_from(Suppression)) == 20
    assert session.scalar(select(func.count()).select_from(Change).where(Change.what == "suppress")) == 20


def test_in_one_campaign_it_changes_nothing_in_another(session: Session, now: datetime) -> None:
    spring, autumn = (factories.campaign(session, now, name=name) for name in ("spring", "autumn"))
    people = [factories.prospect(session, each, now, e164="+12125550142") for each in (spring, autumn)]
    assert stop(session, now, ["+12125550142"], spring) == Stored(1, 1)
    assert [each.state for each in people] == [ProspectState.SUPPRESSED, ProspectState.WAITING]
    assert stop(session, now, ["+12125550142"]) == Stored(1, 1)
    assert people[1].state is ProspectState.SUPPRESSED


def test_a_claimed_call_is_not_placed_and_a_live_one_is_named(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    live = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)
    claimed = factories.call(session, factories.prospect(session, campaign, now), now)
    factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)
    stop(session, now, [session.get_one(Person, each.person_id).number for each in (live, claimed)])
    found = suppressing.in_flight(session, None)
    assert (live.id, CallState.RINGING) in found
    assert {call_id for call_id, _ in found} <= {live.id, claimed.id}
    assert prepare(session, claimed.id, now) is None
    assert session.get_one(Call, claimed.id).state is CallState.NOT_PLACED


def test_after_it_is_lifted_the_list_stops_them_again(session: Session, now: datetime) -> None:
    stop(session, now, ["+12125550142"])
    suppressing.lift(session, "+12125550142", campaign_id=None, who="test", why="in writing", now=now)
    assert stop(session, now, ["+12125550142"]).added == 1


def test_numbers_reasons_and_dates_are_read_and_the_rest_is_ignored() -> None:
    stops, rejections, report = read(
        "Name,Mobile,Why,Date added,now,Phone\n"
        "Dana,(212) 555-0142,by letter,2026-02-01,x,\n"
        "Omar,+44 20 7946 0958,,2026-02-01T10:00:00+01:00,x,\n"
        "Nell,212-555-0143,called us,last week,x,\n"
        "Nobody,12345,,,x,\n"
        ",,,,,\n",
        phone="Mobile",
    )
    assert stops == [
        Stop("+12125550142", "fixed_line_or_mobile", "by letter", datetime(2026, 2, 1, tzinfo=UTC)),
        Stop("+442079460958", "fixed_line", None, datetime(2026, 2, 1, 9, tzinfo=UTC)),
        Stop("+12125550143", "fixed_line_or_mobile", "called us", None),
    ]
    assert [(each.row.line, each.column, each.value) for each in rejections] == [(5, "Mobile", "12345")]
    assert rejections[0].reason
    assert (report.rows, report.rejected) == (4, 1)


def test_a_list_of_nothing_but_numbers_needs_a_heading_and_no_more() -> None:
    stops, _, _ = read("whoever\n2125550142\n")
    assert [each.number for each in stops] == ["+12125550142"]
    with pytest.raises(InvalidList, match="first row holds a telephone number"):
        read("2125550142\n2125550143\n")
    with pytest.raises(InvalidList, match="no column of phone numbers"):
        read("name\nDana\n")
    with pytest.raises(InvalidList, match="the file has: phone"):
        read("phone\n2125550142\n", reason="Cause")
    with pytest.raises(InvalidInput, match="a role is one of phone, country, reason, since"):
        columns_said(["zone=TZ"])


def test_a_list_of_several_lots_is_brought_whole_twice_at_once_and_again(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle and started again is the same: what is there is passed by."""
    monkeypatch.setattr("campaigns.lists.stopping.LOT", 50)
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        for turn in range(100, 200, 3):
            factories.prospect(session, campaign, now, e164=f"+1212555{turn:04}")
    numbers = [f"+1212555{turn:04}" for turn in range(100, 300)]
    orders = ["\n".join(["phone", *numbers]), "\n".join(["phone", *reversed(numbers)])]
    reports: list[StopReport] = []

    def go(content: str) -> None:
        opened = open_stops(io.BytesIO(content.encode()), {})
        how = {"campaign_id": None, "reason": "the list", "source": "dnc.csv", "who": "test", "reject": print}
        reports.append(bring_stops(database, opened, **how))

    threads = [threading.Thread(target=go, args=[content]) for content in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 2
    assert sum(report.added for report in reports) == 200
    assert sum(report.finished for report in reports) == 34
    assert all(report.added + report.already_there == report.rows == 200 for report in reports)
    go(orders[0])
    assert (reports[-1].added, reports[-1].already_there) == (0, 200)
    with db.transaction(database) as session:
        assert session.scalar(select(func.count()).select_from(Suppression)) == 200
        assert_tallies_equal_rows(session, session.scalars(select(Campaign)).one())


@pytest.mark.parametrize("how", ["list", "opt-out"])
def test_it_waits_for_an_intent_that_is_open_and_no_other_follows(database: str, now: datetime, how: str) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        first = factories.call(session, factories.prospect(session, campaign, now, e164="+12125550142"), now)
        person_id = first.person_id
        if how == "opt-out":
            entry = Suppression(person_id=person_id, reason="asked", created_at=now)
            session.add(entry)

    def work() -> None:
        with db.transaction(database) as session:
            if how == "list":
                stop(session, now, ["+12125550142"])
            else:
                (entry_id,) = suppressing.to_apply(session, limit=9)
                suppressing.apply(session, entry_id, now=now)

    with db.transaction(database) as session:
        held = calling.hold_still(session, [first.id], timing=TIMING)
        with held_up(database, work):
            prepared = calling.prepare(session, held, now=now, real=REAL)
            assert len(prepared) == (how == "list")  # what was heard in a call counts before it is finished
            session.commit()
    with db.transaction(database) as session:
        assert session.scalars(select(Suppression)).one().applied_at is not None
