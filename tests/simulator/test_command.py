"""`outbound simulator` as a command, and the bare process."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from campaigns.cli.simulator import simulator as command
from campaigns.simulator.scenario import load_scenario


def _run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_help_carries_an_example() -> None:
    result = _run("--help")
    assert result.exit_code == 0
    assert "outbound simulator --port 8099" in re.sub(r"\s+", " ", result.output)


def test_the_example_scenario_is_printed_and_can_be_used(tmp_path: Path) -> None:
    result = _run("--example")
    assert result.exit_code == 0
    file = tmp_path / "printed.toml"
    file.write_text(result.stdout)
    assert load_scenario(file, {}).people["+14155550123"].faults == ("accept_then_reset", "none")


def test_secrets_are_read_from_the_dotenv_file_and_the_environment_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenario.toml").write_text('key = "env:REHEARSAL_KEY"\n[credentials]\nc = "env:REHEARSAL_SECRET"\n')
    result = _run("--scenario", "scenario.toml", "--port", "70000")
    assert "REHEARSAL_KEY is not set" in result.stderr
    (tmp_path / ".env").write_text("REHEARSAL_KEY=written\nREHEARSAL_SECRET=written\n")
    result = _run("--scenario", "scenario.toml", "--port", "70000")
    assert "--port 70000 cannot be" in result.stderr
    monkeypatch.setenv("REHEARSAL_SECRET", "")
    result = _run("--scenario", "scenario.toml", "--port", "70000")
    assert "REHEARSAL_SECRET is not set" in result.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])  # noqa: S104 - must be refused
def test_a_host_that_lets_others_in_is_refused(host: str) -> None:
    result = _run("--host", host, "--port", "70000")  # impossible, so that a lost guard ends the test, not hangs it
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "loopback" in result.stderr


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = _run("--port", str(port))
    assert result.exit_code == 1
    assert result.stderr == f"port {port} on 127.0.0.1 is in use; stop what uses it or give another --port\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "0"], "--speed 0 cannot be"),
        (["--origin", "tomorrow"], "--origin 'tomorrow' cannot be used; give an ISO 8601 moment"),
        (["--started", "2026-01-01T00:00:00"], "with its offset"),
        (["--port", "70000"], "--port 70000 cannot be"),
        (["--scenario", "nowhere.toml"], "nowhere.toml: cannot be read"),
    ],
)
def test_a_wrong_option_is_one_clear_line(arguments: list[str], message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_listens_and_ends_well_when_told_to(told: signal.Signals) -> None:
    program = "import typer; from campaigns.cli.simulator import simulator; typer.run(simulator)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"simulator listening on http://127\.0\.0\.1:\d+\n", process.stdout.readline())
        process.send_signal(told)
        _, complaints = process.communicate(timeout=15)
    assert process.returncode == 0
    assert complaints == ""


def test_a_process_with_hanging_answers_still_ends_well(start: Any, wait_until: Any) -> None:
    own = start()
    own.set(post_faults={"accept_then_hang": 1, "hang_seconds": 3600})
    host, port = own.url.removeprefix("http://").split(":")
    body = json.dumps(own.body()).encode()
    head = (
        f"POST /call HTTP/1.1\r\nhost: x\r\nauthorization: Bearer simulator-key\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as waiting:
        waiting.sendall(head.encode() + body)
        wait_until(lambda: own.ledger()["totals"]["accepted"], "the call is accepted")
        own.process.terminate()
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
    assert own.process.wait(timeout=15) == 0


def test_the_simulator_shares_no_code_with_the_rest() -> None:
    program = "import sys, campaigns.simulator.__main__; print(*sorted(n for n in sys.modules if n[:9] == 'campaigns'))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if not name.startswith("campaigns.simulator")] == ["campaigns"]
