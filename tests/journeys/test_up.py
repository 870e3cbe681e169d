"""`outbound up` as people run it: it starts, it refuses to start twice, and whatever ends it, nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from campaigns.cli.processes import python
from campaigns.embedded import Servers
from tests.processes import NOT_OURS, PATIENCE, Process, descendants, eventually, free_port, is_running

UP = python("campaigns.cli.outbound", "up")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory, removed with what root keeps elsewhere for it."""
    data = tmp_path / "data"
    yield data
    note = data / "servers" / "elsewhere"
    if note.exists():
        shutil.rmtree(note.read_text().strip(), ignore_errors=True)


def environment(**more: str) -> dict[str, str]:
    ports = {"OUTBOUND_PORT": str(free_port()), "OUTBOUND_FLOWER_PORT": str(free_port())}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    return {**inherited, "PYTHONUNBUFFERED": "1", "COLUMNS": "500", **ports, **more}


def refusal(environment: dict[str, str], folder: Path) -> str:
    """The one line with which `up` refuses to start."""
    done = subprocess.run(
        UP, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def everything_of(up: Process, data: Path) -> list[int]:
    """Every process that was started: ours, and the embedded servers, which are nobody's children."""
    running = json.loads((data / "servers" / "running.json").read_text())
    return [up.pid, *descendants(up.pid), running["supervisor"], *descendants(running["supervisor"])]


def test_up_runs_once_and_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    settings = environment(OUTBOUND_DATA_DIR=str(data))
    up = Process("up", UP, settings, tmp_path)
    try:
        up.until_it_says("ready; Ctrl-C stops everything")
        assert httpx.get(f"http://127.0.0.1:{settings['OUTBOUND_PORT']}/readyz", trust_env=False).is_success
        line = refusal(environment(OUTBOUND_DATA_DIR=str(data)), tmp_path)
        assert line.startswith(f"outbound: `outbound up` already runs on this data (process {up.pid})")
        pids = everything_of(up, data)
        assert len(pids) > 20
        up.interrupt()
        assert up.wait() == 0
        assert [pid for pid in pids if is_running(pid)] == []
        assert "killed" not in up.said()
        assert "Traceback" not in up.said()

        up = Process("up", UP, settings, tmp_path)  # on the data that is there now
        up.until_it_says("flower ")
        up.interrupt()
        assert up.wait() == 0
        assert "ready;" not in up.said()  # somebody who changes their mind does not wait for the start

        up = Process("up", UP, settings, tmp_path)
        up.until_it_says("ready; Ctrl-C stops everything")
        pids = everything_of(up, data)
        up.kill()
        eventually(lambda: not any(is_running(pid) for pid in pids), "all of it has ended")
    finally:
        up.end()


@pytest.mark.parametrize("variable", ["OUTBOUND_PORT", "OUTBOUND_FLOWER_PORT"])
def test_a_taken_port_is_one_clear_line(variable: str, embedded: Servers, database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        servers = {"DATABASE_URL": database, "REDIS_URL": embedded.redis_url}
        line = refusal(environment(**servers, **{variable: port}), tmp_path)
    assert line == f"outbound: port {port} is taken: stop what listens there, or set {variable} to another one"
