"""A story in lines: when, where, what and why, by the clocks of UTC and of the person."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import typer

from campaigns.cli.output import one_line, width
from campaigns.pipeline.tracing import Trace


def print_story(title: str, story: Trace) -> None:
    """The story, to stdout: a day, and under it each moment; what does not fit goes on below, to the right."""
    there = "" if story.zone is None else f"; in brackets the time in {story.zone}"
    typer.echo(f"{title}, in UTC{there}")
    day = None
    for moment in story.stories:
        at = moment.at.astimezone(UTC)
        if at.date() != day:
            day = at.date()
            typer.echo(f"\n{at:%A %Y-%m-%d}")
        clock = f"{at:%H:%M:%S}{_there(at, story.zone)}  "
        told = one_line(f"{moment.campaign}: {moment.what}" + (f": {moment.detail}" if moment.detail else ""))
        typer.echo(
            textwrap.fill(
                told,
                width=width(),
                initial_indent=clock,
                subsequent_indent=" " * (len(clock) + 2),
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def local(at: datetime, zone: str | None) -> datetime | None:
    """The moment by the clocks of the zone."""
    return None if zone is None else at.astimezone(ZoneInfo(zone))


def _there(at: datetime, zone: str | None) -> str:
    there = local(at, zone)
    if there is None:
        return ""
    return f" ({there:%H:%M})    " if there.date() == at.date() else f" ({there:%a %H:%M})"
