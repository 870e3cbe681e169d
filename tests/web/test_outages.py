"""The web process while a server is away, and what it writes about all that."""

from __future__ import annotations

import os
import re
import socket
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from campaigns import db
from campaigns.embedded import Servers
from campaigns.vapi.requests import SERVER_TIMEOUT_SECONDS
from tests.web.conftest import GUESSED, Web, message, plain, running, signed, with_accounts


def post(web: Web, kind: str = "status-ringing") -> int:
    body = message(kind, provider_id=str(uuid.uuid4()))
    return web.post(body, signed(body)).status_code


@pytest.mark.parametrize("redis_is", ["refusing", "silent"])
def test_without_redis_what_is_stored_is_answered_all_the_same(
    embedded: Servers, template: str, tmp_path: Path, redis_is: str
) -> None:
    with socket.socket() as hole, with_accounts(embedded, template) as database:
        hole.bind(("127.0.0.1", 0))
        if redis_is == "silent":
            hole.listen(16)  # accepts and never says a word: a connection to it waits for its timeout
        redis = f"redis://127.0.0.1:{hole.getsockname()[1]}/0"
        with running(database, redis, tmp_path) as web:
            # Redis is given 10 s to answer; were it waited for, the first of these would take longer than this.
            web.client.timeout = 5.0
            assert [post(web) for _ in range(20)] == [200] * 20
            assert web.count() == 20
            assert web.process.poll() is None


def test_without_the_database_nothing_is_acknowledged_and_afterwards_all_is_well(web: Web, embedded: Servers) -> None:
    assert post(web) == 200
    before = web.count()
    name = sql.Identifier(make_url(web.database).database or "")
    with psycopg.connect(plain(embedded.database_url, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [make_url(web.database).database],
        )
        assert [post(web) for _ in range(3)] == [503] * 3
        assert web.client.get(f"{web.address}/readyz").status_code == 503
        assert web.client.get(f"{web.address}/healthz").status_code == 200
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    assert web.client.get(f"{web.address}/readyz").status_code == 200
    assert post(web) == 200
    assert web.count() == before + 1


def test_nobodys_number_name_key_or_words_are_in_the_log(web: Web, embedded: Servers) -> None:
    provider_id = str(uuid.uuid4())
    body = message("report-completed", provider_id=provider_id)
    assert web.post(body, signed(body)).status_code == 200
    assert web.post(body, signed(body, secret=GUESSED)).status_code == 401
    assert web.post(body, signed(body), account="unset").status_code == 503
    assert web.post(body[:-9], signed(body[:-9])).status_code == 400
    with psycopg.connect(plain(web.database), autocommit=True) as connection:
        connection.execute("ALTER TABLE events ADD CONSTRAINT never CHECK (type <> 'end-of-call-report') NOT VALID")
        other = message("report-completed", provider_id=str(uuid.uuid4()))
        assert web.post(other, signed(other)).status_code == 503  # the database's own words quote the whole row
        connection.execute("ALTER TABLE events DROP CONSTRAINT never")
    log = web.log.read_text()
    assert "was not stored: IntegrityError" in log
    assert "the environment variable HOOK_NEVER_SET is not set" in log
    assert re.findall(r"\+?\d{11,}|Mirela|Larkspur|Tuesday|secret of|guessed|[A-Z]{3,}-[A-Z]{3,}", log) == []
    assert "Traceback" not in log


def test_a_database_whose_machine_vanished_is_given_up_before_the_sender_gives_us_up(web: Web) -> None:
    with db.engine(web.database).connect() as connection:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg.Connection)
        with socket.socket(fileno=os.dup(driver.fileno())) as wire:
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            # What was sent and is not acknowledged; what is waited for when nothing was sent.
            assert 0 < wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < SERVER_TIMEOUT_SECONDS * 1000
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < SERVER_TIMEOUT_SECONDS
