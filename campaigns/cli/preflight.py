"""`outbound campaign preflight`: would this campaign work? Asks the provider about it and calls nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from campaigns.cli.database import transaction
from campaigns.cli.output import AsJson, print_json, print_table
from campaigns.errors import CallFailure, SetupError
from campaigns.facts import about_campaigns
from campaigns.pipeline import scheduling
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
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
from campaigns.vapi.templates import needed


def preflight(
    name: Annotated[str, typer.Argument(help="The campaign's name.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say whether a campaign would work: its key, assistant, numbers and webhooks. Nobody is called.

    Exits 1 when anything would not work.

    Example: outbound campaign preflight spring
    """
    with transaction() as session:
        campaign_id = scheduling.find(session, name).id
        campaign = about_campaigns(session, [campaign_id])[campaign_id]
    checks = examine(campaign.definition, campaign.account)
    failed = any(check.level is Level.ERROR for check in checks)
    if as_json:
        listed = [{"check": check.what, "level": check.level, "say": check.say} for check in checks]
        print_json({"campaign": name, "passed": not failed, "checks": listed})
    else:
        title = f"Preflight of {name}: " + ("would not work" if failed else "would work")
        print_table(title, ("check", "is", "what to do"), [(check.what, check.level, check.say) for check in checks])
    if failed:
        raise typer.Exit(1)


def examine(campaign: CampaignDefinition, account: AccountDefinition) -> list[Check]:
    """Every check, in the order in which to mend them."""
    wanted = [account.key_env, *(name for check in account.webhook for name in check.secret_env)]
    secrets = _secrets(wanted)
    checks = list(judge_setup(account, [name for name in dict.fromkeys(wanted) if name not in secrets]))
    if account.key_env in secrets:
        with Client.of(account, secrets[account.key_env]) as provider:
            checks += judge_answers(campaign, account, _ask(provider, campaign))
    return checks


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
