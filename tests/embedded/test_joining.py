"""What a command finds, and many commands at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
import redis

from campaigns import embedded
from campaigns.embedded import places, processes, sole_runner
from campaigns.errors import SetupError


def test_what_was_kept_is_there_again_and_nothing_runs_in_between(person, data, gone):
    with person.using(data) as found:
        number = found.keep()
        assert found.pings()
        pids = data.pids()
    assert gone(pids)
    assert not (data.desk / "running.json").exists()
    with person.using(data) as found:
        assert found.has(number)
    assert "automatic recovery in progress" not in data.log("postgres")


def test_what_is_committed_is_durable_and_the_database_is_as_production_has_it(person, data):
    with person.using(data) as found, found.connect() as connection:
        expected = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "TimeZone": "UTC",
            "listen_addresses": "127.0.0.1",
            "password_encryption": "scram-sha-256",
            "server_encoding": "UTF8",
            "is_superuser": "off",
        }
        assert {name: connection.execute(f"SHOW {name}").fetchone() for name in expected} == {
            name: (value,) for name, value in expected.items()
        }
        assert connection.info.server_version // 10000 == 18
        described = (
            "SELECT pg_get_userbyid(datdba), datlocprovider, datlocale FROM pg_database WHERE datname = 'outbound'"
        )
        assert connection.execute(described).fetchone() == ("outbound", "b", "C.UTF-8")
        connection.execute("SELECT system_identifier FROM pg_control_system()")  # compared after a restore
        connection.execute("CREATE DATABASE copied TEMPLATE outbound")  # tests copy a migrated one
        connection.execute("DROP DATABASE copied")
        with found.redis() as client:
            assert client.config_get("save") == {"save": ""}
            assert client.config_get("appendonly") == {"appendonly": "no"}


@pytest.mark.skipif(not processes.LINUX, reason="reads /proc")
def test_the_servers_listen_on_loopback_alone_and_no_process_shows_a_password(person, data):
    with person.using(data):
        ours = [Path(f"/proc/{pid}") for pid in data.pids()]
        sockets = {link.readlink().name for process in ours for link in (process / "fd").iterdir() if link.is_symlink()}
        tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
        entries = [line.split() for table in tables for line in table]
        listening = [entry[1] for entry in entries if entry[3] == "0A" and f"socket:[{entry[9]}]" in sockets]
        assert [address.split(":")[0] for address in listening] == ["0100007F", "0100007F"]

        shown = b"".join((process / name).read_bytes() for process in ours for name in ("cmdline", "environ"))
        assert b"postgres" in shown
        logs = "".join(data.log(name) for name in ("postgres", "valkey", "supervisor"))
        for password in json.loads((data.desk / "secrets.json").read_text()).values():
            assert len(password) >= 32
            assert password.encode() not in shown
            assert password not in logs
        for private in ("secrets.json", "running.json", "postgres.log", "valkey.log", "supervisor.log"):
            assert (data.desk / private).stat().st_mode & 0o777 == 0o600


def test_without_the_password_nobody_gets_in(person, data):
    with person.using(data) as found:
        passwords = json.loads((data.desk / "secrets.json").read_text())
        as_superuser = found.dsn.replace("outbound:", "postgres:")
        for refused in (found.dsn.replace(passwords["postgres"], "guessed"), as_superuser):
            with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no pg_hba.conf entry"):
                psycopg.connect(refused, connect_timeout=5)
        guessed = redis.Redis.from_url(found.redis_url.replace(passwords["valkey"], "guessed"))
        with guessed, pytest.raises(redis.AuthenticationError):
            guessed.ping()


def test_a_failed_statement_leaves_nothing_about_people_in_the_log(person, data):
    with person.using(data) as found, found.connect() as connection:
        connection.execute("CREATE TEMP TABLE person (phone text PRIMARY KEY)")
        connection.execute("INSERT INTO person VALUES ('+15550100001')")
        with pytest.raises(psycopg.errors.UniqueViolation, match=r"\+15550100001"):
            connection.execute("INSERT INTO person VALUES ('+15550100001')")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="15550100001x"):
            connection.execute("SELECT '15550100001x'::bigint")
    assert "15550100001" not in data.log("postgres")


def test_what_the_user_closed_stays_closed(person, data):
    data.path.chmod(0o700)
    before = person.checkout.stat().st_mode
    with person.using(data):
        pass
    assert [path.stat().st_mode & 0o777 for path in (data.path, data.path.parent)] == [0o700, 0o700]
    assert person.checkout.stat().st_mode == before


def test_two_data_directories_know_nothing_of_each_other(person, data, another):
    with person.using(data) as found, person.using(another) as other:
        ours, theirs = found.keep(), other.keep()
        assert (found.has(ours), found.has(theirs), other.has(ours), other.has(theirs)) == (True, False, False, True)
        with found.redis() as our_redis, other.redis() as their_redis:
            our_redis.set("key", "value")
            assert their_redis.get("key") is None


def test_commands_that_start_together_share_one_pair_until_the_last_has_left(person, new, gone):
    commands = [person.start(new) for _ in range(4)]
    found = [command.found() for command in commands]
    assert len(set(found)) == 1
    pids = new.pids()
    for command in commands:
        assert found[0].pings()
        found[0].keep()
        command.leave()
    assert gone(pids)


def test_who_joins_while_another_leaves_ends_with_live_servers(own_data):
    failures = []
    pauses = (0.0, 0.05, 0.1, 0.13, 0.2)  # around the moment at which the servers of the last user stop

    def come_and_go(shift):
        try:
            for turn in range(5):
                with embedded.servers(own_data.path) as found:
                    dsn = found.database_url.replace("+psycopg", "")
                    with psycopg.connect(dsn, connect_timeout=5) as connection:
                        connection.execute("SELECT 1")
                    with redis.Redis.from_url(found.redis_url) as client:
                        assert client.ping()
                time.sleep(pauses[(turn + shift) % len(pauses)])
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=come_and_go, args=[shift]) for shift in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_who_comes_while_the_servers_stop_waits_for_new_ones(own_data):
    stopping = places.try_lock(places.open_desk(own_data.path).users_lock)  # as the supervisor holds it to its end
    found = []

    def join():
        with embedded.servers(own_data.path) as servers, redis.Redis.from_url(servers.redis_url) as client:
            found.append(client.ping())

    thread = threading.Thread(target=join)
    thread.start()
    thread.join(0.3)
    assert found == []
    os.close(stopping)
    thread.join()
    assert found == [True]


def test_one_outbound_up_for_each_data_directory(tmp_path):
    with sole_runner(tmp_path):
        with pytest.raises(SetupError) as refused, sole_runner(tmp_path):
            pass
        assert str(refused.value) == (
            f"`outbound up` already runs on this data (process {os.getpid()}); stop it first, "
            "or set OUTBOUND_DATA_DIR to another directory"
        )
        with sole_runner(tmp_path / "another"):
            pass
    with sole_runner(tmp_path):
        pass


def test_a_killed_outbound_up_does_not_block_the_next(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path; from campaigns.embedded import sole_runner\n"
        "with sole_runner(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    checkout = Path(embedded.__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=checkout) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SetupError, match=rf"\(process {holder.pid}\)"), sole_runner(tmp_path):
            pass
        holder.kill()
    with sole_runner(tmp_path):
        pass
