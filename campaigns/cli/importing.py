"""`outbound prospects import`: a list of people, from whatever file they are in."""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO, cast
from uuid import UUID

import typer

from campaigns import db
from campaigns.cli.database import database, who
from campaigns.cli.files import whole_file, write_rows
from campaigns.cli.output import AsJson, bar, counted, print_json, print_table, say, shown_path
from campaigns.cli.preflight import variables_said
from campaigns.errors import CallFailure, InvalidInput, SetupError
from campaigns.facts import CampaignFacts, about_campaigns
from campaigns.ledger import find_id
from campaigns.lists.bringing import begin, bring, hand_over
from campaigns.lists.opening import OpenList, Wishes, open_list
from campaigns.lists.reading import lots
from campaigns.models import Import
from campaigns.pipeline import scheduling
from campaigns.pipeline.importing import storing
from campaigns.pipeline.importing.sorting import Options
from campaigns.pipeline.importing.storing import Report
from campaigns.rules.definition import RESERVED_VARIABLES, Mapping_
from campaigns.rules.people_file import Format, Shape
from campaigns.rules.people_file.columns import Role
from campaigns.vapi.requests import OVERRIDABLE

PREVIEWED = 5  # people that are shown: enough to see whether the columns are right
LONGEST_SHOWN = 24  # characters of a cell in the preview


class Elsewhere(StrEnum):
    """What becomes of people whom another running campaign calls, too."""

    REPORT = "report"
    REFUSE = "refuse"


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or JSON lines, gzipped or not; - reads standard input.")],
    *,
    campaign: Annotated[str, typer.Option(help="The campaign that they are called in.")],
    preview: Annotated[
        bool, typer.Option("--preview", help="Show how the file is read and what would be rejected; store nothing.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="ROLE=HEADING, such as phone=Mobile; ROLE= for none; variables.NAME=HEADING. Again for each. "
            "Else: the campaign file."
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="The country of numbers without a country code [default: the campaign's].")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="People who are there and were not called yet become what the list says.")
    ] = False,
    elsewhere: Annotated[
        Elsewhere, typer.Option(help="People whom another running campaign calls: count them, or reject them.")
    ] = Elsewhere.REPORT,
    rejected: Annotated[
        Path | None, typer.Option(help="Where to write the rows that cannot be used [default: beside FILE].")
    ] = None,
    background: Annotated[
        bool,
        typer.Option("--background", help="Let a worker do it; `outbound prospects imports` shows how far it is."),
    ] = False,
    format_: Annotated[Format | None, typer.Option("--format", help="[default: as the file looks]")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Such as utf-8, utf-16 or cp1252 [default: as the file looks].")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="What separates cells [default: as the header looks].")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of a spreadsheet [default: the first].")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn the rows of a list into people to call. Rows that cannot be used are written to a file, with the reason.

    The same file twice adds nobody, and a run that was interrupted goes on where it was; after correcting the rejected
    rows, import that file.

    Example: outbound prospects import list.csv --campaign spring --preview
    """
    with database() as url, ExitStack() as stack:
        if background and rejected is not None:
            raise InvalidInput(
                "--rejected: not with --background; `outbound prospects rejected` writes them afterwards"
            )
        source = open_source(file, stack)
        path = rejected_path(file, rejected)
        facts = _campaign(url, campaign)
        used, unchecked = _variables_said(facts)
        wishes = Wishes(
            shape=Shape(format=format_, encoding=encoding, delimiter=separator(delimiter), sheet=sheet),
            mapping=_mapping(facts.definition.mapping, column or []),
            default_region=region,
            used=used,
            overridable=OVERRIDABLE,
            options=Options(update=update, refuse_elsewhere=elsewhere is Elsewhere.REFUSE),
        )
        opened = open_list(source, facts.definition, wishes, lenient=preview and not as_json)
        name = "stdin" if str(file) == "-" else file.name
        if preview:
            found = _preview(opened, as_json=as_json)
            opened.columns.required(opened.needed)  # said where the columns were seen
        elif background:
            found = _hand_over(url, facts.id, opened, name, as_json=as_json)
        else:
            found = _import(url, facts.id, opened, name, path, as_json=as_json)
        if as_json:
            print_json({**_shape(opened), "unchecked": unchecked, **found})
        elif unchecked:
            say(unchecked)


def _import(url: str, campaign_id: UUID, opened: OpenList, source: str, path: Path, *, as_json: bool) -> dict[str, Any]:
    import_id, report = _bring(url, campaign_id, opened, source)
    if report.rejected:
        try:
            with whole_file(path) as file:
                write_rejected(url, import_id, file)
        except InvalidInput as problem:
            raise InvalidInput(
                f"{problem}; the usable rows are imported, "
                f"{report.rejected:,} were rejected: import once more with --rejected FILE to see them"
            ) from problem
    if not as_json:
        _print_report(report, path)
    return {"import": import_id, **asdict(report), "rejected_rows": path if report.rejected else None}


def run_import(url: str, campaign: str, file: BinaryIO, *, source: str) -> tuple[UUID, Report]:
    """Import a list as it looks, with a progress bar on stderr; returns its report."""
    facts = _campaign(url, campaign)
    return _bring(url, facts.id, open_list(file, facts.definition), source)


def rejected_(
    import_id: Annotated[str, typer.Argument(metavar="IMPORT", help="The first digits of its id are enough.")],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file [default: standard output].")] = None,
) -> None:
    """The rejected rows of an import with their original columns and the reasons: correct them, and import that file.

    Example: outbound prospects rejected 5f2c9a1e -o rejected.csv
    """
    with database() as url:
        with db.transaction(url) as session:
            found = find_id(session, Import, import_id)
        write_rows(output, lambda file: write_rejected(url, found, file))


def write_rejected(url: str, import_id: UUID, file: TextIO) -> int:
    """Write the rejected rows with their original columns; returns how many."""
    rows = 0
    with db.transaction(url) as session:
        writer: csv.DictWriter[str] | None = None
        for row in storing.rejected(session, import_id):
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)
            rows += 1
    return rows


def _bring(url: str, campaign_id: UUID, opened: OpenList, source: str) -> tuple[UUID, Report]:
    with bar("import", unit="%") as progress:
        size = opened.surveyed.size
        task = progress.add_task("import", total=size, note="")
        began, first = time.monotonic(), 0

        def tell(rows: int, read: int) -> None:
            nonlocal began, first
            if first == 0:  # what an interrupted import had stored says nothing of the rate, nor does the start
                began, first = time.monotonic(), rows
            rate = (rows - first) / max(time.monotonic() - began, 1e-3)
            note = f"{rows:,} rows" if rows == first else f"{rows:,} rows, {rate:,.0f} a second"
            progress.update(task, completed=read, note=note)

        try:
            found = bring(url, campaign_id, opened, source=source, who=who(), progress=tell)
        except KeyboardInterrupt:
            say("interrupted: what was stored stays, and the same command goes on after it")
            raise
        progress.update(task, completed=size, note=f"{found[1].rows:,} rows")
    return found


def _hand_over(url: str, campaign_id: UUID, opened: OpenList, source: str, *, as_json: bool) -> dict[str, Any]:
    import_id, _ = begin(url, campaign_id, opened, source=source, who=who())
    with bar("hand over", unit="%") as progress:
        task = progress.add_task("hand over", total=opened.surveyed.size, note="")
        hand_over(url, import_id, opened.file, lambda done: progress.update(task, completed=done))
    if not as_json:
        typer.echo(f"import {import_id} is handed over; `outbound prospects imports` shows how far it is")
    return {"import": import_id}


def _campaign(url: str, name: str) -> CampaignFacts:
    with db.transaction(url) as session:
        campaign_id = scheduling.find(session, name).id
        facts = about_campaigns(session, [campaign_id])[campaign_id]
        storing.refuse_what_is_over(facts)
        return facts


def _variables_said(campaign: CampaignFacts) -> tuple[frozenset[str], str | None]:
    """The variables that the assistant says, or why that is not known."""
    try:
        return variables_said(campaign.definition, campaign.account), None
    except (CallFailure, SetupError) as problem:
        return frozenset(), f"the list is not checked for the variables that the assistant says: {problem}"


def _mapping(said: Mapping_, columns: list[str]) -> Mapping_:
    """The campaign's mapping, with what the command says instead."""
    changed: dict[str, str] = {}
    variables = dict(said.variables)
    for each in columns:
        role, equals, heading = each.partition("=")
        kind, dot, variable = role.partition(".")
        if variable in RESERVED_VARIABLES:
            raise InvalidInput(f"--column {each!r}: the variable is filled in by Vapi, choose another name")
        if equals and dot and kind == "variables" and variable:
            variables[variable] = heading
            if not heading:
                del variables[variable]
        elif equals and role in set(Role):
            changed[role] = heading
        else:
            raise InvalidInput(
                f"--column {each!r}: say ROLE=HEADING or variables.NAME=HEADING; a role is one of {', '.join(Role)}"
            )
    return said.model_copy(update={**changed, "variables": variables})


def separator(said: str | None) -> str | None:
    """What separates cells, as it was said. Raises `InvalidInput`."""
    found = {"tab": "\t", "\\t": "\t"}.get(said or "", said)
    if found is not None and len(found) != 1:
        raise InvalidInput(f"--delimiter {said!r}: say one character, or tab")
    return found


def _preview(opened: OpenList, *, as_json: bool) -> dict[str, Any]:
    """How the list is read, and what all of its rows come to."""
    rows = people = rejected = repeated = 0
    reasons: dict[str, int] = {}
    shown: list[dict[str, Any]] = []
    with bar("check", unit="%") as progress:
        task = progress.add_task("check", total=opened.surveyed.size, note="")
        for lot in lots(opened.reader, opened.rows):
            rows += lot.rows
            people += len(lot.people)
            repeated += len(lot.repeated)
            rejected += len(lot.rejections)
            for rejection in lot.rejections:
                reasons[rejection.sentence()] = reasons.get(rejection.sentence(), 0) + 1
            for who in lot.people[: PREVIEWED - len(shown)]:
                place = ", ".join(sorted(who.states)) or who.country
                zones = ", ".join(sorted(who.zones)) or "unknown"
                shown.append(
                    {"phone": who.number, "name": who.name, "place": place, "zones": zones, "variables": who.variables}
                )
            progress.update(task, completed=opened.file.tell(), note=f"{rows:,} rows")
    found = {
        "rows": rows,
        "people": people,
        "repeated": repeated,
        "rejected": rejected,
        "reasons": reasons,
        "first": shown,
    }
    if as_json:
        return found
    say(_described(opened))
    roles, variables = opened.columns.named(), opened.columns.variables
    print_table("Columns", ("column", "is"), [
        *((heading, role) for role, heading in roles.items()),
        *((opened.columns.header[place], f"the variable {{{{{name}}}}}") for name, place in variables.items()),
    ])  # fmt: skip
    print_table(
        "First people",
        ("phone", "name", "place", "time zones"),
        [[each[key] for key in ("phone", "name", "place", "zones")] for each in shown],
    )
    typer.echo(
        f"{counted(rows, 'row')}: {counted(people, 'person', 'people')}, {repeated:,} repeated, "
        f"{rejected:,} would be rejected; nothing is stored"
    )
    print_reasons(reasons)
    say("who is in the campaign already shows when the list is imported")
    return found


def _shape(opened: OpenList) -> dict[str, Any]:
    shape = {key: value for key, value in asdict(opened.surveyed.shape).items() if value is not None}
    named = {name: opened.columns.header[place] for name, place in opened.columns.variables.items()}
    return {"file": shape, "columns": {**opened.columns.named(), "variables": named}}


def _described(opened: OpenList) -> str:
    shape = opened.surveyed.shape
    parts = [str(shape.format), "gzip" if shape.packed else "", shape.encoding or ""]
    if shape.delimiter is not None:
        parts.append(f"cells separated by {'tab' if shape.delimiter == chr(9) else shape.delimiter!r}")
    return f"the file is {', '.join(part for part in parts if part)}"


def _print_report(report: Report, path: Path) -> None:
    updated = f", {report.updated:,} updated" if report.updated else ""
    typer.echo(
        f"{counted(report.rows, 'row')}: {report.new:,} new, {report.already_there:,} already there{updated}, "
        f"{report.rejected:,} rejected"
    )
    if report.elsewhere:
        say(f"{report.elsewhere:,} of the new people are called by another running campaign, too")
    if report.not_waiting:
        print_table("In the campaign, but not called as things are", ("why", "people"), report.not_waiting.items())
    print_reasons(report.reasons)
    if report.rejected:
        typer.echo(f"rejected rows: {shown_path(path)}; correct them there and import that file")


def print_reasons(reasons: Mapping[str, int]) -> None:
    """Rejected rows by what is wrong with them."""
    if reasons:
        print_table("Rejected", ("reason", "rows"), sorted(reasons.items(), key=lambda item: -item[1]))


def open_source(file: Path, stack: ExitStack) -> BinaryIO:
    """The file; standard input, and what else can be read only once, as one that can be read twice."""
    source: BinaryIO = sys.stdin.buffer
    if str(file) != "-":
        try:
            source = stack.enter_context(file.open("rb"))
        except OSError as problem:
            raise InvalidInput(f"{file}: {(problem.strerror or 'cannot be read').lower()}") from problem
        if source.seekable():
            return source
    elif sys.stdin.isatty():
        say("reading standard input")
    kept = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115 - the stack closes it
    shutil.copyfileobj(source, kept)
    kept.seek(0)
    return kept


def rejected_path(file: Path, wanted: Path | None) -> Path:
    """Where rejected rows are to go. Refused before anything is imported where that cannot work."""
    if wanted is not None:
        if wanted.exists() and file.exists() and wanted.samefile(file):
            raise InvalidInput(f"{wanted}: --rejected would overwrite the list itself: name another file")
        if wanted.is_dir() or not wanted.absolute().parent.is_dir():
            raise InvalidInput(f"{wanted}: --rejected needs the name of a file in a directory that exists")
        return wanted
    base = Path("rejected.csv") if str(file) == "-" or file.is_fifo() else file.with_suffix(".rejected.csv")
    # Somebody may be correcting the file of an earlier import: it is never overwritten unasked.
    numbered = (base.with_name(f"{base.stem}-{turn}.csv") for turn in count(2))
    return next(path for path in chain([base], numbered) if not path.exists())
