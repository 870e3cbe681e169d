"""A PostgreSQL and a Valkey of one's own, which may be stopped, killed and started again under a running system."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from campaigns import db
from campaigns.cli.database import upgrade
from campaigns.embedded.installing import find_programs
from campaigns.embedded.postgres import Postgres
from campaigns.embedded.processes import stop
from campaigns.embedded.valkey import Valkey
from tests.processes import eventually, free_port

TEMPLATE = "outbound_template"
PASSWORD = "of-a-server-that-lives-for-one-run"  # noqa: S105 - loopback, and gone with the run


class Servers:
    """Both servers on ports that they keep. To be used from one thread: they die with the one that started them."""

    def __init__(self) -> None:
        # Root's servers run as somebody else, who must be able to walk here.
        self._home = Path(tempfile.mkdtemp(prefix="outbound-chaos-"))
        self._home.chmod(0o711)
        programs = find_programs()
        self.postgres = Postgres(programs, self._home, self._home / "postgres.log", PASSWORD)
        self.valkey = Valkey(programs, self._home, self._home / "valkey.log", PASSWORD)

    def __enter__(self) -> Self:
        for server in (self.postgres, self.valkey):
            server.initialise()
            server.port = free_port()
            self.start(server)
        self._maintain("postgres", sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        upgrade(self._url(TEMPLATE))
        db.engine(self._url(TEMPLATE)).dispose()
        db.forget()
        return self

    def __exit__(self, *_: object) -> None:
        stop([(server.process, server.stop_signals) for server in (self.postgres, self.valkey)])
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    def start(self, server: Postgres | Valkey) -> None:
        """Start it and return when it answers; one that runs is left alone."""

        def answers() -> bool:
            if server.process is None or server.process.poll() is not None:
                server.start()  # again, where the backends of a killed one were still on their way out
                time.sleep(0.1)
            return server.is_ready()

        eventually(answers, f"{server.name} answers")

    def end(self, server: Postgres | Valkey, how: signal.Signals) -> None:
        """Send it the signal and return when it has ended."""
        assert server.process is not None
        server.process.send_signal(how)
        server.process.wait()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of an empty database at head, there for as long as the block lasts."""
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        self._maintain("postgres", create)
        url = self._url(name)
        yield url
        db.engine(url).dispose()
        db.forget()
        self.start(self.postgres)
        self._maintain("postgres", sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _url(self, name: str) -> str:
        return make_url(self.postgres.url).set(database=name).render_as_string(hide_password=False)

    def _maintain(self, database: str, statement: sql.Composable) -> None:
        plain = make_url(self._url(database)).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(statement)
