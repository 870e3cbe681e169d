"""A ledger that was restored or failed over has forgotten calls: nothing is dialled before somebody looked."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.cli.database import upgrade
from campaigns.embedded import servers
from campaigns.embedded.installing import find_programs
from campaigns.embedded.processes import run
from campaigns.models import Change, Home
from campaigns.pipeline import halting
from tests import factories
from tests.processes import eventually


def move_away(session: Session, **values: object) -> None:
    """Let the ledger believe that it lived elsewhere."""
    home = session.get_one(Home, 1)
    for name, value in values.items():
        setattr(home, name, value)
    session.flush()


def test_a_ledger_remembers_where_it_was_first_used_and_stays_at_home(session: Session, now: datetime) -> None:
    factories.campaign(session, now)
    assert halting.moved(session) is None
    assert halting.guard_home(session, now=now) == []
    home = session.get_one(Home, 1)
    assert (home.timeline, home.known_since, str(home.system_id).isdigit()) == (1, now, True)
    assert halting.guard_home(session, now=now) == []
    assert halting.moved(session) is None


@pytest.mark.parametrize(
    ("elsewhere", "said"),
    [
        ({"system_id": "7"}, "in another server than before"),
        ({"timeline": 7}, "in another timeline than before"),
        ({"database_id": 7}, "in another database than before"),
        ({"system_id": "7", "database_id": 7}, "in another server and another database than before"),
    ],
)
def test_elsewhere_every_account_is_frozen_with_the_reason_until_it_is_accepted(
    session: Session, now: datetime, elsewhere: dict[str, object], said: str
) -> None:
    main, other = factories.account(session, now), factories.account(session, now, name="other")
    other.frozen_at, other.frozen_why = now, "lunch"
    halting.guard_home(session, now=now)
    move_away(session, **elsewhere)
    assert halting.guard_home(session, now=now) == ["main"]
    assert said in str(main.frozen_why)
    assert other.frozen_why == "lunch"
    assert halting.guard_home(session, now=now) == []
    assert said in str(halting.moved(session))
    halting.accept_home(session, who="dana", why="reconciled", now=now)
    assert halting.moved(session) is None
    (change,) = session.scalars(select(Change).where(Change.subject == "database"))
    assert (change.who, change.what, change.why) == ("dana", "accept", "reconciled")
    assert {name: (change.before or {})[name] for name in elsewhere} == elsewhere


def test_what_could_not_be_asked_before_is_remembered_once_it_can(session: Session, now: datetime) -> None:
    halting.guard_home(session, now=now)
    home = session.get_one(Home, 1)
    known = home.system_id
    move_away(session, system_id=None, timeline=None)
    assert halting.moved(session) is None
    halting.guard_home(session, now=now)
    assert (home.system_id, home.timeline) == (known, 1)


def is_recovering(url: str) -> bool:
    with db.transaction(url) as session:
        return bool(session.scalar(select(func.pg_is_in_recovery())))


def cluster_of(data: Path) -> Path:
    note = data / "servers" / "elsewhere"
    home = Path(note.read_text(encoding="utf-8").strip()) if note.exists() else data / "servers"
    return home / "postgres"


def test_a_restart_stays_at_home_a_recovery_does_not_and_what_may_not_be_asked_is_said_once(
    tmp_path: Path, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    def look() -> tuple[str | None, Home]:
        with servers(tmp_path) as running:
            eventually(lambda: not is_recovering(running.database_url), "its log is replayed")
            upgrade(running.database_url)
            with db.transaction(running.database_url) as session:
                halting.guard_home(session, now=now)
                found = halting.moved(session), session.get_one(Home, 1)
            db.engine(running.database_url).dispose()
            db.forget()
        return found

    assert look()[0] is None
    why, home = look()
    assert (why, home.timeline) == (None, 1)
    cluster = cluster_of(tmp_path)
    programs = find_programs()
    run(
        [str(programs.postgres), "--single", "-D", str(cluster), "outbound"],
        purpose="take a permission",
        account=programs.account,
        log=tmp_path / "single.log",
        stdin=b"REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC\n",
    )
    with caplog.at_level(logging.WARNING):
        why, home = look()
    assert (why, str(home.system_id).isdigit()) == (None, True)
    assert [record.getMessage().count("may not ask pg_control_system()") for record in caplog.records] == [1]
    with (cluster / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.write("restore_command = 'false'\n")
    signal = cluster / "recovery.signal"
    signal.touch()
    owner = cluster.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)
    why, home = look()
    assert "in another timeline than before" in str(why)
    assert home.timeline == 1
