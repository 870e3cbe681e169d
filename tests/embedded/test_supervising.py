"""Ends of every kind, and what they leave behind for the next start."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis

from campaigns import embedded
from campaigns.embedded import places, processes, supervising
from campaigns.errors import SetupError


def test_ctrl_c_leaves_the_servers_to_whoever_still_has_something_to_do(person, data, gone):
    command = person.start(data)
    found = command.found()
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.says() == "interrupted"
    found.keep()
    assert found.pings()
    pids = data.pids()
    assert {os.getpgid(pid) for pid in pids}.isdisjoint({command.process.pid})
    command.leave()
    assert gone(pids)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_servers_of_a_killed_command_stop_and_lose_nothing(person, data, until, gone, end):
    command = person.start(data)
    number = command.found().keep()
    pids = data.pids()
    command.process.send_signal(end)
    until(lambda: gone(pids))
    command.kill()
    with person.using(data) as found:
        assert found.has(number)


@pytest.mark.skipif(not processes.LINUX, reason="elsewhere they are ended by the next supervisor")
def test_a_killed_supervisor_leaves_no_orphans(person, data, until, gone):
    command = person.start(data)
    number = command.found().keep()
    pids = data.pids()
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: gone(pids))
    with person.using(data) as found:  # while the first one still believes that it has servers
        assert found.has(number)
        command.leave()
        assert found.pings()


def test_after_everything_was_killed_at_once_the_database_recovers(person, data):
    command = person.start(data)
    number = command.found().keep()
    pids = data.pids()
    for end in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that nobody can tidy up
        for pid in pids:
            os.kill(pid, end)
    command.kill()
    assert (data.home / "postgres" / "postmaster.pid").exists()
    with person.using(data) as found:
        assert found.has(number)
    assert "automatic recovery in progress" in data.log("postgres")


def test_the_database_waits_for_what_survived_a_killed_one(person, data, until):
    command = person.start(data)
    number = command.found().keep()
    pids, postmaster = data.pids(), data.running()["pids"]["PostgreSQL"]
    survivor = pids[-1]  # one of Postgres's own: it still has the shared memory, and might write
    os.kill(survivor, signal.SIGSTOP)
    for pid in (pids[0], postmaster):
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
    following = person.start(data)
    until(lambda: supervising.NOT_YET in data.log("postgres"))
    os.kill(survivor, signal.SIGKILL)
    assert following.found().has(number)


def test_a_server_that_was_killed_comes_back_where_it_was(person, data, until):
    with person.using(data) as found:
        number = found.keep()
        before = data.running()
        for pid in before["pids"].values():
            os.kill(pid, signal.SIGKILL)

        def is_back():
            try:
                return found.has(number) and found.pings()
            except (psycopg.OperationalError, redis.ConnectionError):
                return False

        until(is_back)
        until((data.desk / "running.json").exists)
        after = data.running()
        assert [name for name in before if after[name] != before[name]] == ["pids"]


def test_a_supervisor_told_to_end_stops_both_cleanly(person, data, until, gone):
    command = person.start(data)
    command.found()
    pids = data.pids()
    os.kill(pids[0], signal.SIGTERM)
    until(lambda: gone(pids))
    assert not (data.home / "postgres" / "postmaster.pid").exists()
    command.leave()


def test_nobody_joins_from_the_moment_of_deciding_to_leave(tmp_path):
    path = places.open_desk(tmp_path).users_lock
    users = [places.try_lock(path, shared=True) for _ in range(2)]
    supervisor = supervising._UsersLock(path)
    for user in users:
        assert not supervisor.have_left()
        os.close(user)
    assert supervisor.have_left()
    assert places.try_lock(path, shared=True) is None
    os.close(supervisor._descriptor)


def test_a_deleted_data_directory_stops_its_servers(person, another, until, gone):
    command = person.start(another)
    command.found()
    pids = another.pids()
    assert another.home.exists()
    subprocess.run(["/bin/rm", "-rf", str(another.path)], check=False)  # as people do, while the servers tidy up, too
    until(lambda: gone(pids))
    command.leave()


def test_a_stale_pid_file_that_names_a_stranger_harms_neither(person, data):
    with person.using(data) as found:
        number = found.keep()
    cluster = data.home / "postgres"
    owner = cluster.stat()  # Postgres believes only in processes of its own user
    other = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/bin/sleep", "60"], **other) as stranger:
        pid_file = cluster / "postmaster.pid"
        pid_file.write_text(
            f"{stranger.pid}\n{cluster}\n1700000000\n5432\n\n127.0.0.1\n   123456    654321\nready   \n"
        )
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        (data.home / "valkey.pid").write_text(str(stranger.pid))
        with person.using(data) as found:
            assert found.has(number)
        assert stranger.poll() is None
        stranger.kill()


def test_servers_left_by_a_supervisor_are_ended_before_new_ones_start(own_data):
    # Started from this process, which does not die: so it is where the kernel does not end them for us.
    pair = supervising._prepare(places.open_desk(own_data.path))
    supervising._bring_up(pair, lambda: False)
    left = [server.process for server in pair]
    os.close(places_lock_of(own_data.home))
    reapers = [threading.Thread(target=process.wait) for process in left]
    for reaper in reapers:
        reaper.start()
    with embedded.servers(own_data.path) as found, redis.Redis.from_url(found.redis_url) as client:
        assert client.ping()
        for reaper in reapers:
            reaper.join()
        assert [process.returncode for process in left] == [0, 0]


def test_a_database_whose_making_was_killed_is_made_anew(person, another):
    (another.home / "postgres").rename(another.home / "postgres.new-halfway")
    (another.home / "postgres.new-halfway" / "PG_VERSION").unlink()
    with person.using(another) as found:
        found.keep()
    assert not (another.home / "postgres.new-halfway").exists()


def test_lost_passwords_are_replaced_and_the_data_kept(person, data):
    with person.using(data) as found:
        number = found.keep()
    (data.desk / "secrets.json").unlink()
    for _ in range(2):
        with person.using(data) as found:
            assert found.has(number)


def test_a_port_lost_to_another_is_exchanged(own_data, monkeypatch):
    free_port = supervising._free_port
    pair = supervising._prepare(places.open_desk(own_data.path))
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        offered = [taken, taken]
        monkeypatch.setattr(supervising, "_free_port", lambda: offered.pop() if offered else free_port())
        stack.callback(lambda: processes.stop([(server.process, server.stop_signals) for server in pair]))
        supervising._bring_up(pair, lambda: False)
        assert offered == []
        assert all(server.is_ready() and server.port != taken for server in pair)


def test_a_database_that_cannot_start_is_one_line_with_the_reason_and_the_log(person, another):
    (another.home / "postgres" / "PG_VERSION").write_text("12\n")
    command = person.start(another)
    answer = json.loads(command.says())
    command.kill()
    assert answer["error"] == "ServerUnavailable"
    assert answer["message"].startswith("PostgreSQL does not start: ")
    assert "incompatible with server" in answer["message"]
    assert answer["message"].endswith(f"its log is {another.desk / 'postgres.log'}")
    assert "\n" not in answer["message"]


def test_a_data_directory_that_cannot_be_made_is_a_setup_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"cannot use .*set OUTBOUND_DATA_DIR"):
        places.open_desk(tmp_path / "file" / "data")


def places_lock_of(home: Path) -> int:
    """Our descriptor of the home's lock, which a supervisor keeps until it ends."""
    lock = (home / "in-use.lock").stat()
    return next(number for number in map(int, os.listdir("/dev/fd")) if is_file(number, lock))  # noqa: PTH208 - names only


def is_file(descriptor: int, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file)
    except OSError:  # the listing itself had one
        return False
