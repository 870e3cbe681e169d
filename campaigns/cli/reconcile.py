"""`outbound calls reconcile`: after a restore or a failover, the provider tells which calls the ledger lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from campaigns import clock, db
from campaigns.cli.database import database, who
from campaigns.cli.output import AsJson, counted, print_json, print_table, say
from campaigns.pipeline import halting, ingesting, recovering, settling
from campaigns.pipeline.recovering import TakenIn
from campaigns.pipeline.settling import Ended
from campaigns.rules.definition import AccountDefinition
from campaigns.settings import secret, settings
from campaigns.vapi.client import Client
from campaigns.vapi.events import read_call
from campaigns.vapi.records import Placed, read_placed

Found = tuple[Placed, Mapping[str, Any]]


def reconcile(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"],
            help="Look at calls since then; a date begins at midnight UTC [default: since the ledger's last claim].",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the provider for every call since the ledger's last claim, and take in those that the ledger does not have.

    For a database that was restored or failed over: calls that were placed after the copy was made are missing in it,
    and their people would be called again. Run it before `outbound unfreeze --restored`; twice does no harm. Calls
    whose campaign or person is not in the ledger are shown, and it exits 1: import those people, then run it again.

    Example: outbound calls reconcile
    """
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    counts: Counter[TakenIn] = Counter()
    left: list[tuple[datetime, str, str, str]] = []
    with database() as url:
        with db.transaction(url) as session:
            accounts = recovering.accounts(session)
            moved = halting.moved(session) is not None
        for account_id, account, last_claim in accounts:
            start = since or last_claim
            found = _listed(url, account, start)
            if not as_json:
                ours = counted(len(found), "call")
                say(f"account {account.name}: {ours} of ours since {start.isoformat(timespec='seconds')}")
            for placed, record in found:
                became = _take_in(url, account_id, placed, record)
                counts[became] += 1
                if became in {TakenIn.NOBODY, TakenIn.HELD}:
                    left.append((placed.created_at, placed.provider_id, placed.campaign, became))
    if as_json:
        names = ("created_at", "provider_id", "campaign", "why")
        print_json(
            {
                "known": counts[TakenIn.KNOWN],
                "taken_in": counts[TakenIn.NEW],
                "left_out": [dict(zip(names, row, strict=True)) for row in left],
            }
        )
    else:
        known = counted(counts[TakenIn.KNOWN], "call of ours is known", "calls of ours are known")
        typer.echo(f"{known}, {counts[TakenIn.NEW]:,} taken in")
        if left:
            print_table("Left out", ("created", "call at the provider", "campaign", "why"), left)
    if left:
        first = min(left)[0].isoformat(timespec="seconds")
        say(f"{counted(len(left), 'call')} could not be taken in: mend what the table says, then add --since {first}")
        raise typer.Exit(1)
    if moved and not as_json:
        say("next: `outbound calls review` shows what a person must decide, then `outbound unfreeze --restored`")


def _listed(url: str, account: AccountDefinition, since: datetime) -> list[Found]:
    """Our calls at the provider in the order of their creation."""
    with db.transaction(url) as session:
        until = clock.read(session).now + recovering.BEFORE
    with Client.of(account, secret(account.key_env)) as provider:
        listed = list(provider.list_calls(since, until))
    ours = [(placed, record) for record in listed if (placed := read_placed(record)) is not None]
    return sorted(ours, key=lambda found: found[0].created_at)


def _take_in(url: str, account_id: UUID, placed: Placed, record: Mapping[str, Any]) -> TakenIn:
    """The call and what the provider says of it, in one transaction: no call is left without its end."""
    timing = settings().timing
    with db.transaction(url) as session:
        moment = clock.read(session)
        became = recovering.take_in(
            session, account_id, placed, who=who(), now=moment.now, real=moment.real, timing=timing
        )
        if became in {TakenIn.NOBODY, TakenIn.HELD}:
            return became
        answer = read_call(record, now=moment.now)
        event_id, _ = ingesting.store(session, account_id, answer, learned="asked", now=moment.now, real=moment.real)
        if event_id is None:
            return became
        applied, _ = ingesting.apply(session, [event_id], now=moment.now, real=moment.real, timing=timing)
        ends = [Ended(each.call_id, each.ending, learned="asked", locked=each.locked) for each in applied]
        settling.settle(session, *ends, now=moment.now, timing=timing)
    return became
