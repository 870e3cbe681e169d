"""`outbound events`: what came in, and what could not be applied."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, timedelta
from typing import Annotated

import typer

from campaigns import clock
from campaigns.cli.database import transaction, who
from campaigns.cli.output import AsJson, counted, print_json, print_table
from campaigns.errors import InvalidInput
from campaigns.pipeline import ingesting

events = typer.Typer(no_args_is_help=True, help="What Vapi sent, and the dead letter of what could not be applied.")


@events.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """The dead letter: events that name no call that we know, or that failed eight times.

    Example: outbound events list
    """
    with transaction() as session:
        found = ingesting.dead(session, limit=limit)
    if as_json:
        print_json([asdict(event) for event in found])
        return
    columns = ("id", "account", "type", "provider_id", "received_at", "failures", "why")
    print_table("Dead letter", columns, [[getattr(event, column) for column in columns] for event in found])


@events.command()
def retry(
    event: Annotated[int | None, typer.Argument(help="The event's id, from `outbound events list`.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every event in the dead letter.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply an event of the dead letter once more; a running `outbound up` does it within seconds.

    Example: outbound events retry 4711
    """
    if (event is None) == (not everything):
        raise InvalidInput("say which: the id of one event, or --all")
    with transaction() as session:
        moment = clock.read(session)
        wanted = None if event is None else [event]
        tried = ingesting.retry(session, wanted, who=who(), now=moment.now, real=moment.real)
    if as_json:
        print_json({"retried": tried})
    else:
        typer.echo(
            f"{counted(len(tried), 'event')} will be applied once more"
            if everything
            else f"event {event} will be applied once more"
        )


@events.command()
def dismiss(
    event: Annotated[int, typer.Argument(help="The event's id, from `outbound events list`.")],
    *,
    why: Annotated[str, typer.Option(help="Kept in the audit beside who and when.")],
    as_json: AsJson = False,
) -> None:
    """Take an event out of the dead letter without applying it. What it said is kept.

    Example: outbound events dismiss 4711 --why "a call of the old system"
    """
    if not why.strip():
        raise InvalidInput("--why is empty: say why nobody needs this event")
    with transaction() as session:
        ingesting.dismiss(session, event, who=who(), why=why, now=clock.read(session).now)
    if as_json:
        print_json({"dismissed": event})
    else:
        typer.echo(f"event {event} is dismissed")


@events.command()
def counts(
    *,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back, today included.")] = 7,
    as_json: AsJson = False,
) -> None:
    """How many messages came each day (UTC), by account and type: stored, only counted, or refused as not proven.

    Example: outbound events counts --days 1
    """
    with transaction() as session:
        since = clock.read(session).now.astimezone(UTC).date() - timedelta(days=days - 1)
        found = ingesting.counted(session, since=since)
    if as_json:
        print_json([{**row, "day": row["day"].isoformat()} for row in found])
        return
    columns = ("day", "account", "type", "became", "count")
    print_table("Messages", columns, [[row[column] for column in columns] for row in found])
