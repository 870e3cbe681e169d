"""`outbound calls`: the ledger of calls, and ending one that is live."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from campaigns import clock, db
from campaigns.cli.database import database, transaction, who
from campaigns.cli.output import AsJson, print_json, print_table
from campaigns.errors import NotAllowed
from campaigns.pipeline import calling, reporting, scheduling
from campaigns.rules.call_state import CallState
from campaigns.settings import secret
from campaigns.vapi.client import Client, HangUpResult

calls = typer.Typer(no_args_is_help=True, help="The calls that were made or tried.")


@calls.command("list")
def list_(
    *,
    campaign: Annotated[str | None, typer.Option(help="Only calls of this campaign.")] = None,
    state: Annotated[CallState | None, typer.Option(help="Only calls in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Calls, the latest first.

    Example: outbound calls list --campaign spring --state in_progress
    """
    with transaction() as session:
        campaign_id = None if campaign is None else scheduling.find(session, campaign).id
        found = reporting.calls(session, campaign_id=campaign_id, state=state, limit=limit)
    if as_json:
        print_json([asdict(call) for call in found])
        return
    columns = ("id", "campaign", "phone", "state", "reason", "claimed_at", "ended_at", "ended_reason")
    print_table("Calls", columns, [[getattr(call, column) for column in columns] for call in found])


@calls.command("hang-up")
def hang_up(
    call_id: Annotated[str, typer.Argument(help="The call's id, or the beginning of it.")],
    *,
    why: Annotated[str | None, typer.Option(help="Kept in the audit beside who and when.")] = None,
    as_json: AsJson = False,
) -> None:
    """End a live call at the provider. That it is over arrives as for any other call.

    Example: outbound calls hang-up 5f2c9a1e --why "asked us to stop"
    """
    with database() as url:
        with db.transaction(url) as session:
            live = calling.find_live(session, call_id)
        with Client.of(live.account, secret(live.account.key_env)) as provider:
            done = provider.hang_up(live.provider_id)
        with db.transaction(url) as session:
            calling.record_hang_up(
                session, live, result=done.result, detail=done.why, who=who(), why=why, now=clock.read(session).now
            )
    if done.result is HangUpResult.IMPOSSIBLE:
        raise NotAllowed(f"call {live.call_id} was not ended: {done.why}")
    if as_json:
        print_json({"call": live.call_id, "result": done.result})
    else:
        typer.echo(f"call {live.call_id} is {done.result}")
