"""The web process as it runs in production: uvicorn, a real database, a real Redis, real HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from campaigns import clock, db
from campaigns.cli.up import WEB
from campaigns.embedded import Servers
from campaigns.pipeline import defining
from campaigns.rules.definition import AccountDefinition
from tests import databases

RECORDINGS = Path(__file__).parents[1] / "recordings"
SECRETS = {
    "HOOK_OLD": "secret of old",
    "HOOK_NEW": "secret of new",
    "HOOK_OTHER": "secret of the other",
    "HOOK_ENCODED": base64.b64encode(b"secret in base64").decode(),
}
GUESSED = "guessed"
HMAC = {"type": "hmac", "secret_env": ["HOOK_OLD", "HOOK_NEW"]}
ACCOUNTS: list[dict[str, Any]] = [
    {"name": "main", "webhook": [HMAC]},
    {"name": "other", "webhook": [{"type": "hmac", "secret_env": ["HOOK_OTHER"]}]},
    {"name": "unproven"},
    {"name": "encoded", "webhook": [{"type": "hmac", "secret_env": ["HOOK_ENCODED"], "secret_is_base64": True}]},
    {
        "name": "proxied",
        "public_url": "https://calls.example.com/base",
        "webhook": [{**HMAC, "payload_format": "{url}.{body}"}],
    },
]

LATECOMERS: list[dict[str, Any]] = [
    # No web process starts with these; they are applied while it runs.
    {"name": "unset", "webhook": [{"type": "bearer", "secret_env": ["HOOK_NEVER_SET"]}]},
    {"name": "odd", "webhook": [{**HMAC, "payload_format": "{timestamp}"}]},
]


@dataclass
class Web:
    """A running web process."""

    address: str
    database: str
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    def post(self, body: bytes, headers: Mapping[str, str], *, account: str = "main") -> httpx.Response:
        return self.client.post(f"{self.address}/webhooks/vapi/{account}", content=body, headers=dict(headers))

    def stored(self, provider_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Type and body of every stored event of that call."""
        with psycopg.connect(plain(self.database)) as connection:
            return connection.execute(
                "SELECT type, body FROM events WHERE provider_id = %s ORDER BY id", [provider_id]
            ).fetchall()

    def count(self) -> int:
        with psycopg.connect(plain(self.database)) as connection:
            row = connection.execute("SELECT count(*) FROM events").fetchone()
            assert row is not None
            return int(row[0])


def plain(url: str, database: str | None = None) -> str:
    address = make_url(url).set(drivername="postgresql")
    return (address.set(database=database) if database else address).render_as_string(hide_password=False)


def message(name: str, *, provider_id: str) -> bytes:
    """A recording about another call than the recorded one."""
    text = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8")
    recorded = json.loads(text)["message"]["call"]["id"]
    return text.replace(recorded, provider_id).encode()


def signed(body: bytes, *, secret: str = SECRETS["HOOK_OLD"], at: datetime | None = None) -> dict[str, str]:
    """The headers that Vapi's default HMAC credential sends."""
    stamp = str(int((at or datetime.now(UTC)).timestamp()))
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-signature": digest, "x-timestamp": stamp, "content-type": "application/json"}


@contextmanager
def running(
    database: str, redis: str, directory: Path, *, command: Sequence[str] = WEB, **environment: str
) -> Iterator[Web]:
    """The web process, answering, with its log in `directory`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = directory / f"web-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "DATABASE_URL": database,
                "REDIS_URL": redis,
                "OUTBOUND_PORT": str(port),
                **environment,
                **SECRETS,
            },
        )
    web = Web(f"http://127.0.0.1:{port}", database, process, log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if web.client.get(f"{web.address}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield web
    finally:
        web.client.close()
        process.terminate()
        process.wait(20)


def apply(url: str, accounts: list[dict[str, Any]]) -> None:
    """Apply account files."""
    engine = db.connect(url, pool_size=1)
    with db.Session(engine) as session, session.begin():
        moment = clock.read(session)
        for values in accounts:
            definition = AccountDefinition.model_validate({"key_env": "VAPI_API_KEY", **values})
            defining.apply_account(session, definition, who="test", now=moment.now, real=moment.real)
    engine.dispose()


@contextmanager
def with_accounts(embedded: Servers, template: str) -> Iterator[str]:
    """A database with the accounts in it."""
    with databases.database(embedded.database_url, template=template) as url:
        apply(url, ACCOUNTS)
        yield url


@pytest.fixture(scope="module")
def web(embedded: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web process for one file of tests."""
    with (
        with_accounts(embedded, template) as database,
        running(database, embedded.redis_url, tmp_path_factory.mktemp("web")) as started,
    ):
        apply(database, LATECOMERS)
        yield started


@pytest.fixture
def report() -> tuple[str, bytes]:
    """The report of a call that no other test knows: the provider's id of the call, and the body."""
    provider_id = str(uuid.uuid4())
    return provider_id, message("report-completed", provider_id=provider_id)
