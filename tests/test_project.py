"""The project, tested against itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from pkgutil import iter_modules

import pytest

from campaigns.settings import Settings
from workers.timetable import TICKS

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("campaigns", "workers", "migrations") for path in sorted((ROOT / folder).rglob("*.py"))]
PURE = [path for path in SOURCES if {"rules", "pipeline", "ledger", "facts"} & set(path.parts)]


def calls_in(path: Path) -> list[str]:
    """The names that are called in a file, such as `session.commit`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_stages_and_rules_neither_commit_nor_read_the_clock() -> None:
    assert len(PURE) > 15
    forbidden = re.compile(r"(\.commit|\.rollback|(^|\.)(now|utcnow|today|time|monotonic)|uuid1|(^|\.)settings)$")
    found = [(path.name, name) for path in PURE for name in calls_in(path) if forbidden.search(name)]
    assert found == []


def test_nothing_but_the_migrations_commits_by_hand() -> None:
    found = {path.name for path in SOURCES if any(name.endswith(".commit") for name in calls_in(path))}
    assert found == {"env.py"}  # everybody else uses `transaction()`, which commits at the end of its block


def test_no_file_is_longer_than_it_should_be() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_every_task_says_what_happens_if_it_runs_twice() -> None:
    tasks = []
    for path in sorted((ROOT / "workers").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("app.task" in ast.unparse(d) for d in node.decorator_list):
                tasks.append(node.name)
                assert "twice" in (ast.get_docstring(node) or ""), node.name
    assert len(tasks) >= 8


def test_the_timetable_names_tasks_that_exist() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workers").glob("*.py"))
    for tick in TICKS:
        assert f'@app.task(name="{tick.task}"' in source
        assert tick.every_seconds > 0
    page = (ROOT / "workers" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r'@app\.task\(name="([^"]+)"', source))
    assert named == set(re.findall(r"\| `([a-z]+\.[a-z]+)` \|", page))


def test_the_readme_lists_every_stage_and_only_those() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    stages = {found.name for found in iter_modules([str(ROOT / "campaigns" / "pipeline")])}
    assert set(re.findall(r"^\| ([a-z]+ing) \|", page, re.MULTILINE)) == stages


def test_the_readme_links_to_files_that_exist() -> None:
    for page in (ROOT / "README.md", ROOT / "workers" / "README.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), target


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["embedded"],
        *project["dependency-groups"]["dev"],
    ]
    for requirement in wanted:
        name = re.split(r"[\[<>=]", requirement)[0]
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page), name


def test_the_example_environment_lists_every_setting() -> None:
    page = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = set(re.findall(r"^#?([A-Z][A-Z_]*)=", page, re.MULTILINE))
    fields = Settings.model_fields
    expected = {
        str(field.validation_alias) if field.validation_alias else f"OUTBOUND_{name.upper()}"
        for name, field in fields.items()
    }
    extra = {"FLOWER_BASIC_AUTH", "OUTBOUND_LOG_LEVEL", "POSTGRES_PASSWORD", "VAPI_API_KEY", "VAPI_WEBHOOK_SECRET"}
    assert listed == expected | extra


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_are_exact_and_hashed_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    pinned = re.findall(r"^([A-Za-z0-9._-]+)(\[[a-z,]+\])?==\S+", text, re.MULTILINE)
    assert len(pinned) > 40
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_development_lock_has_the_same_versions_as_the_other() -> None:
    def versions(lock: str) -> dict[str, str]:
        text = (ROOT / lock).read_text(encoding="utf-8")
        return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", text, re.MULTILINE))

    runtime, development = versions("requirements.lock"), versions("requirements-dev.lock")
    assert runtime.items() <= development.items()


def test_compose_runs_the_commands_that_up_runs() -> None:
    from campaigns.cli.up import WEB, WORKERS, worker_command

    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert f"command: [python, {', '.join(WEB[1:])}]" in compose
    for queue, processes in WORKERS.items():
        command = worker_command(queue, processes)[2:]  # without `python -m`
        listed = ", ".join(f'"{part}"' if part.isdigit() or "%" in part else part for part in command)
        assert f"command: [{listed}]" in compose, listed
