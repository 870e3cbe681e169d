"""The `outbound` command: nouns, then verbs."""

from __future__ import annotations

import io
import os
import re
import sys

import psycopg
import typer
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer exports none of its parser's errors

from campaigns.cli.accounts import accounts
from campaigns.cli.audit import audit
from campaigns.cli.calls import calls
from campaigns.cli.campaign import campaign
from campaigns.cli.database import database_url, upgrade
from campaigns.cli.demo import demo
from campaigns.cli.events import events
from campaigns.cli.outcomes import outcomes
from campaigns.cli.output import say
from campaigns.cli.preflight import preflight
from campaigns.cli.prospects import prospects
from campaigns.cli.rules import rules
from campaigns.cli.simulator import simulator
from campaigns.cli.status import freeze, status, unfreeze
from campaigns.cli.suppressions import suppressions
from campaigns.cli.up import up
from campaigns.errors import InvalidInput, OutboundError, SetupError

app = typer.Typer(
    name="outbound",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Outbound call campaigns on Vapi: from a CSV of people to one structured outcome for each.",
)
tables = typer.Typer(no_args_is_help=True, help="The database's tables.")


@tables.callback()
def _group() -> None:
    """The database's tables."""


@tables.command("upgrade")
def upgrade_() -> None:
    """Bring the database of DATABASE_URL to this version's tables.

    Example: outbound db upgrade
    """
    url = database_url()
    if url is None:
        raise SetupError("DATABASE_URL is not set: embedded servers are upgraded by themselves")
    upgrade(url)
    typer.echo("the database has this version's tables")


campaign.command()(preflight)
app.add_typer(accounts, name="accounts")
app.add_typer(campaign, name="campaign")
app.add_typer(prospects, name="prospects")
app.add_typer(calls, name="calls")
app.add_typer(outcomes, name="outcomes")
app.add_typer(suppressions, name="suppressions")
app.add_typer(rules, name="rules")
app.add_typer(events, name="events")
app.add_typer(tables, name="db")
for verb in (up, demo, simulator, status, freeze, unfreeze, audit):
    app.command()(verb)


def main() -> None:
    """Run the command. What is wrong comes as one line on stderr, and the exit code says that it failed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names are in every script; a machine whose locale knows only one must not stop a command half-way.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        _check_arguments()
        sys.exit(app(prog_name="outbound", standalone_mode=False))
    except NoArgsIsHelpError as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except ClickException as problem:
        say(f"outbound: {_advice(problem)}")
        sys.exit(problem.exit_code)
    except typer.Abort:
        sys.exit(1)
    except OutboundError as problem:
        say(f"outbound: {problem}")
        sys.exit(1)
    except (SQLAlchemyError, psycopg.Error) as problem:
        say(f"outbound: {_in_a_line(problem)}")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _check_arguments() -> None:
    # Before anything is done: the database would refuse them after a call was ended, and its audit would be lost.
    odd = next((word for word in sys.argv[1:] if re.search("[\ud800-\udfff]", word)), None)
    if odd is not None:
        shown = odd.encode(errors="backslashreplace").decode()
        raise InvalidInput(f"{shown[:50]} holds bytes that are no UTF-8 text: write it in this terminal's letters")


def _advice(problem: ClickException) -> str:
    message = problem.format_message().replace("Value error, ", "").rstrip(". ")
    context = getattr(problem, "ctx", None)
    return message if context is None else f"{message}: `{context.command_path} --help` says how"


def _in_a_line(problem: SQLAlchemyError | psycopg.Error) -> str:
    if not isinstance(problem, DBAPIError | psycopg.Error):
        return f"the database cannot be used: {type(problem).__name__}"
    said = problem if isinstance(problem, psycopg.Error) else problem.orig
    first = (str(said).strip().splitlines() or [type(said).__name__])[0]
    if isinstance(problem, OperationalError | psycopg.OperationalError):
        return f"the database does not answer: {first}"
    return f"the database refused: {first}"


if __name__ == "__main__":
    main()
