"""The process that reads a long list ahead: our own code only, and whatever it meets is one line."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.errors import InvalidList, OutboundError
from campaigns.lists import reading
from campaigns.lists.opening import OpenList, open_list
from campaigns.rules.definition import CampaignDefinition
from tests import factories

CAMPAIGN = CampaignDefinition.model_validate(factories.CAMPAIGN)
ROOT = Path(reading.__file__).parents[2]
LINES = b"phone,name\n" + b"".join(b"+1212555%04d,Name\n" % turn for turn in range(10_000))


@pytest.fixture(autouse=True)
def always_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AHEAD_FROM", 0)


def rows_read(opened: OpenList) -> int:
    return sum(ahead.lot.rows for ahead in reading.read_ahead(opened, skip=0))


def test_what_lies_beside_the_list_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.csv").write_bytes(LINES)
    for name in ("csv.py", "json.py", "campaigns.py", "orjson.py", "sitecustomize.py"):
        (tmp_path / name).write_text("from pathlib import Path\nPath('was-run').touch()\nraise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "list.csv").open("rb") as file:
        assert rows_read(open_list(file, CAMPAIGN)) == 10_000
    assert not (tmp_path / "was-run").exists()


def test_a_packed_file_that_changes_while_it_is_read_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(LINES))
    with path.open("rb") as file:
        opened = open_list(file, CAMPAIGN)
        path.write_bytes(path.read_bytes()[:-1_000])
        with pytest.raises(InvalidList, match="the packed file is damaged, get it once more"):
            rows_read(opened)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [1, 2_000], ids=["a small job", "a job larger than the pipe"])
def test_a_reader_that_ends_at_once_is_one_line(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.csv"
    header = ",".join(["phone", *(f"{'long ' * 20} {place}" for place in range(columns))])
    path.write_text(f"{header}\n+12125550101\n")
    with path.open("rb") as file:
        opened = open_list(file, CAMPAIGN)
        monkeypatch.setattr(sys, "executable", shutil.which("false"))
        with pytest.raises(OutboundError, match="the process that reads the list ended with 1: what it had read"):
            rows_read(opened)
    assert capfd.readouterr() == ("", "")


def test_the_process_that_reads_is_not_kept_waiting_for_the_ledger_to_be_imported() -> None:
    code = "import sys, campaigns.lists.reading; print('sqlalchemy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
