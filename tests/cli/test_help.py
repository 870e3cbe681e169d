"""Every command explains itself, and its example is one that runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from campaigns.cli import outbound

ROOT = get_command(outbound.app)
TREE = Path(outbound.__file__).parents[2]


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command by its words, groups included."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


LEAVES = {path: command for path, command in walk(ROOT) if not hasattr(command, "commands")}


def examples(command: Any) -> list[str]:
    return re.findall(r"^Example: (outbound .+)$", command.help or "", re.MULTILINE)


def test_no_command_waits_for_what_only_another_needs_to_be_imported() -> None:
    slow = {"alembic", "celery", "fastapi", "liquid", "openpyxl", "redis", "uvicorn"}
    code = "import sys, campaigns.cli.outbound; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=TREE, capture_output=True, text=True, check=True)
    assert slow & {*done.stdout.split()} == set()


def test_the_nouns_and_verbs_are_all_there() -> None:
    assert {" ".join(path) for path in LEAVES} == {
        *("up", "demo", "simulator", "status", "freeze", "unfreeze", "audit", "db upgrade"),
        *("accounts apply", "accounts list", "accounts show"),
        *(f"campaign {verb}" for verb in ("apply", "start", "pause", "resume", "cancel", "list", "show")),
        *("campaign preflight", "calls list", "calls review", "calls hang-up", "calls reconcile"),
        *(
            "prospects import",
            "prospects imports",
            "prospects rejected",
            "prospects list",
            "prospects trace",
            "outcomes export",
        ),
        *(f"suppressions {verb}" for verb in ("add", "import", "remove", "list")),
        *(f"rules {verb}" for verb in ("list", "show", "apply", "remove")),
        *(f"events {verb}" for verb in ("list", "retry", "dismiss", "counts")),
    }


@pytest.mark.parametrize("path", [path for path, _ in walk(ROOT)], ids=" ".join)
def test_every_command_and_every_option_has_help(path: tuple[str, ...]) -> None:
    command = dict(walk(ROOT))[path]
    assert command.help
    if path in LEAVES:
        assert len(examples(command)) == 1, command.help
        undocumented = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
        assert undocumented == []


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_example_is_understood_by_its_own_command(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    for each, command in LEAVES.items():
        monkeypatch.setattr(command, "callback", lambda *, each=each, **_: ran.append(each))
    (example,) = examples(LEAVES[path])
    words = shlex.split(example)
    assert words[0] == "outbound"
    ROOT.main(args=words[1:], prog_name="outbound", standalone_mode=False)
    assert ran == [path]


def test_every_command_that_a_message_recommends_exists() -> None:
    recommended = {
        (path.name, words)
        for path in Path(outbound.__file__).parents[1].rglob("*.py")
        for words in re.findall(r"`outbound ([a-z][a-z-]*(?: [a-z][a-z-]*)*)", path.read_text(encoding="utf-8"))
    }
    assert len(recommended) > 5
    known = {path for path, _ in walk(ROOT) if path}
    unknown = [(file, words) for file, words in recommended if tuple(words.split()) not in known]
    assert unknown == []


def test_what_results_in_data_can_be_had_as_json() -> None:
    without = {
        " ".join(path)
        for path, command in LEAVES.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == {
        "up",
        "demo",
        "simulator",
        "db upgrade",
        "outcomes export",
        "prospects rejected",
    }  # an export has --format jsonl


def test_a_group_alone_shows_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("accounts", "campaign", "prospects", "calls", "outcomes", "db"):
        with pytest.raises((SystemExit, typer.Exit)):
            ROOT.main(args=[name, "--help"], prog_name="outbound")
        shown = capsys.readouterr().out
        assert "Commands:" in shown
