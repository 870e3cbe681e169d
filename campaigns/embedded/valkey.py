"""A Redis that keeps nothing: what it holds are hints, and they are made again from the database."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from campaigns.embedded.installing import Programs
from campaigns.embedded.processes import end_orphan, spawn

# It looks for signals at each tick: 20 ms at 50 Hz, so that a command that ends the servers ends soon.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
daemonize no
hz 50
set-proc-title no
"""


@dataclass(slots=True)
class Valkey:
    """The server with its working directory in `home`/valkey."""

    programs: Programs
    home: Path
    log: Path
    password: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    name = "Valkey"
    stop_signals = (signal.SIGTERM,)

    @property
    def directory(self) -> Path:
        """Where it works, and what its process is known by."""
        return self.home / "valkey"

    @property
    def pid_file(self) -> Path:
        """Written by us, in a directory that is ours."""
        return self.home / "valkey.pid"

    @property
    def url(self) -> str:
        """For redis-py and Celery."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def initialise(self) -> None:
        """Make its directory if there is none."""
        if not self.directory.exists():
            self.directory.mkdir(mode=0o700)
        if self.programs.account.is_other:
            os.chown(self.directory, self.programs.account.uid, self.programs.account.gid)

    def end_orphan(self) -> None:
        """End a server that a killed supervisor left."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            end_orphan(int(self.pid_file.read_text()), directory=self.directory, signals=self.stop_signals)

    def start(self) -> None:
        """Start the server on `port`; it answers when `is_ready`."""
        # From stdin, as arguments can be read by everybody; the directory is an argument for `end_orphan` to see.
        command = [str(self.programs.valkey), "-", "--dir", str(self.directory)]
        configuration = CONFIGURATION.format(port=self.port, password=self.password).encode()
        self.process = spawn(
            command, account=self.programs.account, log=self.log, dies_with_us=self.stop_signals[0], stdin=configuration
        )
        self.pid_file.write_text(str(self.process.pid))

    def is_ready(self) -> bool:
        """Whether it lets us in and answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (chunk := connection.recv(1024)):
                    answer += chunk
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"
