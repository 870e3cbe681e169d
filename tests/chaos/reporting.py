"""The report: a line for each case as it ends, and a file that is merged by name, so that a run can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Report:
    """`build/chaos.json`. A file of another size or seed is begun anew."""

    def __init__(self, path: Path, *, prospects: int, seed: int) -> None:
        self._path = path
        self._content: dict[str, Any] = {"prospects": prospects, "seed": seed, "cases": [], "guards_removed": []}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if (found["prospects"], found["seed"]) == (prospects, seed):
                self._content = found

    def has(self, case: str) -> bool:
        """Whether the case has passed."""
        return any(each["name"] == case and each["passed"] for each in self._content["cases"])

    def has_guard(self, guard: str) -> bool:
        """Whether the removal of the guard was caught."""
        return any(each["guard"] == guard and each["caught_by"] for each in self._content["guards_removed"])

    def add(self, result: Mapping[str, Any]) -> None:
        """Keep the row of a case in place of its earlier one."""
        self._merge("cases", "name", result)

    def add_guard(self, guard: str, caught_by: str | None) -> None:
        """Keep what caught a missing guard."""
        self._merge("guards_removed", "guard", {"guard": guard, "caught_by": caught_by})

    def _merge(self, table: str, key: str, result: Mapping[str, Any]) -> None:
        others = [each for each in self._content[table] if each[key] != result[key]]
        self._content[table] = [*others, dict(result)]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._content, indent=2) + "\n", encoding="utf-8")


def row(result: Mapping[str, Any]) -> str:
    """The case in one line, and what is wrong with it below."""
    figures = " ".join(f"{name} {result[name]:<4}" for name in ("double_calls", "lost", "over_limit", "review"))
    verdict = "passed" if result["passed"] else "FAILED"
    line = f"{result['name']:<39} {verdict}  {result['posts']:>6} posts  {figures} {result['seconds']:>6} s"
    return "\n".join([line, *(f"    {what}" for what in result["broken"]), *_logs(result)])


def _logs(result: Mapping[str, Any]) -> list[str]:
    return [f"    its logs: {result['logs']}"] if "logs" in result else []
