"""`outbound rules`: what law and codes say about calling people of a place, and what you made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from campaigns import clock, db, facts
from campaigns.cli import rules_shown
from campaigns.cli.applying import work_out_anew
from campaigns.cli.database import database, transaction, who
from campaigns.cli.files import read_toml
from campaigns.cli.output import AsJson, print_json, print_table, say
from campaigns.errors import InvalidInput
from campaigns.pipeline import overruling, scheduling
from campaigns.rules.address import locate
from campaigns.rules.calling_rules.overriding import read_overrides
from campaigns.rules.phone import InvalidPhone, Places, parse_and_place
from campaigns.rules.place import RULES_ALONE, place
from campaigns.rules.windows import zone_named

rules = typer.Typer(no_args_is_help=True, help="Calling rules: what applies to a number, and your own in their place.")


@rules.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """Every place whose rules are known, the hours for an artificial voice, and which rows are your own.

    Example: outbound rules list
    """
    with transaction() as session:
        rows = facts.calling_rules(session).rows()
        own = overruling.standing(session)
    if as_json:
        print_json([rules_shown.row(each, own.get(each.code)) for each in rows])
        return
    print_table(
        "Calling rules",
        ("code", "hours", "by", "consent", "holidays", "verified", "your own"),
        [
            (
                each.code,
                "none known" if each.window is None else each.window.describe(),
                rules_shown.basis(each),
                "voice blocked" if each.artificial_voice_blocked else each.consent,
                each.holidays.policy,
                each.verification,
                f"{own[each.code].why or 'stricter'}" if each.code in own else "",
            )
            for each in rows
        ],
    )


@rules.command()
def show(
    phone: Annotated[str, typer.Argument(help="A number, with its country code or with --region.")],
    *,
    region: Annotated[str | None, typer.Option(help="The country of a number without a country code.")] = None,
    state: Annotated[str | None, typer.Option(help="The state of the person's address, by code or name.")] = None,
    postal_code: Annotated[str | None, typer.Option(help="The postal code of the person's address.")] = None,
    zone: Annotated[str | None, typer.Option(help="The person's own time zone, where it is known.")] = None,
    campaign: Annotated[str | None, typer.Option(help="With the hours and dates of this campaign, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """What applies to calls to a number: where its owner may be, whose rules bind, and when they may be called next.

    Example: outbound rules show +12155550142 --state PA
    """
    number, where = _whereabouts(phone, region, state, postal_code, zone)
    with transaction() as session:
        now = clock.read(session).now
        book, terms = facts.calling_rules(session), RULES_ALONE
        if campaign is not None:
            campaign_id = scheduling.find(session, campaign).id
            terms = facts.about_campaigns(session, [campaign_id])[campaign_id].terms
        own = overruling.standing(session)
    found = place(terms, book, where.country, tuple(sorted(where.states)), tuple(sorted(where.zones)))
    shown = rules_shown.Shown(number, where, found, own, now)
    if as_json:
        print_json(shown.as_json())
    else:
        shown.print()


@rules.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A TOML file with a section for each place, such as [US-TX].")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put your own rules in place of those that are shipped. Stricter freely; looser only with `why`, which is kept.

    Every process on every machine decides by them when this has returned. Due times are worked out anew.

    Example: outbound rules apply rules.toml
    """
    rows = read_overrides(read_toml(file), source=str(file))
    with database() as url:
        with db.transaction(url) as session:
            changed = overruling.apply(session, rows, who=who(), now=clock.read(session).now)
        _work_out_everybody_anew(url)
    if as_json:
        print_json([{"code": code, "changed": is_new} for code, is_new in changed.items()])
        return
    for code, is_new in changed.items():
        typer.echo(f"rules of {code} {'changed' if is_new else 'unchanged'}")


@rules.command()
def remove(
    code: Annotated[str, typer.Argument(help="The place, such as US-TX.")],
    *,
    why: Annotated[str, typer.Option(help="Kept in the audit beside who and when.")],
    as_json: AsJson = False,
) -> None:
    """Let the rules of a place be as they are shipped again. Due times are worked out anew.

    Example: outbound rules remove US-TX --why "the shipped hours are right after all"
    """
    with database() as url:
        with db.transaction(url) as session:
            overruling.remove(session, code, who=who(), why=why, now=clock.read(session).now)
        _work_out_everybody_anew(url)
    if as_json:
        print_json({"code": code, "removed": True})
    else:
        typer.echo(f"rules of {code} are as they are shipped")


def _work_out_everybody_anew(url: str) -> None:
    with db.transaction(url) as session:
        campaigns = overruling.open_campaigns(session)
    for campaign_id in campaigns:
        work_out_anew(url, campaign_id)
    if campaigns:
        say(f"due times of {len(campaigns)} campaigns were worked out anew")


def _whereabouts(
    phone: str, region: str | None, state: str | None, postal_code: str | None, zone: str | None
) -> tuple[str, Places]:
    """The number, and where an import of it with this address would have its owner be."""
    try:
        number, where = parse_and_place(phone, default_region=region)
    except InvalidPhone as problem:
        hint = "or name its country with --region"
        raise InvalidInput(f"that is not a number with its country code: {problem}; {hint}") from problem
    address = locate(where.country or region, state, postal_code)
    if address is None:
        raise InvalidInput(f"{state!r} is no state of {where.country or region}: write its name or code, such as TX")
    zones = {zone_named(zone).key} if zone is not None else address.zones or where.zones
    return number.e164, Places(where.country, where.states | address.states, frozenset(zones))
