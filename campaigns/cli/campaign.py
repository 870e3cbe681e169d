"""`outbound campaign`: campaigns as files, and their life."""

from __future__ import annotations

from typing import Annotated

import typer

from campaigns import clock, db
from campaigns.cli.applying import apply
from campaigns.cli.budget import as_json as budget_json
from campaigns.cli.budget import print_budget
from campaigns.cli.database import database, transaction, who
from campaigns.cli.hanging_up import hang_up_all
from campaigns.cli.in_flight import as_json as in_flight_json
from campaigns.cli.in_flight import name_them, wait_for_sending
from campaigns.cli.output import AsJson, counted, print_json, print_settings, print_table, say
from campaigns.cli.preflight import examine
from campaigns.errors import InvalidInput, NotAllowed
from campaigns.pipeline import budgeting, reporting, scheduling
from campaigns.pipeline.tracing.waiting import in_words
from campaigns.rules.campaign_state import CampaignState, Command

campaign = typer.Typer(no_args_is_help=True, help="Campaigns: what to say, to whom, when and how hard.")

Name = Annotated[str, typer.Argument(help="The campaign's name.")]
Why = Annotated[str | None, typer.Option(help="Kept in the audit beside who and when.")]


campaign.command()(apply)


@campaign.command()
def start(
    name: Name,
    *,
    no_preflight: Annotated[
        bool, typer.Option("--no-preflight", help="Start whatever the preflight would say; needs --why.")
    ] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Let a draft campaign call, from its start time on, unless its preflight finds that it would not work.

    Nothing is started where it finds an error; what it warns of is said.

    Example: outbound campaign start spring
    """
    if no_preflight:
        if not why:
            raise InvalidInput('--no-preflight: say why with --why "...": it is kept in the audit')
        why = f"without a preflight: {why}"
    else:
        _require_preflight(name)
    _command(name, Command.START, why, as_json=as_json)


def _require_preflight(name: str) -> None:
    """Raises `NotAllowed` where the preflight of a campaign that could be started finds an error."""
    with database() as url:
        with db.transaction(url) as session:
            if not scheduling.may_start(session, name):
                return  # the command itself says so, and what to do
        found = examine(url, name)
    for check in (*found.errors, *found.warnings):
        say(f"{check.level}: {check.what}: {check.say}")
    if found.errors:
        raise NotAllowed(
            f"campaign {name} is not started: mend this, or insist with "
            f'`outbound campaign start {name} --no-preflight --why "..."`'
        )


@campaign.command()
def pause(name: Name, *, why: Why = None, as_json: AsJson = False) -> None:
    """Place no further call until it is resumed. Returns when that is certain; names the calls still in flight.

    Example: outbound campaign pause spring --why "wrong script"
    """
    _command(name, Command.PAUSE, why, as_json=as_json)


@campaign.command()
def resume(name: Name, *, why: Why = None, as_json: AsJson = False) -> None:
    """Let a paused campaign call again.

    Example: outbound campaign resume spring
    """
    _command(name, Command.RESUME, why, as_json=as_json)


@campaign.command()
def cancel(
    name: Name,
    *,
    hang_up: Annotated[
        bool,
        typer.Option("--hang-up", help="Also end its live calls at the provider, and say of each what came of it."),
    ] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """End a campaign for good. Nobody else is called; calls in flight are named and run to their end.

    With --hang-up they are ended; of a campaign that was cancelled before too.

    Example: outbound campaign cancel spring --why "offer withdrawn"
    """
    if not hang_up:
        _command(name, Command.CANCEL, why, as_json=as_json)
        return
    with database() as url:
        with db.transaction(url) as session:
            state = scheduling.find(session, name).state
            if state is not CampaignState.CANCELLED:
                now = clock.read(session).now
                state = scheduling.command(session, name, Command.CANCEL, who=who(), now=now, why=why)
        if not as_json:
            typer.echo(f"campaign {name} is {state}")
        hung_up = hang_up_all(url, name, who=who(), why=why)
        in_flight = [each for each in wait_for_sending(url, name) if each[0] not in hung_up.over]
    if as_json:
        done = [{"call": each.call_id, "result": each.result, "why": each.why} for each in hung_up.calls]
        print_json({"campaign": name, "state": state, "hung_up": done, "in_flight": in_flight_json(in_flight)})
    else:
        for each in hung_up.calls:
            typer.echo(f"call {each.call_id}: {each.result}" + (f": {each.why}" if each.why else ""))
        name_them(in_flight)
    if left := len(hung_up.calls) - len(hung_up.over):
        say(
            f"{left} of {len(hung_up.calls)} calls were not ended and run to their end: "
            "`outbound calls hang-up` tries one again"
        )
        raise typer.Exit(1)


@campaign.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """Every campaign with its figures.

    Example: outbound campaign list
    """
    with transaction() as session:
        found = reporting.campaigns(session, now=clock.read(session).now)
    if as_json:
        print_json([_as_json(progress) for progress in found])
        return
    print_table(
        "Campaigns",
        ("name", "state", "people", "finished", "calls", "lines", "why"),
        [
            (each.name, each.state, each.total, each.finished, each.calls, each.lines, each.held_up or each.state_why)
            for each in found
        ],
    )


@campaign.command()
def show(name: Name, *, as_json: AsJson = False) -> None:
    """One campaign: its state, its figures and its definition.

    Example: outbound campaign show spring
    """
    with transaction() as session:
        found = scheduling.find(session, name)
        now = clock.read(session).now
        progress = reporting.progress(session, found, now=now)
        budget = budgeting.standing(session, found.id, now=now)
        definition = dict(found.definition)
    if as_json:
        print_json(_as_json(progress) | {"budget": budget_json(budget), "definition": definition})
        return
    print_progress(progress)
    print_budget(budget)
    print_settings("Definition", definition)


def print_progress(progress: reporting.Progress) -> None:
    """The campaign's figures as tables."""
    why = f" ({progress.state_why})" if progress.state_why else ""
    typer.echo(f"campaign {progress.name} is {progress.state}{why}")
    _say_what_holds_it_up(progress.held_up)
    print_table("People", ("state", "people"), [*sorted(progress.prospects.items()), ("total", progress.total)])
    if progress.outcomes:
        print_table(
            "Outcomes of settled calls",
            ("outcome", "calls"),
            sorted(progress.outcomes.items(), key=lambda item: -item[1]),
        )
    typer.echo(f"{counted(progress.calls, 'call')} made, {counted(progress.lines, 'line')} in use")
    if progress.held:
        print_table("Held, and called once that is mended", ("why", "people"), _held(progress))
    if progress.next_due is not None:
        typer.echo(next_call(progress))


def next_call(progress: reporting.Progress) -> str:
    """When the first person who waits is due, in a sentence."""
    return f"next call at {progress.next_due:%Y-%m-%d %H:%M:%S %Z}" + (
        "" if progress.state == CampaignState.RUNNING else f", were it running: it is {progress.state}"
    )


def _held(progress: reporting.Progress) -> list[tuple[str, int]]:
    return [(in_words(why), number) for why, number in progress.held.items()]


def _say_what_holds_it_up(held_up: str | None) -> None:
    if held_up is not None:
        say(f"it calls nobody: {held_up}; `outbound status` says more")


def _as_json(progress: reporting.Progress) -> dict[str, object]:
    return {
        "name": progress.name,
        "state": progress.state,
        "why": progress.state_why,
        "held_up": progress.held_up,
        "people": {**progress.prospects, "total": progress.total},
        "outcomes": dict(progress.outcomes),
        "calls": progress.calls,
        "lines": progress.lines,
        "held": dict(progress.held),
        "next_call_at": progress.next_due,
    }


def _command(name: str, wanted: Command, why: str | None, *, as_json: bool) -> None:
    with database() as url:
        with db.transaction(url) as session:
            now = clock.read(session).now
            state = scheduling.command(session, name, wanted, who=who(), now=now, why=why)
            held_up = reporting.held_up(session, scheduling.find(session, name), now=now)
        in_flight = wait_for_sending(url, name) if wanted in {Command.PAUSE, Command.CANCEL} else []
    if as_json:
        said = {"campaign": name, "state": state, "held_up": held_up}
        print_json(said | {"in_flight": in_flight_json(in_flight)})
        return
    typer.echo(f"campaign {name} is {state}")
    if state is CampaignState.SCHEDULED:
        say("it begins to call at its starts_at, by itself")
    _say_what_holds_it_up(held_up)
    name_them(in_flight)
