"""`outbound prospects`: people in, and one person's whole story."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from campaigns import clock
from campaigns.cli.database import transaction
from campaigns.cli.importing import import_, rejected_
from campaigns.cli.output import AsJson, print_json, print_table
from campaigns.cli.telling import Line, local, print_lines
from campaigns.errors import InvalidInput, UnknownName
from campaigns.pipeline import scheduling, tracing, uploading
from campaigns.pipeline.tracing.waiting import Someone, in_words, people
from campaigns.rules.phone import InvalidPhone, parse
from campaigns.rules.prospect_state import ProspectState

prospects = typer.Typer(no_args_is_help=True, help="The people to call.")


prospects.command("import")(import_)
prospects.command("rejected")(rejected_)


@prospects.command()
def imports(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The lists that were imported, the latest first, and how far those are that a worker reads.

    Example: outbound prospects imports
    """
    with transaction() as session:
        found = uploading.standing(session, limit=limit)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(
        "Imports",
        ("import", "begun", "list", "campaign", "rows", "new", "rejected", "state"),
        [
            (
                str(each.id)[:8],
                f"{each.begun_at:%m-%d %H:%M}",
                each.source,
                each.campaign,
                each.rows,
                each.new,
                each.rejected,
                each.state if each.share in {None, 1.0} else f"{each.state} ({each.share:.0%})",
            )
            for each in found
        ],
    )


@prospects.command("list")
def list_(
    *,
    campaign: Annotated[str, typer.Option(help="The campaign's name.")],
    state: Annotated[ProspectState | None, typer.Option(help="Only those in this state.")] = None,
    incidents: Annotated[bool, typer.Option("--incidents", help="Only those with an incident.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """People of a campaign, with their state and its reason. `outbound outcomes export` gives all of them.

    Example: outbound prospects list --campaign spring --state review
    """
    with transaction() as session:
        found = people(
            session,
            scheduling.find(session, campaign).id,
            state=state,
            incidents=incidents,
            limit=limit,
            now=clock.read(session).now,
        )
    if as_json:
        print_json([asdict(each) | {"due_local": _local(each)} for each in found])
        return
    rows = [
        (each.phone, each.name, each.state, each.calls, _next_call(each), each.why or in_words(each.reason))
        for each in found
    ]
    print_table("Prospects", ("phone", "name", "state", "calls", "next call", "why"), rows, least=("calls", "name"))


def _local(someone: Someone) -> datetime | None:
    return None if someone.due_at is None else local(someone.due_at, someone.zone)


def _next_call(someone: Someone) -> str:
    """The hour of the person's own day."""
    there = _local(someone) or someone.due_at
    return "" if there is None else f"{there:%a %m-%d %H:%M %Z}"


@prospects.command()
def trace(
    phone: Annotated[str, typer.Argument(help="The person's number, or your own id of them (external_id).")],
    *,
    region: Annotated[
        str | None, typer.Option(help="The country of a number without a country code [default: the campaign's].")
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Whose external id it is, where campaigns use the same for different people.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One person's whole story, over all campaigns: what happened, what was decided and why, and what comes next.

    Example: outbound prospects trace +14155550142
    """
    with transaction() as session:
        found = None if campaign is None else scheduling.find(session, campaign)
        known = None if found is None else found.definition.get("default_region")
        number, problem = None, None
        try:
            number = parse(phone, default_region=region or known).e164
        except InvalidPhone as wrong:
            problem = wrong
        try:
            person = tracing.find_person(session, phone, number=number, campaign_id=None if found is None else found.id)
        except UnknownName:
            if problem is None:
                raise
            raise InvalidInput(
                f"{phone[:50]} is nobody's external_id, and not a number with its country code: {problem}"
            ) from problem
        story = tracing.trace(session, person, now=clock.read(session).now)
    if as_json:
        print_json([asdict(moment) | {"local": local(moment.at, story.zone)} for moment in story.stories])
        return
    lines = [Line(each.at, f"{each.campaign}: {each.what}", each.detail) for each in story.stories]
    print_lines(f"Story of {story.phone}", lines, zone=story.zone)


def read_number(phone: str, region: str | None = None) -> str:
    """The E.164 number that somebody typed. Raises `InvalidInput`."""
    try:
        return parse(phone, default_region=region).e164
    except InvalidPhone as problem:
        raise InvalidInput(
            f"that is not a number with its country code: {problem}; name the country with --region"
        ) from problem
