"""`outbound suppressions`: who is not to be called."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from campaigns import clock, db
from campaigns.cli.database import database, transaction, who
from campaigns.cli.in_flight import as_json as in_flight_json
from campaigns.cli.in_flight import name_them, wait_for_sending
from campaigns.cli.output import AsJson, print_json, print_table, say
from campaigns.cli.prospects import read_number
from campaigns.cli.stopping import import_stops
from campaigns.pipeline import scheduling, suppressing

suppressions = typer.Typer(no_args_is_help=True, help="Who is not to be called: in one campaign or in all.")

suppressions.command("import")(import_stops)

Phone = Annotated[str, typer.Argument(help="A number with its country code.")]
Region = Annotated[str | None, typer.Option(help="Of numbers without a country code, such as US.")]
Only = Annotated[str | None, typer.Option(help="Only in this campaign [default: in every one].")]


@suppressions.command()
def add(
    phone: Phone,
    *,
    campaign: Only = None,
    region: Region = None,
    why: Annotated[str, typer.Option(help="Kept beside who and when.")] = "asked not to be called",
    as_json: AsJson = False,
) -> None:
    """Call this number no more. Returns when that is certain; names a call that is still in flight.

    Example: outbound suppressions add +12125550142 --why "said so on the phone"
    """
    number = read_number(phone, region)
    with database() as url:
        with db.transaction(url) as session:
            campaign_id = None if campaign is None else scheduling.find(session, campaign).id
            now = clock.read(session).now
            person_id, added = suppressing.suppress(
                session, number, campaign_id=campaign_id, reason=why, who=who(), now=now
            )
        in_flight = wait_for_sending(url, campaign, person_id=person_id)
    if as_json:
        print_json({"phone": number, "campaign": campaign, "added": added, "in_flight": in_flight_json(in_flight)})
        return
    where = "any campaign" if campaign is None else f"campaign {campaign}"
    typer.echo(f"{number} is not called any more in {where}" if added else f"{number} was on that list already")
    name_them(in_flight)


@suppressions.command()
def remove(
    phone: Phone,
    *,
    why: Annotated[str, typer.Option(help="How you know that they may be called. Kept beside who and when.")],
    campaign: Only = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Take a number off the list. Who was done because of it stays done: import them into another campaign.

    Example: outbound suppressions remove +12125550142 --why "asked to be called again, in writing"
    """
    number = read_number(phone, region)
    with transaction() as session:
        campaign_id = None if campaign is None else scheduling.find(session, campaign).id
        now = clock.read(session).now
        suppressing.lift(session, number, campaign_id=campaign_id, who=who(), why=why, now=now)
    if as_json:
        print_json({"phone": number, "campaign": campaign})
    else:
        typer.echo(
            f"{number} may be called again in {campaign or 'every campaign'} once a list brings them anew: where they "
            "are suppressed already they stay so"
        )


@suppressions.command("list")
def list_(
    *,
    campaign: Annotated[str | None, typer.Option(help="Only who is not called in this campaign.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    before: Annotated[
        int | None, typer.Option(min=1, help="Go on after the entry of this id, the last one of the page before.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Who is not to be called, the latest first.

    Example: outbound suppressions list --campaign spring --limit 1000 --json
    """
    with transaction() as session:
        campaign_id = None if campaign is None else scheduling.find(session, campaign).id
        found = suppressing.entries(session, campaign_id=campaign_id, limit=limit, before=before)
    if as_json:
        print_json([asdict(entry) for entry in found])
    else:
        rows = [(each.phone, each.campaign or "every campaign", each.reason, each.since) for each in found]
        print_table("Not to be called", ("phone", "campaign", "why", "since"), rows)
        if len(found) == limit:
            say(f"there may be more: --before {found[-1].id}")
