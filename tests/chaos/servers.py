"""A PostgreSQL and a Valkey of one's own, which may be stopped, killed and started again under a running system."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from campaigns import db
from campaigns.cli.database import upgrade
from campaigns.embedded.installing import find_programs
from campaigns.embedded.postgres import Postgres
from campaigns.embedded.processes import stop
from campaigns.embedded.valkey import Valkey
from tests import databases
from tests.processes import eventually, free_port

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
        upgrade(self.postgres.url)
        db.engine(self.postgres.url).dispose()  # a database in use is not copied
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
        with databases.database(self.postgres.url, template=self.postgres.url) as url:
            yield url
            self.start(self.postgres)
