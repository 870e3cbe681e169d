"""`outbound prospects`: people in, and one person's whole story."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from campaigns import clock, db
from campaigns.cli.database import database, transaction
from campaigns.cli.output import AsJson, bar, print_json, print_table, say, shown_path
from campaigns.errors import InvalidInput
from campaigns.facts import about_campaigns
from campaigns.pipeline import importing, reporting, scheduling
from campaigns.rules.phone import InvalidPhone, parse

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
        result = run_import(url, campaign, source, name="stdin" if str(file) == "-" else file.name, size=size)
        where = None
        if result["rejected"]:
            where = rejected or (Path("rejected.csv") if str(file) == "-" else file.with_suffix(".rejected.csv"))
            write_rejected(url, result["import"], where)
    result["rejected_rows"] = where
    if as_json:
        print_json(result)
        return
    typer.echo(
        f"{result['rows']:,} rows: {result['new']:,} new, {result['already_there']:,} already there, "
        f"{result['rejected']:,} rejected"
    )
    if result["reasons"]:
        print_table("Rejected", ("reason", "rows"), sorted(result["reasons"].items(), key=lambda item: -item[1]))
        typer.echo(f"rejected rows: {shown_path(Path(str(where)))}")


def run_import(url: str, campaign: str, file: BinaryIO, *, name: str, size: int | None) -> dict[str, Any]:
    """Import a file with a progress bar on stderr; returns its report."""
    counted = _Counted(file)
    with db.transaction(url) as session:
        moment = clock.read(session)
        found = scheduling.find(session, campaign)
        definition = about_campaigns(session, [found.id])[found.id].definition
        columns, rows = importing.read_rows(io.BufferedReader(counted), definition)
        import_id = importing.begin(session, found.id, source=name, columns=columns, now=moment.now)
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


def write_rejected(url: str, import_id: Any, path: Path) -> None:
    """Write the rejected rows with their original columns, so that they can be corrected and imported again."""
    with db.transaction(url) as session, path.open("w", encoding="utf-8", newline="") as out:
        writer: csv.DictWriter[str] | None = None
        for row in importing.rejected(session, import_id):
            if writer is None:
                writer = csv.DictWriter(out, list(row))
                writer.writeheader()
            writer.writerow(row)


@prospects.command()
def trace(
    phone: Annotated[str, typer.Argument(help="The person's number, with its country code.")],
    *,
    as_json: AsJson = False,
) -> None:
    """One person's whole story, over all campaigns, in the order it happened.

    Example: outbound prospects trace +14155550142
    """
    try:
        number = parse(phone, default_region=None).e164
    except InvalidPhone as problem:
        raise InvalidInput(f"that is not a number with its country code: {problem}") from problem
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
        say("reading standard input")
        return sys.stdin.buffer, None
    try:
        opened = stack.enter_context(file.open("rb"))
    except OSError as problem:
        raise InvalidInput(f"{file}: {(problem.strerror or 'cannot be read').lower()}") from problem
    return opened, file.stat().st_size
