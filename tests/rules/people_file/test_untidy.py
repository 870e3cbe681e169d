"""Files as people have them, each beside what is to become of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from campaigns.rules.definition import Mapping_
from campaigns.rules.people_file import read_table, survey
from campaigns.rules.people_file.columns import choose
from campaigns.rules.people_file.people import Candidate, Lot, Reader, read_lot

FOLDER = Path(__file__).parent / "untidy"
FILES = sorted(path for path in FOLDER.iterdir() if not path.name.endswith(".expected.json"))


def read(path: Path, region: str) -> tuple[dict[str, Any], Lot]:
    """How the file is written, and its rows."""
    with path.open("rb") as file:
        shape = survey(file).shape
        table = read_table(file, shape)
        rows = list(table.rows)
    cells = [row.cells for row in rows if row.problem is None]
    columns = choose(table.header, Mapping_(), sample=cells, default_region=region)
    reader = Reader(columns, region, overridable=frozenset({"firstMessage"}))
    found = {name: value for name, value in asdict(shape).items() if value is not None}
    return found, read_lot(reader, rows)


def seen(who: Candidate, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is known of somebody, as far as it is asked about."""
    found = who._asdict() | {"phone": who.number, "states": sorted(who.states), "zones": sorted(who.zones)}
    found["not_before"] = who.not_before and who.not_before.isoformat()
    if who.consent is not None:
        source, moment, proof, level, until = who.consent
        found["consent"] = [source, moment and moment.isoformat(), proof]
        found["consent_level"], found["consent_expires"] = level, until and until.isoformat()
    return {name: found[name] for name in wanted}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_untidy_file_is_read_as_its_owner_means_it(path: Path) -> None:
    expected = json.loads(path.with_name(f"{path.name}.expected.json").read_text(encoding="utf-8"))
    shape, lot = read(path, expected.get("region", "US"))
    assert shape == expected["file"]
    assert [seen(who, wanted) for who, wanted in zip(lot.people, expected["people"], strict=True)] == expected["people"]
    rejected = [(each.row.line, each.column, each.reason) for each in lot.rejections]
    assert len(rejected) == len(expected["rejected"]), rejected
    for (line, column, reason), (wanted_line, wanted_column, words) in zip(rejected, expected["rejected"], strict=True):
        assert (line, column) == (wanted_line, wanted_column)
        assert reason.startswith(words)


def test_there_is_an_untidy_file_of_each_kind() -> None:
    assert {path.suffix for path in FILES} >= {".csv", ".txt", ".psv", ".gz", ".jsonl", ".xlsx"}
