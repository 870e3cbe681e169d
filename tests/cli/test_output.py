"""What reaches a terminal, a file and another program."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text

from campaigns import db
from campaigns.cli import database as database_
from campaigns.cli.files import whole_file
from campaigns.cli.importing import rejected_path, run_import
from campaigns.cli.outcomes import _records
from campaigns.cli.output import counted, print_json, print_settings, print_table, say
from campaigns.models import Campaign, Person, Prospect
from campaigns.pipeline import exporting
from tests import factories
from tests.cli.conftest import Outbound


def test_a_long_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("outbound: " + "word " * 60 + "\nand [bold] :smile: \x1b[2J")
    shown = capsys.readouterr().err
    assert shown == "outbound: " + "word " * 60 + " and [bold] :smile:  [2J\n"


def test_a_cell_is_neither_cut_nor_run_by_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # which pytest gives to its workers
    print_table("People", ("name", "why"), [["x" * 150, "a\x1b[31m\r\nb :warning: [red]"]])
    shown = capsys.readouterr().out
    assert "x" * 150 in shown
    assert "a [31m  b :warning: [red]" in shown
    assert "\x1b" not in shown


def test_a_table_fits_into_eighty_columns_and_says_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2027, 3, 2, 15, tzinfo=UTC)
    columns = ("id", "caller", "phone", "state", "reason", "began", "incident")
    row = [UUID(int=1), "c" * 36, "+12125550142", "in_progress", "a reason of a few words " * 3, at, None]
    monkeypatch.setenv("COLUMNS", "80")
    print_table("Calls", columns, [row], least=("caller", "reason"))
    shown, notes = capsys.readouterr()
    assert max(map(len, shown.splitlines())) <= 80
    header = shown.splitlines()[2]
    assert [name for name in columns if name in header] == ["id", "phone", "state", "reason", "began"]
    for whole in ("00000000 ", "+12125550142", "in_progress", "03-02 15:00"):
        assert whole in shown, whole
    assert notes == "not shown here: caller; a wider terminal or --json has all\n"
    monkeypatch.setenv("COLUMNS", "200")
    print_table("Calls", columns, [row], least=("caller", "reason"))
    assert all(name in capsys.readouterr().out.splitlines()[2] for name in columns[:1])


def test_a_table_without_rows_says_that_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Calls", ("id", "state"), [])
    assert capsys.readouterr().out == "Calls: none\n"


def test_one_is_not_many() -> None:
    assert [counted(number, "row") for number in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert counted(2, "person", "people") == "2 people"


def test_what_a_file_says_is_shown_key_by_key_without_what_is_not_set(capsys: pytest.CaptureFixture[str]) -> None:
    rules = [{"from": "2026-01-01"}, {"from": "2027-01-01"}]
    retry = {"busy": ["1m", "5m"], "max_calls": 8, "counts": []}
    print_settings("Definition", {"name": "spring", "retry": retry, "consent": {}, "ends_at": None, "rules": rules})
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    assert [tuple(cell.strip() for cell in row[1:3]) for row in rows] == [
        ("name", "spring"),
        ("retry.busy", "1m, 5m"),
        ("retry.max_calls", "8"),
        ("rules #1.from", "2026-01-01"),
        ("rules #2.from", "2027-01-01"),
    ]


def test_json_has_a_form_for_everything_we_print(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2027, 3, 2, 15, tzinfo=UTC)
    print_json({"at": moment, "id": UUID(int=1), "cost": Decimal("0.5"), "path": Path("a"), "name": "Bö " + "y" * 200})
    assert json.loads(capsys.readouterr().out) == {
        "at": "2027-03-02T15:00:00+00:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "cost": 0.5,
        "path": "a",
        "name": "Bö " + "y" * 200,
    }


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    def write_half(target: Path) -> None:
        with whole_file(target) as file:
            file.write("half")
            raise ValueError("half-way")

    target = tmp_path / "out.csv"
    with pytest.raises(ValueError, match="half-way"):
        write_half(target)
    assert list(tmp_path.iterdir()) == []
    target.write_text("earlier")
    with pytest.raises(ValueError, match="half-way"):
        write_half(target)
    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_rejected_rows_never_overwrite_a_file_unasked(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.touch()
    assert rejected_path(file, None) == tmp_path / "list.rejected.csv"
    (tmp_path / "list.rejected.csv").touch()
    (tmp_path / "list.rejected-2.csv").touch()
    assert rejected_path(file, None) == tmp_path / "list.rejected-3.csv"
    assert rejected_path(Path("-"), None) == Path("rejected.csv")
    assert rejected_path(file, tmp_path / "list.rejected.csv") == tmp_path / "list.rejected.csv"  # asked for


def test_whoever_has_no_name_still_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert database_.who().startswith("uid ")


@pytest.fixture
def three_pages(database: str, now: datetime) -> str:
    """A database whose campaign `spring` has 2 500 people."""
    with db.transaction(database) as session:
        first = factories.prospect(session, factories.campaign(session, now), now, e164="+12025550100")
        people = session.scalars(
            insert(Person).returning(Person.id),
            [{"number": f"+1646555{turn:04}", "created_at": now} for turn in range(2499)],
        ).all()
        columns = ("campaign_id", "import_id", "line", "state", "due_at", "created_at", "changed_at")
        shared = {name: getattr(first, name) for name in columns}
        session.execute(insert(Prospect), [{**shared, "person_id": person} for person in people])
    return database


def test_a_reader_that_has_seen_enough_is_no_error(outbound: Outbound, three_pages: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "campaigns.cli.outbound", "outcomes", "export", "spring"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=outbound.directory,
        env=outbound.environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == b"phone,exte"
        process.stdout.close()
        assert process.stderr.read() == b""


def open_transactions(database: str) -> int:
    """How many others are in the middle of a transaction."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE '%transaction%'"
    )
    with db.engine(database).connect() as connection:
        return int(connection.execute(query).scalar_one())


def test_a_slow_list_keeps_no_transaction_open(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        factories.campaign(session, now)
    seen: list[int] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.append(open_transactions(database))
            return super().read(min(size or 10, 10))

    _, report = run_import(database, "spring", Slow(b"phone\n+12125550101\n+12125550102\n"), source="slow")
    assert report.new == 2
    assert len(seen) > 3
    assert set(seen) == {0}


def test_a_slow_reader_keeps_no_transaction_open(three_pages: str) -> None:
    with db.transaction(three_pages) as session:
        campaign_id = session.scalars(select(Campaign.id)).one()
    records = _records(three_pages, campaign_id)
    seen = [next(records)["line"]]
    assert open_transactions(three_pages) == 0
    seen += [record["line"] for record in records]
    assert len(seen) == 2500
    assert exporting.PAGE < 2500
