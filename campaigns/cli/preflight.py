"""`outbound campaign preflight`: what would happen if the campaign started. Asks the provider and calls nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from campaigns import clock, db
from campaigns.cli.database import database
from campaigns.cli.knocking import knock
from campaigns.cli.outlook import Preflight, moment, money, print_preflight
from campaigns.cli.outlook import as_json as outlook_json
from campaigns.cli.output import AsJson, print_json
from campaigns.errors import CallFailure, SetupError
from campaigns.facts import CampaignFacts, about_campaigns
from campaigns.pipeline import calling, forecasting, scheduling, warning
from campaigns.pipeline.forecasting import Forecast, Gap, Outlook
from campaigns.rules.definition import RESERVED_VARIABLES, AccountDefinition, CampaignDefinition
from campaigns.rules.forecast import spent_until
from campaigns.settings import secret
from campaigns.vapi.checks import (
    Answer,
    Answers,
    Check,
    Level,
    assistant_ids,
    judge_answers,
    judge_setup,
    prompts,
    tool_ids,
)
from campaigns.vapi.client import Client
from campaigns.vapi.openings import judge_opening, opening
from campaigns.vapi.templates import needed


def preflight(
    name: Annotated[str, typer.Argument(help="The campaign's name.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what would happen if the campaign started: whom it calls, when, for how much, and what would not work.

    Nobody is called. Exits 1 when `start` would refuse it.

    Example: outbound campaign preflight spring
    """
    with database() as url:
        found = examine(url, name)
    if as_json:
        print_json(outlook_json(found))
    else:
        print_preflight(found)
    if found.errors:
        raise typer.Exit(1)


def examine(url: str, name: str) -> Preflight:
    """Look at everything that a start depends on. Raises `UnknownName`."""
    with db.transaction(url) as session:
        campaign_id = scheduling.find(session, name).id
        campaign = about_campaigns(session, [campaign_id])[campaign_id]
        time = clock.read(session)
        outlook = forecasting.look_ahead(session, campaign, now=time.now)
        terms = forecasting.terms(session, campaign, real=time.real, speed=time.speed)
        samples = calling.samples(session, campaign, outlook.some)
        asleep = forecasting.asleep(session, warning.PERIODIC, real=time.real)
    definition, account = campaign.definition, campaign.account
    provider = _asked(definition, account)
    checks = list(judge_setup(account, provider.missing))
    if (knocked := knock(account, real=time.real)) is not None:
        checks.append(knocked)
    missing: list[Gap] = []
    if provider.answers is not None:
        checks += judge_answers(definition, account, provider.answers)
        squad, assistants = provider.answers.squad, provider.answers.assistants
        checks += judge_opening(opening(definition, squad, assistants), outlook.places)
        names = needed(prompts(definition, squad, assistants)) - RESERVED_VARIABLES
        with db.transaction(url) as session:
            missing = forecasting.gaps(session, campaign, names)
    forecast = forecasting.forecast(campaign, outlook, terms, now=time.now)
    zone: tzinfo = UTC if definition.zone is None else ZoneInfo(definition.zone)
    checks += _judge_people(campaign, outlook, missing)
    checks += _judge_standing(campaign, asleep)
    if forecast is not None:
        checks += _judge_forecast(campaign, forecast, zone, now=time.now)
    return Preflight(name, time.now, zone, definition, checks, outlook, terms, forecast, samples)


def variables_said(campaign: CampaignDefinition, account: AccountDefinition) -> frozenset[str]:
    """The variables without which the campaign's assistant would leave a gap.

    Raises `CallFailure` or `SetupError` where that cannot be learned.
    """
    if campaign.assistant is not None:
        return needed(prompts(campaign, None, {}))
    with Client.of(account, secret(account.key_env)) as provider:
        squad = None if campaign.squad_id is None else provider.get_squad(campaign.squad_id)
        assistants = {each: provider.get_assistant(each) for each in assistant_ids(campaign, squad)}
        return needed(prompts(campaign, squad, assistants))


# --- what is found, judged -------------------------------------------------------------------------------------------


def _judge_people(campaign: CampaignFacts, outlook: Outlook, gaps: Sequence[Gap]) -> Iterator[Check]:
    name = campaign.definition.name
    if not outlook.people:
        say = f"there is nobody: import a list with `outbound prospects import FILE --campaign {name}`"
        yield Check("people", Level.ERROR, say)
    elif not outlook.call:
        yield Check("people", Level.ERROR, "nobody would be called: the reasons are listed with the people")
    else:
        yield Check("people", Level.OK, f"{outlook.call:,} of {outlook.people:,} would be called")
    if held := sum(left.count for left in outlook.hold):
        say = f"{held:,} would not be called until something is mended: the reasons are listed with the people"
        yield Check("people held", Level.WARNING, say)
    if outlook.review:
        say = f"{outlook.review:,} wait for a decision: `outbound calls review` shows them"
        yield Check("people in review", Level.WARNING, say)
    if outlook.rejected:
        say = f"{outlook.rejected:,} rows of the lists could not be used: `outbound prospects imports` shows of which"
        yield Check("rejected rows", Level.NOTE, say)
    for gap in gaps:
        everybody = gap.count >= outlook.call + sum(left.count for left in outlook.hold)
        who = "everybody lacks" if everybody else f"{gap.count:,} of them lack"
        say = (
            f"{who} the variable that the assistant says, such as {', '.join(gap.examples)}: give a default in "
            "[variables], or import a list that has it with --update"
        )
        yield Check(f"variable {gap.name}", Level.ERROR if everybody else Level.WARNING, say)


def _judge_standing(campaign: CampaignFacts, asleep: Sequence[str]) -> Iterator[Check]:
    name = campaign.account.name
    if campaign.frozen:
        say = "is frozen: nobody is called until `outbound unfreeze`; `outbound status` says why"
        yield Check(f"account {name}", Level.WARNING, say)
    if campaign.account_stop is not None:
        say = f"is stopped: {campaign.account_stop}; mend it, then `outbound accounts apply` again"
        yield Check(f"account {name}", Level.ERROR, say)
    if len(asleep) == len(warning.PERIODIC):
        yield Check("workers", Level.WARNING, "none runs, so nobody would be called: start `outbound up`")
    elif asleep:
        queues = ", ".join(dict.fromkeys(task.partition(".")[0] for task in asleep))
        say = f"no sign of life from {', '.join(asleep)}: is there a worker of {queues}, and beat?"
        yield Check("workers", Level.WARNING, say)
    else:
        yield Check("workers", Level.OK, "run")


def _judge_forecast(campaign: CampaignFacts, forecast: Forecast, zone: tzinfo, *, now: datetime) -> Iterator[Check]:
    definition, expected = campaign.definition, forecast.expected
    if expected.expired:
        say = (
            f"about {expected.expired:,} people would be left over at its ends_at: end it later, widen the windows, "
            "or call with more lines"
        )
        yield Check("end", Level.WARNING, say)
    budget, prices = definition.budget, definition.prices
    if budget is None or prices is None:
        return
    per_minute = prices.per_minute
    costs = tuple(per_minute * Decimal(minutes) for minutes in forecast.minutes)
    if budget.total is not None:
        total = Decimal(str(budget.total))
        funds = campaign.funds
        gone = Decimal(0) if funds is None else funds.spent + funds.reserved
        total -= gone
        rest = f"what is left of the budget, {money(total)}," if gone else f"the budget of {money(total)}"
        reached = spent_until(expected, float(total / per_minute))
        shortage = None if funds is None else funds.shortage(now)
        if shortage is not None and shortage.used_up:
            yield Check("budget", Level.ERROR, f"{shortage.why}: give it more in its file and apply that")
        elif reached is not None:
            say = f"{rest} would be spent by about {moment(reached, zone)}; it then pauses itself"
            yield Check("budget", Level.WARNING, say)
        elif costs[1] > total:
            say = f"{rest} may not suffice: it may cost up to {money(costs[1])}"
            yield Check("budget", Level.NOTE, say)
        else:
            yield Check("budget", Level.OK, f"{money(total)} suffices: at most about {money(costs[1])} is expected")
    if budget.per_day is not None:
        most = Decimal(str(budget.per_day))
        days: dict[str, Decimal] = {}
        for hour, minutes in expected.minutes_by_hour:
            day = f"{hour.astimezone(zone):%Y-%m-%d}"
            days[day] = days.get(day, Decimal(0)) + per_minute * Decimal(minutes)
        over = [day for day, cost in days.items() if cost > most]
        if over:
            say = (
                f"{money(most)} a day would be spent before the day is over on {len(over)} of {len(days)} days, the "
                f"first of them {over[0]}; it then waits for the next day"
            )
            yield Check("daily budget", Level.WARNING, say)
        else:
            yield Check("daily budget", Level.OK, f"{money(most)} a day suffices")


# --- the provider, asked ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Provider:
    missing: Sequence[str]
    """Names of secrets that are not set here."""
    answers: Answers | None
    """None where there is no key to ask with."""


def _asked(campaign: CampaignDefinition, account: AccountDefinition) -> _Provider:
    wanted = [account.key_env, *(name for check in account.webhook for name in check.secret_env)]
    secrets = _secrets(wanted)
    missing = [name for name in dict.fromkeys(wanted) if name not in secrets]
    if account.key_env not in secrets:
        return _Provider(missing, None)
    with Client.of(account, secrets[account.key_env]) as provider:
        return _Provider(missing, _ask(provider, campaign))


def _secrets(names: list[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(SetupError):
            found[name] = secret(name)
    return found


def _ask(provider: Client, campaign: CampaignDefinition) -> Answers:
    squad = None if campaign.squad_id is None else _answer(provider.get_squad, campaign.squad_id)
    assistants = _each(provider.get_assistant, assistant_ids(campaign, squad))
    return Answers(
        squad=squad,
        assistants=assistants,
        tools=_each(provider.get_tool, tool_ids(campaign, squad, assistants)),
        phone_numbers=_each(provider.get_phone_number, campaign.phone_number_ids),
    )


def _each(ask: Callable[[str], Mapping[str, Any] | None], ids: Any) -> dict[str, Answer]:
    return {each: _answer(ask, each) for each in ids}


def _answer(ask: Callable[[str], Mapping[str, Any] | None], wanted: str) -> Answer:
    try:
        return ask(wanted)
    except CallFailure as failure:
        return failure
