"""`outbound audit`: who changed what, from what to what, and why."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from campaigns import clock
from campaigns.cli.database import transaction
from campaigns.cli.output import AsJson, print_json, say
from campaigns.cli.telling import Line, print_lines
from campaigns.errors import InvalidInput
from campaigns.pipeline import scheduling
from campaigns.pipeline.tracing import auditing

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def audit(
    *,
    campaign: Annotated[
        str | None, typer.Option(help="Only what was done to this campaign, its account, its calls and its people.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Such as 30m, 8h, 1d or 2w ago, or a date such as 2026-03-02 [default: ever].")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The latest so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Who started, paused, edited, imported, suppressed or decided what, when and why; the newest last.

    Example: outbound audit --campaign spring --since 1d
    """
    with transaction() as session:
        began = None if since is None else _moment(since, clock.read(session).now)
        only = None if campaign is None else scheduling.find(session, campaign)
        found = auditing.audit(session, campaign=only, since=began, limit=limit)
        phones = auditing.phones(session, found)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    lines = [
        Line(
            each.at, f"{each.who}: {each.what} {phones.get(each.subject, each.subject.replace(':', ' '))}", each.detail
        )
        for each in found
    ]
    if not lines:
        typer.echo("nothing was changed" + ("" if since is None else f" since {since}"))
        return
    print_lines("Audit", lines, zone=None)
    if len(found) == limit:
        say(f"these are the latest {limit}: --limit shows more")


def _moment(since: str, now: datetime) -> datetime:
    ago = re.fullmatch(r"(\d{1,6})\s*([mhdw])", since.strip())
    if ago is not None:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise InvalidInput(f"--since {since[:50]}: write 30m, 8h, 1d, 2w, or a date such as 2026-03-02") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
