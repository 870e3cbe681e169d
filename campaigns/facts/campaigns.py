"""What is the same for every prospect of a campaign: its terms, its account, the rules, its money."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Text, and_, bindparam, cast, func, select
from sqlalchemy.orm import Session

from campaigns.models import Account, Campaign, Import, RuleOverride, Spending
from campaigns.rules.calling_rules import Rulebook
from campaigns.rules.calling_rules.overriding import rulebook
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.definition.money import exact
from campaigns.rules.place import Terms, terms_of
from campaigns.rules.spending import Funds


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """What is the same for every prospect of a campaign."""

    id: UUID
    account_id: UUID
    state: CampaignState
    definition: CampaignDefinition
    account: AccountDefinition
    frozen: bool
    account_stop: str | None
    rules: Rulebook
    terms: Terms
    funds: Funds | None = None
    """Its budget and what of it is gone, where it has one."""


AWAITS_WORKER = and_(Import.queued_at.is_not(None), Import.finished_at.is_(None), Import.failed_why.is_(None))
"""Whether a list was handed over and is not imported yet: a worker is to do it, or is doing it."""

_RULES = select(cast(func.jsonb_object_agg(RuleOverride.code, RuleOverride.row), Text))

_CAMPAIGNS = (
    select(
        Campaign.id,
        Campaign.account_id,
        Campaign.state,
        cast(Campaign.definition, Text).label("definition"),
        cast(Account.definition, Text).label("account"),
        Account.frozen_at,
        Account.stop_reason,
        *(Spending.spent, Spending.reserved, Spending.day, Spending.day_spent, Spending.day_reserved),
        _RULES.scalar_subquery().label("rules"),  # a few rows, asked for once however many campaigns there are
    )
    .join(Account, Account.id == Campaign.account_id)
    .outerjoin(Spending, Spending.campaign_id == Campaign.id)
    .where(Campaign.id.in_(bindparam("ids", expanding=True)))
)


def about_campaigns(session: Session, campaign_ids: Collection[UUID]) -> dict[UUID, CampaignFacts]:
    """What is the same for every prospect, for each of these campaigns."""
    rows = session.execute(_CAMPAIGNS, {"ids": list(campaign_ids)})
    return {
        row.id: CampaignFacts(
            id=row.id,
            account_id=row.account_id,
            state=row.state,
            definition=_campaign_definition(row.definition),
            account=_account_definition(row.account),
            frozen=row.frozen_at is not None,
            account_stop=row.stop_reason,
            rules=rulebook(row.rules),
            terms=_campaign_terms(row.definition),
            funds=_funds(_campaign_definition(row.definition), row),
        )
        for row in rows
    }


def _funds(definition: CampaignDefinition, row: Any) -> Funds | None:
    budget = definition.budget
    if budget is None or row.day is None:
        return None
    return Funds(
        total=None if budget.total is None else exact(budget.total),
        per_day=None if budget.per_day is None else exact(budget.per_day),
        worst=definition.worst_case,
        zone=definition.own_zone,
        spent=row.spent,
        reserved=row.reserved,
        day=row.day,
        day_spent=row.day_spent,
        day_reserved=row.day_reserved,
    )


def calling_rules(session: Session) -> Rulebook:
    """The rules as they are now: those that are shipped, and what an operator made of them."""
    return rulebook(session.scalar(_RULES))


# Read for every call and event, and the same nearly every time: to validate them took longer than to ask for them.
@lru_cache(maxsize=256)
def _campaign_definition(stored: str) -> CampaignDefinition:
    return CampaignDefinition.model_validate(orjson.loads(stored))


@lru_cache(maxsize=256)
def _campaign_terms(stored: str) -> Terms:
    return terms_of(_campaign_definition(stored))


@lru_cache(maxsize=64)
def _account_definition(stored: str) -> AccountDefinition:
    return AccountDefinition.model_validate(orjson.loads(stored))
