"""Moments in lines: when, what and why, by the clocks of UTC and of the person."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import typer

from campaigns.cli.output import one_line, width


class Line(NamedTuple):
    """What happened at one moment."""

    at: datetime
    what: str
    detail: str


def print_lines(title: str, lines: Iterable[Line], *, zone: str | None) -> None:
    """The moments, to stdout: a day, and under it each of them; what does not fit goes on below, to the right."""
    typer.echo(f"{title}: times in UTC" + ("" if zone is None else f", in brackets those in {zone}"))
    day = None
    for line in lines:
        at = line.at.astimezone(UTC)
        if at.date() != day:
            day = at.date()
            typer.echo(f"\n{at:%A %Y-%m-%d}")
        clock = f"{at:%H:%M:%S}{_there(at, zone)}  "
        typer.echo(
            textwrap.fill(
                one_line(f"{line.what}: {line.detail}" if line.detail else line.what),
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
