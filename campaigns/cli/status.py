"""`outbound status`, `outbound freeze`, `outbound unfreeze`: is anything wrong, and stop everything."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.cli.campaign import next_call
from campaigns.cli.database import database, transaction, who
from campaigns.cli.in_flight import as_json as in_flight_json
from campaigns.cli.in_flight import name_them, wait_for_sending
from campaigns.cli.output import AsJson, counted, print_json
from campaigns.errors import NotAllowed
from campaigns.pipeline import budgeting, halting, reporting, scheduling, warning
from campaigns.pipeline.tracing.waiting import in_words
from campaigns.pipeline.warning import Trouble
from campaigns.rules.campaign_state import CampaignState

NEXT_STEPS = (
    "run `outbound calls reconcile`, look at `outbound calls review`, pause, cancel and suppress again what was "
    "stopped since the copy was made, then say `outbound unfreeze --restored`"
)
Why = Annotated[str | None, typer.Option(help="Kept in the audit beside who and when.")]


def status(*, as_json: AsJson = False) -> None:
    """Say whether anything needs a person; exits 1 if so.

    Says too where the provider grants fewer lines for now, and which campaign waits for the next day's budget or for a
    caller number that has not made its calls of the day.

    Example: outbound status
    """
    with transaction() as session:
        troubles = warning.troubles(session)
        moment = clock.read(session)
        fewer = [lines for lines in reporting.lines(session, now=moment.now, real=moment.real) if lines.why]
        short = budgeting.waiting(session, now=moment.now)
        full = reporting.without_numbers(session, now=moment.now)
        moved = halting.moved(session)
        running = [each for each in reporting.campaigns(session, now=moment.now) if each.state == CampaignState.RUNNING]
        silences = warning.silences(session, now=moment.now, real=moment.real, speed=moment.speed)
    if moved is not None:
        # Each account is frozen for it: once is enough.
        troubles = [Trouble(moved, NEXT_STEPS), *(each for each in troubles if moved not in each.what)]
    troubles += [Trouble(what, "start it with `outbound up`, or see what its log says") for what in silences]
    if as_json:
        print_json([{"what": each.what, "count": each.count or 1, "do": each.do} for each in troubles])
    elif not troubles:
        typer.echo("nothing needs you")
    else:
        for each in troubles:
            typer.echo(str(each))
    if not as_json:
        for lines in fewer:
            typer.echo(f"account {lines.account} has fewer lines for now: {lines}")
        for name, why in short:
            typer.echo(f"campaign {name} calls nobody for now: {why}")
        for campaign, why in full.items():
            typer.echo(f"campaign {campaign} calls nobody: {why}")
        for progress in running:
            _say_what_comes(progress)
    if troubles:
        raise typer.Exit(1)


def _say_what_comes(progress: reporting.Progress) -> None:
    """What a running campaign does next, and whom it waits for somebody to mend."""
    held = [f"{number:,} {in_words(why)}" for why, number in progress.held.items()]
    parts = [next_call(progress)] if progress.next_due is not None else []
    parts += [f"{counted(sum(progress.held.values()), 'person', 'people')} held: {', '.join(held)}"] if held else []
    if parts:
        typer.echo(f"campaign {progress.name}: {'; '.join(parts)}")


def freeze(*, why: Why = None, as_json: AsJson = False) -> None:
    """Stop all dialling on every account. Returns when that is certain; names the calls still in flight.

    Example: outbound freeze --why "wrong list"
    """
    _set_frozen(frozen=True, why=why, as_json=as_json)


def unfreeze(
    *,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored", help="The database was restored or failed over, and `outbound calls reconcile` is done."
        ),
    ] = False,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Permit dialling again.

    A database that was restored from a copy, or a replica that took over, may have forgotten calls. Then nothing dials,
    and this is refused until it says --restored: first `outbound calls reconcile` asks the provider for the calls that
    are missing here, and `outbound calls review` shows those that a person must decide.

    Example: outbound unfreeze
    """
    _set_frozen(frozen=False, why=why, restored=restored, as_json=as_json)


def _set_frozen(*, frozen: bool, why: str | None, restored: bool = False, as_json: bool) -> None:
    with database() as url:
        with db.transaction(url) as session:
            now = clock.read(session).now
            if not frozen:
                _accept_home(session, restored=restored, why=why, now=now)
            changed = scheduling.set_frozen(session, frozen=frozen, who=who(), now=now, why=why)
            everybody = reporting.accounts(session)
        in_flight = wait_for_sending(url, None) if frozen else []
    if as_json:
        print_json({"frozen": frozen, "accounts": changed, "in_flight": in_flight_json(in_flight)})
    elif not everybody:
        typer.echo("there is no account that could dial")
    else:
        done = "frozen" if frozen else "permitted to dial again"
        typer.echo(f"{', '.join(changed)}: {done}" if changed else f"every account was already {done}")
        name_them(in_flight)


def _accept_home(session: Session, *, restored: bool, why: str | None, now: datetime) -> None:
    moved = halting.moved(session)
    if moved is None:
        return
    if not restored:
        raise NotAllowed(f"{moved}: {NEXT_STEPS}")
    halting.accept_home(session, who=who(), why=why, now=now)
