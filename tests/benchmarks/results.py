"""What a benchmark says, how it is printed, and the file it is kept in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """One figure of ours beside others of the same run; the first of the references is the one that it is judged by."""

    name: str
    unit: str
    kind: Literal["at_least", "at_most"]
    ours: float
    references: Mapping[str, float]
    aim: float

    @property
    def ratio(self) -> float:
        """How we stand to the first reference: more is better, whichever kind it is."""
        first = next(iter(self.references.values()))
        return self.ours / first if self.kind == "at_least" else first / self.ours

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "kind": self.kind,
            "ours": round(self.ours, 2),
            "references": {name: round(value, 2) for name, value in self.references.items()},
            "ratio": round(self.ratio, 3),
            "aim": self.aim,
            "met": self.ratio >= self.aim,
        }


def keep(results: Iterable[Result], file: Path) -> None:
    """Write the results into `file`, in place of those of the same names and beside the others."""
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    kept = {entry["name"]: entry for entry in before} | {result.name: result.as_json() for result in results}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(list(kept.values()), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def show(results: Iterable[Result]) -> None:
    """The results as a table, to stdout."""
    table = Table("benchmark", "ours", "beside", "ratio", "aim", "met")
    for result in results:
        shown = result.as_json()
        # A limit has no ratio of its own worth reading; a second peer has.
        peers = [
            f"{name} {value:,.1f}" + (f" (x{result.ours / value:.2f})" if result.kind == "at_least" else "")
            for name, value in result.references.items()
        ]
        table.add_row(
            result.name,
            f"{result.ours:,.1f} {result.unit}",
            "\n".join(peers),
            f"{result.ratio:.2f}",
            f"{result.aim:g}",
            "yes" if shown["met"] else "no",
        )
    Console(highlight=False, width=120).print(table)
