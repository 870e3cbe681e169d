"""A list that a worker reads: killed in the middle, it is read to its end by the next one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from celery import Celery
from sqlalchemy import func, select

from campaigns.models import FilePiece, Import, Prospect
from tests.harness import System
from tests.processes import eventually

ROWS = 40_000  # eight lots, some seconds


def listed(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("phone", "name", "note"))
        for turn in range(ROWS):
            number = "12" if turn % 100 == 0 else f"+1212{2_000_000 + turn}"
            writer.writerow((number, f"Customer {turn}", "says that mornings suit, and that the gate is blue"))


def look(system: System) -> None:
    """What beat says every few seconds."""
    with Celery(broker=system.redis_url, set_as_current=False) as sender:
        sender.send_task("bulk.look", queue="bulk")


def imported(system: System) -> Import:
    with system.session() as session:
        return session.scalars(select(Import)).one()


def test_a_worker_that_is_killed_in_the_middle_of_a_list_loses_nobody_and_brings_nobody_twice(system: System) -> None:
    system.workers = {"bulk": 1}
    system.start("bulk")
    system.account(system.provider())
    system.campaign()
    listed(system.folder / "list.csv")
    said = system.outbound("prospects", "import", "list.csv", "--campaign", "spring", "--background", "--json")
    look(system)
    eventually(lambda: imported(system).rows > 0, "the first lots are stored")
    system["bulk"].kill(children=True)
    assert imported(system).finished_at is None
    system.start("bulk")
    look(system)
    eventually(lambda: imported(system).finished_at is not None, "the list is stored")
    record = imported(system)
    assert str(record.id) == json.loads(said)["import"]
    assert (record.rows, record.new, record.rejected) == (ROWS, ROWS - ROWS // 100, ROWS // 100)
    with system.session() as session:
        assert session.scalar(select(func.count()).select_from(Prospect)) == record.new
        assert session.scalar(select(func.count()).select_from(FilePiece)) == 0
