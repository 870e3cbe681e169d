"""What `make bench` says of its measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.results import Result, keep


@pytest.mark.parametrize(
    ("kind", "ours", "reference", "ratio", "met"),
    [("at_least", 50, 100, 0.5, "no"), ("at_least", 100, 100, 1, "yes"), ("at_most", 50, 100, 2, "yes")],
)
def test_more_is_better_whichever_kind_it_is(kind: str, ours: float, reference: float, ratio: float, met: str) -> None:
    result = Result("x", "ms", kind, ours, {"first": reference, "second": 1}, 1.0)  # type: ignore[arg-type]
    assert result.as_json() == {
        "name": "x",
        "unit": "ms",
        "kind": kind,
        "ours": ours,
        "references": {"first": reference, "second": 1},
        "ratio": ratio,
        "aim": 1.0,
        "met": met == "yes",
    }


def test_results_take_the_place_of_those_of_the_same_name_and_leave_the_others(tmp_path: Path) -> None:
    file = tmp_path / "build" / "bench.json"
    for ours, names in ((1.0, ("a", "b")), (2.0, ("b", "c"))):
        keep([Result(name, "s", "at_most", ours, {"limit": 1.0}, 1.0) for name in names], file)
    assert [(each["name"], each["ours"]) for each in json.loads(file.read_text())] == [("a", 1), ("b", 2), ("c", 2)]
