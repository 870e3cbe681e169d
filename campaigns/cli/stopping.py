"""`outbound suppressions import`: many who are not to be called, from whatever file they are in."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO
from uuid import UUID

import typer

from campaigns import db
from campaigns.cli.database import database, who
from campaigns.cli.files import whole_file
from campaigns.cli.importing import open_source, print_reasons, rejected_path, separator
from campaigns.cli.in_flight import as_json as in_flight_json
from campaigns.cli.in_flight import name_them, wait_for_sending
from campaigns.cli.output import AsJson, bar, print_json, print_table, say, shown_path
from campaigns.errors import InvalidInput
from campaigns.lists.stopping import OpenStops, StopReport, bring_stops, open_stops, read_stops
from campaigns.pipeline import scheduling
from campaigns.rules.people_file import Format, Shape
from campaigns.rules.people_file.columns import REPORT_COLUMNS
from campaigns.rules.people_file.people import Rejection
from campaigns.rules.people_file.rows import as_text
from campaigns.rules.people_file.stops import columns_said

WHY = "on a list of people not to be called"


def import_stops(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or JSON lines, gzipped or not; - reads standard input.")],
    *,
    campaign: Annotated[str | None, typer.Option(help="Only in this campaign [default: in every one].")] = None,
    why: Annotated[str, typer.Option(help="For rows that give no reason. Kept beside who and when.")] = WHY,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show how the file is read and what would be rejected; store nothing.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(help="phone=HEADING, or country, reason or since; reason= for none. Again for each."),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="The country of numbers without a country code [default: the campaign's].")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Where to write the rows that cannot be used [default: beside FILE].")
    ] = None,
    format_: Annotated[Format | None, typer.Option("--format", help="[default: as the file looks]")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Such as utf-8, utf-16 or cp1252 [default: as the file looks].")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="What separates cells [default: as the header looks].")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a spreadsheet [default: the first].")] = None,
    as_json: AsJson = False,
) -> None:
    """Call these numbers no more. Returns when that is certain; names the calls to them that are still in flight.

    Rows without a usable number are written to a file, with the reason. The same file twice adds nobody; one that was
    interrupted is simply imported again.

    Example: outbound suppressions import do-not-call.csv --why "national list of 2026-03" --region US
    """
    with database() as url, ExitStack() as stack:
        source = open_source(file, stack)
        path = rejected_path(file, rejected)
        campaign_id, own_region = _campaign(url, campaign)
        shape = Shape(format=format_, encoding=encoding, delimiter=separator(delimiter), sheet=sheet)
        opened = open_stops(source, columns_said(column or []), shape=shape, default_region=region or own_region)
        name = "stdin" if str(file) == "-" else file.name
        if preview:
            _preview(opened, as_json=as_json)
            return
        try:
            with ExitStack() as kept:
                reject = _Rejected(opened.header, path, kept)
                report = _bring(url, opened, campaign_id, why, name, reject)
        except OSError as problem:
            raise InvalidInput(f"{path}: {(problem.strerror or 'cannot be written').lower()}") from problem
        in_flight = wait_for_sending(url, campaign, suppressed=True)
        if as_json:
            more = {"in_flight": in_flight_json(in_flight), "rejected_rows": path if report.rejected else None}
            print_json({"columns": _columns(opened), **asdict(report), **more})
            return
        where = "any campaign" if campaign is None else f"campaign {campaign}"
        typer.echo(
            f"{report.rows:,} rows: {report.added:,} are not called any more in {where}, "
            f"{report.already_there:,} were on that list already, {report.rejected:,} rejected"
        )
        if report.finished:
            say(f"{report.finished:,} people who waited for a call are suppressed")
        print_reasons(report.reasons)
        if report.rejected:
            typer.echo(f"rejected rows: {shown_path(path)}; correct them there and import that file")
        name_them(in_flight)
    if report.rejected:
        raise typer.Exit(1)  # somebody may be called who is on the list


class _Rejected:
    """Writes the rejected rows with their original columns; without any there is no file."""

    def __init__(self, header: tuple[str, ...], path: Path, stack: ExitStack) -> None:
        self._header = [name for name in header if name not in REPORT_COLUMNS]
        self._kept = [place for place, name in enumerate(header) if name not in REPORT_COLUMNS]
        self._path = path
        self._stack = stack
        self._file: TextIO | None = None

    def __call__(self, rejection: Rejection) -> None:
        first = self._file is None
        if self._file is None:
            self._file = self._stack.enter_context(whole_file(self._path))
        writer = csv.writer(self._file)
        if first:
            writer.writerow([*self._header, *REPORT_COLUMNS])
        cells = rejection.row.cells
        original = [as_text(cells[place]) if place < len(cells) else "" for place in self._kept]
        writer.writerow([*original, rejection.row.line, rejection.column, rejection.value, rejection.reason])


def _campaign(url: str, name: str | None) -> tuple[UUID | None, str | None]:
    """The campaign's id, and where its numbers without a country code are from."""
    if name is None:
        return None, None
    with db.transaction(url) as session:
        found = scheduling.find(session, name)
        return found.id, found.definition.get("default_region")


def _bring(
    url: str, opened: OpenStops, campaign_id: UUID | None, why: str, source: str, reject: _Rejected
) -> StopReport:
    with bar("import", unit="%") as progress:
        task = progress.add_task("import", total=opened.surveyed.size, note="")
        report = bring_stops(
            url,
            opened,
            campaign_id=campaign_id,
            reason=why,
            source=source,
            who=who(),
            reject=reject,
            progress=lambda rows, read: progress.update(task, completed=read, note=f"{rows:,} rows"),
        )
        progress.update(task, completed=opened.surveyed.size, note=f"{report.rows:,} rows")
    return report


def _preview(opened: OpenStops, *, as_json: bool) -> None:
    report = StopReport()
    numbers = sum(len(stops) for stops in read_stops(opened, report, lambda _: None))
    found: dict[str, Any] = {
        "columns": _columns(opened),
        "rows": report.rows,
        "numbers": numbers,
        "rejected": report.rejected,
        "reasons": report.reasons,
    }
    if as_json:
        print_json(found)
        return
    print_table("Columns", ("column", "is"), [(heading, name) for name, heading in _columns(opened).items()])
    typer.echo(f"{report.rows:,} rows: {numbers:,} numbers, {report.rejected:,} would be rejected; nothing is stored")
    print_reasons(report.reasons)


def _columns(opened: OpenStops) -> dict[str, str]:
    return {name: opened.header[place] for name, place in opened.reader.places.items()}
