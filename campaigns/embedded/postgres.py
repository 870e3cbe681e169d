"""One PostgreSQL cluster: made once, started, restarted after a crash.

The superuser has no password and only passwords are accepted, so nobody can log in as it: what only it may do is done
by Postgres's single-user mode while the server is down. The product's own role owns its database and may create others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from campaigns.embedded.installing import Programs
from campaigns.embedded.places import sync_directory
from campaigns.embedded.processes import end_orphan, is_alive, run, spawn

SETTINGS = {
    # Promises about calls are kept by what is committed here: given on the command line, nothing can undercut these.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may not be longer than 107 bytes; data directories may
    "password_encryption": "scram-sha-256",
    "max_connections": "200",  # web, five kinds of worker, commands and tests together
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    # A failed statement, its parameters and its detail name people: the client is told, the log is not.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass(slots=True)
class Postgres:
    """The cluster in `home`/postgres, and its server while that runs."""

    programs: Programs
    home: Path
    log: Path
    password: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    name = "PostgreSQL"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # fast: rolled back and written; then immediate: recovers next time

    @property
    def cluster(self) -> Path:
        """Where the data is."""
        return self.home / "postgres"

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://outbound:{self.password}@127.0.0.1:{self.port}/outbound"

    def initialise(self) -> None:
        """Make the cluster if there is none. Killed half way it leaves a draft, and the next time begins anew."""
        for leftover in self.home.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if self.cluster.exists():
            return
        draft = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.home))
        account = self.programs.account
        if account.is_other:
            os.chown(draft, account.uid, account.gid)
        command = [str(self.programs.initdb), f"--pgdata={draft}", "--username=postgres", "--auth=reject"]
        # Sorted by code point, the same on every machine, and still knowing upper and lower case beyond ASCII.
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        run(command, purpose="make the embedded database", account=account, log=self.log)
        self._administer(
            draft,
            f"CREATE ROLE outbound LOGIN CREATEDB PASSWORD '{self.password}'",
            "CREATE DATABASE outbound OWNER outbound",
        )
        draft.rename(self.cluster)
        sync_directory(self.home)

    def set_password(self) -> None:
        """Make the cluster accept `password`, while its server is down."""
        self._administer(self.cluster, f"ALTER ROLE outbound PASSWORD '{self.password}'")

    def _administer(self, cluster: Path, *statements: str) -> None:
        """Run `statements` as superuser. They travel by stdin: arguments can be read by everybody on the machine."""
        command = [str(self.programs.postgres), "--single", "-D", str(cluster), *_options(SETTINGS)]
        command += ["-c", "exit_on_error=on", "postgres"]
        given = "".join(f"{statement}\n" for statement in statements).encode()
        run(command, purpose="prepare the embedded database", account=self.programs.account, log=self.log, stdin=given)

    def end_orphan(self) -> None:
        """End a server that was left on our cluster, and keep a pid file of a dead one from misleading the next.

        After a restart of the machine the old number may be somebody else's, and Postgres would refuse to start. The
        file is not removed, because it also leads to the shared memory by which Postgres notices surviving backends:
        naming ourselves in it has it taken for stale, as a server never yields to its own parent.
        """
        pid_file = self.cluster / "postmaster.pid"
        lines = _lines(pid_file)
        if not lines or not lines[0].strip().isdigit():
            return
        pid = int(lines[0])
        end_orphan(pid, directory=self.cluster, signals=self.stop_signals)
        if is_alive(pid):
            with contextlib.suppress(FileNotFoundError):  # removed by the server that we ended just now
                descriptor = os.open(pid_file, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)  # its directory is not ours
                with os.fdopen(descriptor, "w") as file:
                    file.write("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    def start(self) -> None:
        """Start the server on `port`; it answers when `is_ready`."""
        access = self.home / "pg_hba.conf"  # here and not in the cluster, which belongs to the server's user
        access.write_text("host all outbound 127.0.0.1/32 scram-sha-256\n")
        access.chmod(0o644)  # no secret in it
        settings = {**SETTINGS, "port": str(self.port), "hba_file": str(access)}
        command = [str(self.programs.postgres), "-D", str(self.cluster), *_options(settings)]
        account, dies_with_us = self.programs.account, self.stop_signals[0]
        self.process = spawn(command, account=account, log=self.log, dies_with_us=dies_with_us)

    def is_ready(self) -> bool:
        """Whether the server takes connections: the eighth line of its pid file says so."""
        lines = _lines(self.cluster / "postmaster.pid")
        ours = self.process is not None and bool(lines) and lines[0].strip() == str(self.process.pid)
        return ours and len(lines) > 7 and lines[7].strip() == "ready"


def _options(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
