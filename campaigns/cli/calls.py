"""`outbound calls`: the ledger of calls, and ending one that is live."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from campaigns import clock, db, ledger
from campaigns.cli.database import database, transaction, who
from campaigns.cli.output import AsJson, print_json, print_table
from campaigns.cli.reconcile import reconcile
from campaigns.errors import InvalidInput, NotAllowed
from campaigns.models import Call
from campaigns.pipeline import reporting, reviewing, scheduling, settling, withdrawing
from campaigns.pipeline.reviewing import Decision
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import IN_FLIGHT, CallState
from campaigns.settings import secret, settings
from campaigns.vapi.client import Client, HangUpResult

calls = typer.Typer(no_args_is_help=True, help="The calls that were made or tried.")
calls.command()(reconcile)


@calls.command("list")
def list_(
    *,
    campaign: Annotated[str | None, typer.Option(help="Only calls of this campaign.")] = None,
    state: Annotated[CallState | None, typer.Option(help="Only calls in this state.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Only calls that go on now, or may.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Calls, the latest first.

    Example: outbound calls list --campaign spring --live
    """
    states = frozenset(CallState) if state is None else frozenset({state})
    states = states & IN_FLIGHT if live else states
    with transaction() as session:
        campaign_id = None if campaign is None else scheduling.find(session, campaign).id
        found = reporting.calls(session, campaign_id=campaign_id, states=states, limit=limit)
    if as_json:
        print_json([asdict(call) for call in found])
        return
    where = ("id", "campaign", "phone", "caller")
    columns = (*where, "state", "reason", "claimed_at", "ended_at", "ended_reason", "incident")
    least = ("caller", "ended_at", "campaign", "reason")
    print_table("Calls", columns, [[getattr(call, column) for column in columns] for call in found], least=least)


@calls.command()
def review(
    call: Annotated[
        str | None, typer.Argument(help="The call's id, or the beginning of it; without one all that wait are shown.")
    ] = None,
    *,
    decision: Annotated[
        Decision | None,
        typer.Option(
            "--as",
            help="not-placed: there was no such call; its person is due again and nothing counts. answered, "
            "voicemail, no-answer, busy or unknown: it was placed and is over; the retry plan decides what follows. "
            "seen: somebody looked at its incident.",
        ),
    ] = None,
    why: Annotated[str | None, typer.Option(help="How you know. Kept in the audit beside who and when.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Show only calls of this campaign.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show so many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the calls of which nobody can tell what became, and those with an incident; or decide one of them.

    Look the call up at the provider first, by its id or by its number and time. While a call is in review, nobody
    calls that person in any campaign.

    Example: outbound calls review 5f2c9a1e --as not-placed --why "not in the call log of that day"
    """
    if call is None:
        if decision is not None or why is not None:
            raise InvalidInput("say which call: `outbound calls review` shows their ids")
        _show_open(campaign, limit, as_json=as_json)
        return
    if decision is None:
        raise InvalidInput(f"say what became of it with --as, one of {', '.join(Decision)}")
    if not (why or "").strip():
        raise InvalidInput("say with --why how you know")
    _decide(call, decision, str(why), as_json=as_json)


def _show_open(campaign: str | None, limit: int, *, as_json: bool) -> None:
    with transaction() as session:
        campaign_id = None if campaign is None else scheduling.find(session, campaign).id
        found = reviewing.to_decide(session, campaign_id=campaign_id, limit=limit)
    if as_json:
        print_json([asdict(each) for each in found])
    elif not found:
        typer.echo("no call waits for a decision")
    else:
        columns = ("id", "campaign", "phone", "state", "since", "why", "the provider said", "later call", "--as")
        rows = [
            (
                *(each.id, each.campaign, each.phone, each.state, each.since, each.incident or each.why),
                "; ".join(each.provider_said) or "nothing",
                each.later_call,
                " | ".join(each.choices),
            )
            for each in found
        ]
        print_table("Calls to decide", columns, rows)


def _decide(wanted: str, decision: Decision, why: str, *, as_json: bool) -> None:
    timing = settings().timing
    with transaction() as session:
        call_id = ledger.find_id(session, Call, wanted)
        moment = clock.read(session)
        ending = reviewing.decide(
            session, call_id, decision, who=who(), why=why, now=moment.now, real=moment.real, timing=timing
        )
        if ending is not None:
            over = Ended(call_id, ending, learned="decided", give_up=True)
            settling.settle(session, over, now=moment.now, timing=timing)
        after = reviewing.standing(session, call_id)
    if as_json:
        print_json({"call": call_id, "as": decision, **asdict(after)})
        return
    typer.echo(f"call {call_id} is {after.state}; its person is {after.person}: {after.why or 'no more is known'}")


@calls.command("hang-up")
def hang_up(
    call_id: Annotated[str, typer.Argument(help="The call's id, or the beginning of it.")],
    *,
    why: Annotated[str | None, typer.Option(help="Kept in the audit beside who and when.")] = None,
    as_json: AsJson = False,
) -> None:
    """End a live call at the provider. That it is over arrives as for any other call.

    Its person is done in this campaign, whatever was said until then: completed, or cancelled where the provider calls
    the end so. Somebody who is to be called by no campaign goes on the do-not-call list, too.

    Example: outbound calls hang-up 5f2c9a1e --why "asked us to stop"
    """
    with database() as url:
        with db.transaction(url) as session:
            live = withdrawing.find_live(session, call_id)
        with Client.of(live.account, secret(live.account.key_env)) as provider:
            done = provider.hang_up(live.provider_id)
        with db.transaction(url) as session:
            withdrawing.record_hang_up(
                session, live, result=done.result, detail=done.why, who=who(), why=why, now=clock.read(session).now
            )
    if done.result is HangUpResult.IMPOSSIBLE:
        raise NotAllowed(f"call {live.call_id} was not ended: {done.why}")
    if as_json:
        print_json({"call": live.call_id, "result": done.result})
    else:
        typer.echo(f"call {live.call_id} is {done.result}")
