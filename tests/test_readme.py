"""Every command and file of the README, run as a reader would, with the stand-in in Vapi's place."""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from campaigns.cli.outbound import app
from campaigns.rules.definition import CampaignDefinition, read_definition

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
OUTBOUND = Path(sys.executable).with_name("outbound")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Reader:
    """Somebody with a terminal, an empty directory and the README."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.web, self.provider = free_port(), free_port()
        self.environment = {
            "PATH": f"{OUTBOUND.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "OUTBOUND_PORT": str(self.web),
            "OUTBOUND_FLOWER_PORT": str(free_port()),
        }
        self.secrets = {"VAPI_API_KEY": "a-key", "VAPI_WEBHOOK_SECRET": "a-webhook-secret"}
        self.background: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> None:
        text = text.replace("https://api.vapi.ai", f"http://127.0.0.1:{self.provider}")
        text = text.replace("https://calls.example.com", f"http://127.0.0.1:{self.web}")
        (self.home / name).write_text(text, encoding="utf-8")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command.split(),
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def begin(self, command: str, ready: str, **exported: str) -> None:
        """Start `command` in another terminal and wait until it prints `ready`."""
        out = (self.home / f"terminal-{len(self.background)}.txt").open("w+", encoding="utf-8")
        process = subprocess.Popen(
            command.split(),
            cwd=self.home,
            env={**self.environment, **exported},
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.background.append(process)
        deadline = time.monotonic() + 90
        while ready not in Path(out.name).read_text(encoding="utf-8"):
            assert process.poll() is None, Path(out.name).read_text(encoding="utf-8")
            assert time.monotonic() < deadline, Path(out.name).read_text(encoding="utf-8")
            time.sleep(0.1)
        out.close()

    def leave(self) -> None:
        for process in reversed(self.background):
            process.send_signal(signal.SIGINT)
            process.wait(60)


def test_the_readme_shows_every_key_of_a_campaign() -> None:
    (text,) = (block for block in blocks("toml") if block.startswith("# everything.toml"))
    shown = tomllib.loads(text)
    read_definition(CampaignDefinition, shown, source="README")
    assert CampaignDefinition.model_fields.keys() - shown.keys() == {"assistant", "squad_id", "squad"}  # in its stead


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    somebody = Reader(tmp_path)
    yield somebody
    somebody.leave()


def test_a_reader_gets_from_three_files_to_outcomes(reader: Reader) -> None:
    for text in blocks("toml"):
        reader.write(text.split("\n", 1)[0].removeprefix("# ").strip(), text)
    (people,) = blocks("csv")
    reader.write("people.csv", people)
    (env,) = blocks("ini")
    assert env == "".join(f"{name}=...\n" for name in reader.secrets)
    reader.write(".env", "".join(f"{name}={value}\n" for name, value in reader.secrets.items()))
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("outbound ")]
    stand_in = commands.pop()
    assert stand_in == "outbound simulator --scenario rehearsal.toml --port 8099"
    reader.begin(stand_in.replace("8099", str(reader.provider)), "listening on", **reader.secrets)
    assert commands[0] == "outbound up"
    reader.begin("outbound up", "ready")
    outputs = {}
    for command in commands[1:]:
        done = reader.run(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs[command.split()[1] + " " + command.split()[2] if len(command.split()) > 2 else command] = done.stdout
    assert "3 rows: 2 new, 0 already there, 1 rejected" in outputs["prospects import"]
    assert "campaign spring is running" in outputs["campaign start"]
    assert outputs["outbound status"].startswith("nothing needs you\n")  # and when the next call is due
    with (reader.home / "people.rejected.csv").open(encoding="utf-8") as file:
        (rejected,) = csv.DictReader(file)
    assert (rejected["Name"], rejected["rejected_line"]) == ("Nobody", "4")
    with (reader.home / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == {"Dana Whitfield", "Omar Haddad"}


def test_every_command_that_the_readme_mentions_exists() -> None:
    mentioned = set(re.findall(r"`(outbound (?:[a-z-]+ ?)+)", PAGE))
    mentioned |= {line for block in blocks("sh") for line in block.splitlines() if "outbound " in line}
    assert len(mentioned) > 8
    for command in sorted(mentioned):
        found: Any = get_command(app)
        for word in command.split()[1:]:
            if not hasattr(found, "commands"):
                break  # what follows a command's own name is for it to read
            assert word in found.commands, command
            found = found.commands[word]


def test_the_make_targets_of_the_readme_are_the_makefiles_own() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = {line for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert wanted == {"make demo", "make test", "make chaos", "make bench"}
    for line in wanted:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_demo_runs_a_whole_campaign(tmp_path: Path) -> None:
    """What `make demo` calls, from nothing to its end."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLUMNS": "120"}
    done = subprocess.run(
        [OUTBOUND, "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "campaign demo is completed" in done.stdout
    results = tmp_path / "build" / "demo"
    with (results / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        people = list(csv.DictReader(file))
    with (results / "rejected.csv").open(encoding="utf-8-sig", newline="") as file:
        rejected = list(csv.DictReader(file))
    counted = re.search(r"(\d+) rows: (\d+) new, (\d+) already there, (\d+) rejected", done.stderr)
    assert counted is not None
    rows, new, already_there, refused = map(int, counted.groups())
    assert rows == new + already_there + refused == 203
    assert len(people) == new
    assert len(rejected) == refused
    final = {"completed", "exhausted", "refused", "suppressed", "expired"}
    assert {person["state"] for person in people} <= final | {"review"}
    assert sum(person["state"] == "completed" for person in people) > new / 2
    assert all(person["answers"] for person in people if person["state"] == "completed")
    assert {"GB", "FR", "DE", "AU", "CA", "US"} <= {person["country"] for person in people if person["calls"] != "0"}
    held = [person for person in people if person["state"] == "expired"]
    assert {person["reason"].split(": ")[1] for person in held} == {"unknown_zone", "no_rule"}
    assert (results / "outcomes.jsonl").read_text(encoding="utf-8").count("\n") == new
