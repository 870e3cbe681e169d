"""A list on its way from the file to the ledger: killed and run again, handed over, read by two at once."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select

from campaigns import db
from campaigns.errors import InvalidList, NotAllowed
from campaigns.facts import about_campaigns
from campaigns.lists import bringing
from campaigns.lists.bringing import begin, bring, bring_handed_over, hand_over
from campaigns.lists.opening import Wishes, open_list
from campaigns.lists.reading import Size
from campaigns.models import Campaign, FilePiece, Import, Prospect
from campaigns.pipeline import uploading
from campaigns.pipeline.importing import storing
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import CampaignDefinition, Mapping_
from campaigns.rules.people_file import Shape
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, people

ROWS = 6_000
RUN = """
import sys
from uuid import UUID
from campaigns import db
from campaigns.facts import about_campaigns
from campaigns.lists import bringing, reading
from campaigns.lists.opening import open_list
reading.AHEAD_FROM = int(sys.argv[4])
url, campaign_id = sys.argv[1], UUID(sys.argv[2])
with db.transaction(url) as session:
    definition = about_campaigns(session, [campaign_id])[campaign_id].definition
with open(sys.argv[3], "rb") as file:
    def tell(rows, read):
        print(rows, flush=True)
    opened = open_list(file, definition)
    bringing.bring(url, campaign_id, opened, source="list.csv", size=reading.Size(rows=250), progress=tell)
"""


def listed(rows: int) -> bytes:
    """A list in which each tenth row cannot be used, and each seventh is there before."""
    numbers = [f"+1212{turn // 10_000 + 2}{turn % 1_000_000:06}" for turn in range(rows)]
    lines = (
        f"{'12' if turn % 10 == 9 else numbers[turn // 2 if turn % 7 == 6 else turn]},Name {turn}"
        for turn in range(rows)
    )
    return "\n".join(["phone,name", *lines]).encode()


def definition_of(database: str, campaign_id: UUID) -> CampaignDefinition:
    with db.transaction(database) as session:
        return about_campaigns(session, [campaign_id])[campaign_id].definition


def campaign_in(database: str, now: datetime, name: str = "spring") -> UUID:
    with db.transaction(database) as session:
        return factories.campaign(session, now, name=name, state=CampaignState.PAUSED).id


def is_finished(database: str, campaign_id: UUID) -> bool:
    """Whether all was stored: killed after that, there is nothing to go on with."""
    with db.transaction(database) as session:
        finished = select(Import.finished_at).where(Import.campaign_id == campaign_id)
        return session.scalar(finished) is not None


@pytest.mark.parametrize("ahead_from", [10**9, 0], ids=["alone", "with a process that reads ahead"])
def test_killed_at_any_moment_and_run_again_it_is_as_if_it_had_run_once(
    database: str, now: datetime, tmp_path: Path, ahead_from: int
) -> None:
    content = listed(ROWS)
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    killed, whole = campaign_in(database, now), campaign_in(database, now, "whole")
    chance = random.Random(5)  # noqa: S311 - the same moments each time, as far as a machine lets them be
    kills = 0
    for _ in range(60):
        command = [sys.executable, "-c", RUN, database, str(killed), str(path), str(ahead_from)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            for _ in range(chance.randrange(1, 4)):
                run.stdout.readline()
            time.sleep(chance.uniform(0, 0.03))
            if kills < 5 and run.poll() is None:
                os.kill(run.pid, signal.SIGKILL)
                kills += 1
            run.stdout.read()
        if run.returncode == 0 or is_finished(database, killed):
            break
    assert kills >= 4
    opened = open_list(io.BytesIO(content), definition_of(database, whole))
    import_id, report = bring(database, whole, opened, source="list.csv")
    with db.transaction(database) as session:
        (record,) = session.scalars(select(Import).where(Import.campaign_id == killed)).all()
        assert storing.report(session, record.id) == report
        assert record.finished_at is not None
        assert sorted(people(session, session.get_one(Campaign, killed))) == sorted(
            people(session, session.get_one(Campaign, whole))
        )
        assert Counter(map(tuple, map(dict.items, storing.rejected(session, record.id)))) == Counter(
            map(tuple, map(dict.items, storing.rejected(session, import_id)))
        )
        assert_tallies_equal_rows(session, session.get_one(Campaign, killed))


def test_a_file_that_is_imported_again_after_its_end_adds_nobody(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    definition = definition_of(database, campaign_id)
    content = listed(100)
    first_id, first = bring(database, campaign_id, open_list(io.BytesIO(content), definition), source="a")
    second_id, second = bring(database, campaign_id, open_list(io.BytesIO(content), definition), source="b")
    assert first_id != second_id
    assert (second.new, second.already_there) == (0, first.new + first.already_there)


def test_on_other_terms_an_interrupted_import_begins_anew(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    definition = definition_of(database, campaign_id)
    content = b"phone,mobile\n+12125550101,+12125550102\n"
    first = open_list(io.BytesIO(content), definition)
    second = open_list(io.BytesIO(content), definition, Wishes(mapping=Mapping_(phone="mobile")))
    ids = {begin(database, campaign_id, opened, source="a")[0] for opened in (first, second, first)}
    assert len(ids) == 2


def test_the_same_file_twice_at_once_is_stored_once_and_the_loser_is_told(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = campaign_in(database, now)
    definition = definition_of(database, campaign_id)
    content = listed(100)
    slow = open_list(io.BytesIO(content), definition)
    begun, _ = begin(database, campaign_id, slow, source="list.csv")
    fast = open_list(io.BytesIO(content), definition)

    def somebody_else(rows: int, _: int) -> None:
        if rows == 30:
            bring(database, campaign_id, fast, source="list.csv", size=Size(rows=10))

    with pytest.raises(NotAllowed, match="imported by another process"):
        bring(database, campaign_id, slow, source="list.csv", progress=somebody_else, size=Size(rows=10))
    with db.transaction(database) as session:
        assert storing.report(session, begun).rows == 100
        assert_tallies_equal_rows(session, session.get_one(Campaign, campaign_id))


def test_a_file_that_was_handed_over_is_imported_by_one_worker(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "PIECE", 500)
    campaign_id = campaign_in(database, now)
    content = listed(100).replace(b",", b"|")
    opened = open_list(io.BytesIO(content), definition_of(database, campaign_id), Wishes(shape=Shape(delimiter="|")))
    import_id, _ = begin(database, campaign_id, opened, source="list.csv")
    assert bring_handed_over(database, import_id) is None  # it is not here whole
    hand_over(database, import_id, opened.file)
    with db.transaction(database) as session:
        assert uploading.waiting(session) == [import_id]
        assert session.scalar(select(func.count()).select_from(FilePiece)) == -(-len(content) // 500)
    with uploading.sole_runner(db.engine(database), import_id) as alone:
        assert alone
        assert bring_handed_over(database, import_id) is None
    report = bring_handed_over(database, import_id)
    assert report is not None
    assert report.rows == 100
    assert bring_handed_over(database, import_id) is None
    with db.transaction(database) as session:
        assert uploading.waiting(session) == []
        assert session.scalar(select(func.count()).select_from(FilePiece)) == 0
        assert session.scalar(select(func.count()).select_from(Prospect)) == report.new
        record = session.get_one(Import, import_id)
        assert record.read == record.size == len(content)


def test_what_is_wrong_with_a_file_that_was_handed_over_is_kept(database: str, now: datetime) -> None:
    campaign_id = campaign_in(database, now)
    opened = open_list(io.BytesIO(b"phone\n+12125550101\n"), definition_of(database, campaign_id))
    import_id, _ = begin(database, campaign_id, opened, source="list.csv")
    hand_over(database, import_id, io.BytesIO(b"name\nAna\n"))
    with pytest.raises(InvalidList):
        bring_handed_over(database, import_id)
    with db.transaction(database) as session:
        assert str(session.get_one(Import, import_id).failed_why).startswith("no column of phone numbers")
        assert uploading.waiting(session) == []
