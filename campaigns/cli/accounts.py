"""`outbound accounts`: the Vapi organisations that campaigns call through."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from campaigns import clock
from campaigns.cli.database import transaction, who
from campaigns.cli.files import read_toml
from campaigns.cli.output import AsJson, print_json, print_settings, print_table, say
from campaigns.errors import InvalidDefinition, UnknownName
from campaigns.pipeline import defining, reporting
from campaigns.rules.definition import AccountDefinition, read_definition
from campaigns.settings import secret, settings
from campaigns.web.doors import strategies

accounts = typer.Typer(no_args_is_help=True, help="The Vapi organisations that campaigns call through.")


@accounts.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A TOML file that describes one account.")], *, as_json: AsJson = False
) -> None:
    """Create an account, or change it to what the file says.

    The file holds the NAMES of environment variables, never a secret. Their values are looked for now, so that a
    missing one is not found out in the middle of a campaign.

    Example: outbound accounts apply vapi.toml
    """
    definition = read_definition(AccountDefinition, read_toml(file), source=str(file))
    secret(definition.key_env)
    try:
        strategies(definition.webhook)
    except InvalidDefinition as problem:
        raise InvalidDefinition(f"{file}: webhook: {problem}") from problem
    if definition.public_url is not None and not definition.webhook and not settings().insecure_webhooks:
        raise InvalidDefinition(
            f"{file}: public_url needs at least one [[webhook]] check, "
            "or OUTBOUND_INSECURE_WEBHOOKS=true where `outbound up` runs this rehearsal"
        )
    with transaction(create=True) as session:
        moment = clock.read(session)
        applied = defining.apply_account(session, definition, who=who(), now=moment.now, real=moment.real)
    if as_json:
        print_json({"account": definition.name, "created": applied.created, "changed": applied.changed})
    else:
        print_applied("account", definition.name, applied)
    if definition.public_url is None:
        say("no public_url: results are asked for instead of pushed, which takes minutes longer")


@accounts.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """Every account and whether it may dial.

    Example: outbound accounts list
    """
    with transaction() as session:
        found = reporting.accounts(session)
    if as_json:
        print_json(found)
        return
    columns = ("name", "base_url", "concurrency", "calls_per_second", "state")
    print_table("Accounts", columns, [[account[column] for column in columns] for account in found])


@accounts.command()
def show(name: Annotated[str, typer.Argument(help="The account's name.")], *, as_json: AsJson = False) -> None:
    """One account in full, secrets by name only, how many lines its calls may use now, and what its numbers may do.

    Example: outbound accounts show main
    """
    with transaction() as session:
        found = [account for account in reporting.accounts(session) if account["name"] == name]
        moment = clock.read(session)
        lines = {each.account: each for each in reporting.lines(session, now=moment.now, real=moment.real)}
        numbers = reporting.caller_numbers(session, name, now=moment.now) if found else []
    if not found:
        raise UnknownName(f"account {name!r} does not exist: `outbound accounts list` shows those that do")
    if as_json:
        print_json(found[0] | {"lines": asdict(lines[name]), "caller_numbers": numbers})
    else:
        print_settings(f"Account {name}", found[0] | {"lines": str(lines[name])})
    if numbers and not as_json:
        columns = ("at_once", "per_day", "made", "free_at")
        title = "Caller numbers that may do less than the account"
        rows = [[each["id"], *(each[column] for column in columns)] for each in numbers]
        print_table(title, ("id", "at once", "in 24 h", "made", "next free at"), rows)


def print_applied(kind: str, name: str, applied: defining.Applied) -> None:
    """One line that says what applying a file did."""
    if applied.created:
        typer.echo(f"{kind} {name} created")
    elif applied.changed:
        typer.echo(f"{kind} {name} changed: {', '.join(applied.changed)}")
    else:
        typer.echo(f"{kind} {name} is already like that")
