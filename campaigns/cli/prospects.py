"""`outbound prospects`: people in, and one person's whole story."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from uuid import UUID

import typer

from campaigns import clock, db
from campaigns.cli.database import database, transaction
from campaigns.cli.files import whole_file
from campaigns.cli.output import AsJson, bar, print_json, print_table, say, shown_path
from campaigns.errors import InvalidInput
from campaigns.facts import about_campaigns
from campaigns.pipeline import importing, reporting, scheduling
from campaigns.rules.people_file import read_rows
from campaigns.rules.phone import InvalidPhone, parse
from campaigns.rules.prospect_state import ProspectState

prospects = typer.Typer(no_args_is_help=True, help="The people to call.")


@prospects.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header; - reads standard input.")],
    *,
    campaign: Annotated[str, typer.Option(help="The campaign that they are called in.")],
    rejected: Annotated[
        Path | None, typer.Option(help="Where to write the rows that cannot be used [default: beside FILE].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn the rows of a list into people to call. Rows that cannot be used are written to a file, with the reason.

    The same file twice adds nobody; after correcting the rejected rows, import that file.

    Example: outbound prospects import list.csv --campaign spring
    """
    with database() as url, ExitStack() as stack:
        source, size = _open(file, stack)
        path = _rejected_path(file, rejected)
        result = run_import(url, campaign, source, name="stdin" if str(file) == "-" else file.name, size=size)
        if result["rejected"]:
            try:
                write_rejected(url, result["import"], path)
            except OSError as problem:
                raise InvalidInput(
                    f"{path}: {(problem.strerror or 'cannot be written').lower()}; the usable rows are imported, "
                    f"{result['rejected']:,} were rejected: import once more with --rejected FILE to see them"
                ) from problem
    result["rejected_rows"] = path if result["rejected"] else None
    if as_json:
        print_json(result)
        return
    typer.echo(
        f"{result['rows']:,} rows: {result['new']:,} new, {result['already_there']:,} already there, "
        f"{result['rejected']:,} rejected"
    )
    if result["reasons"]:
        print_table("Rejected", ("reason", "rows"), sorted(result["reasons"].items(), key=lambda item: -item[1]))
        typer.echo(f"rejected rows: {shown_path(path)}")


def run_import(url: str, campaign: str, file: BinaryIO, *, name: str, size: int | None) -> dict[str, Any]:
    """Import a file with a progress bar on stderr; returns its report."""
    counted = _Counted(file)
    with db.transaction(url) as session:
        campaign_id = scheduling.find(session, campaign).id
        definition = about_campaigns(session, [campaign_id])[campaign_id].definition
    # Between two transactions: standard input may take its time, and an open transaction may not.
    columns, rows = read_rows(io.BufferedReader(counted), definition)
    with db.transaction(url) as session:
        import_id = importing.begin(session, campaign_id, source=name, columns=columns, now=clock.read(session).now)
    report = importing.Report()
    with bar("import", unit="bytes") as progress:
        task = progress.add_task("import", total=size, note="")
        for lot in importing.batches(rows):
            with db.transaction(url) as session:
                importing.store(session, import_id, lot, columns, report, now=clock.read(session).now)
            progress.update(task, completed=counted.read_so_far, note=f"{report.rows:,} rows")
        progress.update(task, total=counted.read_so_far, completed=counted.read_so_far, note=f"{report.rows:,} rows")
    with db.transaction(url) as session:
        importing.finish(session, import_id, digest=counted.digest.hexdigest(), now=clock.read(session).now)
    return {
        "import": import_id,
        "columns": {"phone": columns.phone, "name": columns.name, "variables": dict(columns.variables)},
        "rows": report.rows,
        "new": report.new,
        "already_there": report.already_there,
        "rejected": report.rejected,
        "reasons": dict(report.reasons),
    }


def write_rejected(url: str, import_id: UUID, path: Path) -> None:
    """Write the rejected rows with their original columns, so that they can be corrected and imported again."""
    with whole_file(path) as out, db.transaction(url) as session:
        writer: csv.DictWriter[str] | None = None
        for row in importing.rejected(session, import_id):
            if writer is None:
                writer = csv.DictWriter(out, list(row))
                writer.writeheader()
            writer.writerow(row)


@prospects.command("list")
def list_(
    *,
    campaign: Annotated[str, typer.Option(help="The campaign's name.")],
    state: Annotated[ProspectState | None, typer.Option(help="Only those in this state.")] = None,
    incidents: Annotated[bool, typer.Option("--incidents", help="Only those with an incident.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """People of a campaign, with their state and its reason. `outbound outcomes export` gives all of them.

    Example: outbound prospects list --campaign spring --state review
    """
    with transaction() as session:
        found = reporting.people(
            session, scheduling.find(session, campaign).id, state=state, incidents=incidents, limit=limit
        )
    if as_json:
        print_json([asdict(person) for person in found])
        return
    columns = ("phone", "name", "state", "reason", "calls", "due_at")
    print_table("Prospects", columns, [[getattr(person, column) for column in columns] for person in found])


@prospects.command()
def trace(
    phone: Annotated[str, typer.Argument(help="The person's number, with its country code.")],
    *,
    as_json: AsJson = False,
) -> None:
    """One person's whole story, over all campaigns, in the order it happened.

    Example: outbound prospects trace +14155550142
    """
    number = read_number(phone)
    with transaction() as session:
        stories = reporting.trace(session, number)
    if as_json:
        print_json([{"at": s.at, "campaign": s.campaign, "what": s.what, "detail": s.detail} for s in stories])
        return
    print_table(
        f"Story of {number}",
        ("at", "campaign", "what", "detail"),
        [(s.at, s.campaign, s.what, s.detail) for s in stories],
    )


def read_number(phone: str) -> str:
    """The E.164 number that somebody typed. Raises `InvalidInput`."""
    try:
        return parse(phone, default_region=None).e164
    except InvalidPhone as problem:
        raise InvalidInput(f"that is not a number with its country code: {problem}") from problem


class _Counted(io.RawIOBase):
    """A file that knows how much of it was read, and its SHA-256 so far."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.read_so_far = 0
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self.read_so_far += len(piece)
        self.digest.update(piece)
        return len(piece)


def _open(file: Path, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    if str(file) == "-":
        if sys.stdin.isatty():
            say("reading standard input")
        return sys.stdin.buffer, None
    try:
        opened = stack.enter_context(file.open("rb"))
    except OSError as problem:
        raise InvalidInput(f"{file}: {(problem.strerror or 'cannot be read').lower()}") from problem
    return opened, file.stat().st_size if file.is_file() else None


def _rejected_path(file: Path, wanted: Path | None) -> Path:
    """Where rejected rows are to go. Refused before anything is imported where that cannot work."""
    if wanted is not None:
        if wanted.exists() and file.exists() and wanted.samefile(file):
            raise InvalidInput(f"{wanted}: --rejected would overwrite the list itself: name another file")
        if wanted.is_dir() or not wanted.absolute().parent.is_dir():
            raise InvalidInput(f"{wanted}: --rejected needs the name of a file in a directory that exists")
        return wanted
    base = Path("rejected.csv") if str(file) == "-" else file.with_suffix(".rejected.csv")
    # Somebody may be correcting the file of an earlier import: it is never overwritten unasked.
    numbered = (base.with_name(f"{base.stem}-{turn}.csv") for turn in count(2))
    return next(path for path in chain([base], numbered) if not path.exists())
