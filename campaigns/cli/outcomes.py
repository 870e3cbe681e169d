"""`outbound outcomes`: what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO
from uuid import UUID

import typer

from campaigns import db
from campaigns.cli.database import database
from campaigns.cli.files import write_rows
from campaigns.pipeline import exporting, scheduling

outcomes = typer.Typer(no_args_is_help=True, help="What came of the calls.")


@outcomes.callback()
def _group() -> None:
    """What came of the calls."""


@outcomes.command()
def export(
    campaign: Annotated[str, typer.Argument(help="The campaign's name.")],
    *,
    format_: Annotated[exporting.Format, typer.Option("--format", help="What to write.")] = exporting.Format.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file [default: standard output].")] = None,
) -> None:
    """One row for every person of the campaign, those never reached included.

    Example: outbound outcomes export spring --format csv -o spring.csv
    """
    with database() as url:
        write_rows(output, lambda file: run_export(url, campaign, format_, file))


def run_export(url: str, campaign: str, format_: exporting.Format, file: TextIO) -> int:
    """Write the export; returns how many rows."""
    with db.transaction(url) as session:
        campaign_id = scheduling.find(session, campaign).id
    write = exporting.write_csv if format_ is exporting.Format.CSV else exporting.write_jsonl
    return write(_records(url, campaign_id), file)


def _records(url: str, campaign_id: UUID) -> Iterator[dict[str, Any]]:
    """Every row, a page to a transaction: whoever reads our output may pause for as long as they like."""
    after: int | None = 0
    while after is not None:
        with db.transaction(url) as session:
            page = exporting.page(session, campaign_id, after=after)
        yield from page.rows
        after = page.last
