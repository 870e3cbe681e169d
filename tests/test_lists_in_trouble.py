"""Lists that meet each other, a server that goes away, files that change: nobody is lost, and the rest is said."""

from __future__ import annotations

import io
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import make_url, select, text

from campaigns import db
from campaigns.errors import InvalidList
from campaigns.lists import reading
from campaigns.lists.bringing import begin, bring, bring_handed_over, hand_over
from campaigns.lists.opening import NO_WISHES, OpenList, Wishes, open_list
from campaigns.lists.reading import LOT, Size
from campaigns.models import Campaign, FilePiece, Import, Person
from campaigns.pipeline import scheduling, uploading
from campaigns.pipeline.importing import storing
from campaigns.pipeline.importing.sorting import Options
from campaigns.pipeline.importing.storing import Report
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, people
from tests.pipeline.waiting import held_up
from tests.test_lists import campaign_in, definition_of

UPDATE = Wishes(options=Options(update=True))


def opened(database: str, campaign_id: UUID, content: bytes, wishes: Wishes = NO_WISHES) -> OpenList:
    return open_list(io.BytesIO(content), definition_of(database, campaign_id), wishes)


def run(database: str, campaign_id: UUID, content: bytes, wishes: Wishes = NO_WISHES, size: Size = LOT) -> Report:
    return bring(database, campaign_id, opened(database, campaign_id, content, wishes), source="l", size=size)[1]


def handed_over(database: str, campaign_id: UUID, content: bytes) -> UUID:
    found = opened(database, campaign_id, content)
    import_id, _ = begin(database, campaign_id, found, source="l")
    hand_over(database, import_id, found.file)
    return import_id


def test_lists_that_overlap_in_another_order_all_come_in(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    chance = random.Random(1)  # noqa: S311 - the same orders each time
    numbers = [f"+1212{2 + turn // 10_000}55{turn % 10_000:04}" for turn in range(15_000)]
    lists = []
    for _ in range(3):
        chance.shuffle(numbers)
        lists.append(("phone\n" + "\n".join(numbers)).encode())
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda content: run(database, campaign_id, content, size=Size(rows=750)), lists))
    assert sum(report.new for report in reports) == 15_000
    assert all(report.new + report.already_there == 15_000 for report in reports)
    with db.transaction(database) as session:
        assert_tallies_equal_rows(session, session.get_one(Campaign, campaign_id))


def test_an_update_does_not_undo_one_that_was_stored_while_it_waited(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    run(database, campaign_id, b"phone,id\n+12125550101,X\n")
    with db.transaction(database) as session:  # as somebody who is in the middle of a lot
        storing.take_turns(session, str(campaign_id), alone=False)
        (moved,) = people(session, session.get_one(Campaign, campaign_id)).values()
        other = Person(number="+12125550199", created_at=now)
        session.add(other)
        session.flush()
        moved.person_id = other.id
        session.flush()
        named = partial(run, database, campaign_id, b"phone,name\n+12125550101,Ann\n", UPDATE)
        with held_up(database, named) as report:
            session.commit()
        assert (report.result().new, report.result().updated) == (1, 0)
    with db.transaction(database) as session:
        found = people(session, session.get_one(Campaign, campaign_id))
        assert {number: (who.external_id, who.name) for number, who in found.items()} == {
            "+12125550199": ("X", None),
            "+12125550101": (None, "Ann"),
        }


def test_a_campaign_is_not_complete_while_a_list_waits_for_a_worker(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign_id = factories.campaign(session, now).id
    import_id = handed_over(database, campaign_id, b"phone\n+12125550101\n")
    with db.transaction(database) as session:
        assert scheduling.ripe(session, now=now) == []
        assert scheduling.advance(session, campaign_id, now=now, at_fault=lambda _: False) == []
    report = bring_handed_over(database, import_id)
    assert report is not None
    assert report.new == 1


@pytest.mark.parametrize("ahead_from", [0, 10**9])
def test_a_file_that_changes_while_it_is_read_is_not_called_finished(
    database: str, now: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_from: int
) -> None:
    monkeypatch.setattr(reading, "AHEAD_FROM", ahead_from)
    campaign_id = campaign_in(database, now)
    path = tmp_path / "list.csv"
    path.write_bytes(b"phone\n" + b"\n".join(b"+1212555%04d" % turn for turn in range(9_000)))
    with path.open("rb") as file:
        found = open_list(file, definition_of(database, campaign_id))
        with path.open("r+b") as other:
            other.truncate(70_000)
        with pytest.raises(InvalidList, match="changed while it was read"):
            bring(database, campaign_id, found, source="l")
    with db.transaction(database) as session:
        assert session.scalars(select(Import.finished_at)).all() == [None]


def test_a_server_that_is_away_for_seconds_is_waited_for(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    content = ("phone\n" + "\n".join(f"+1212555{turn:04}" for turn in range(100))).encode()
    name = make_url(database).database
    admin = db.connect(make_url(database).set(database="postgres").render_as_string(hide_password=False), pool_size=1)

    def say(statement: str) -> None:
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))

    back = threading.Timer(2.5, say, [f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true'])

    def go_away(rows: int, _: int) -> None:
        if rows == 40:
            say(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
            say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 - ours
            back.start()

    found = opened(database, campaign_id, content)
    report = bring(database, campaign_id, found, source="l", progress=go_away, size=Size(rows=20))[1]
    back.join()
    admin.dispose()
    assert (report.rows, report.new) == (100, 100)


def test_a_worker_that_meets_the_unforeseen_says_so_on_the_import(database: str, now: datetime) -> None:
    import_id = handed_over(database, campaign_in(database, now), b"phone\n+12125550101\n")
    with db.transaction(database) as session:  # as a newer version would have written them
        record = session.get_one(Import, import_id)
        record.terms = record.terms | {"options": {"of another version": True}}
    with pytest.raises(TypeError):
        bring_handed_over(database, import_id)
    with db.transaction(database) as session:
        assert uploading.waiting(session) == []
        assert (
            uploading.standing(session, limit=1)[0].state == "failed: TypeError, which the worker's log tells more of"
        )


def test_a_file_that_did_not_arrive_whole_is_not_imported(database: str, now: datetime) -> None:
    import_id = handed_over(database, campaign_in(database, now), b"phone\n+12125550101\n+12125550102\n")
    with db.transaction(database) as session:
        session.get_one(FilePiece, (import_id, 0)).content = b"phone\n+12125550101\n"
    with pytest.raises(InvalidList, match="did not arrive whole"):
        bring_handed_over(database, import_id)


def test_a_file_that_somebody_else_imported_while_it_was_handed_over_is_dropped(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    content = b"phone\n+12125550101\n"
    import_id, _ = begin(database, campaign_id, opened(database, campaign_id, content), source="l")
    assert run(database, campaign_id, content).new == 1
    hand_over(database, import_id, io.BytesIO(content))
    with db.transaction(database) as session:
        assert session.scalars(select(FilePiece.number)).all() == []
        assert uploading.waiting(session) == []


def test_an_interrupted_import_goes_on_only_on_the_terms_of_the_same_campaign_file(
    database: str, now: datetime
) -> None:
    campaign_id = campaign_in(database, now)
    content = b"phone,mobile\n+12125550101,+12125550102\n"
    ids = set()
    for change in ({}, {"mapping": {"phone": "mobile"}}, {"default_region": "DE"}):
        with db.transaction(database) as session:
            campaign = session.get_one(Campaign, campaign_id)
            campaign.definition = campaign.definition | change
        ids.add(begin(database, campaign_id, opened(database, campaign_id, content), source="l")[0])
    assert len(ids) == 3
