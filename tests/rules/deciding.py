"""Decisions about people who are in no database."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from campaigns.facts import CampaignFacts, PersonalConsent, about_newcomer
from campaigns.rules.calling_rules import SHIPPED, Rulebook
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.eligibility import Facts
from campaigns.rules.place import terms_of
from tests.factories import ACCOUNT, CAMPAIGN

NOBODY = UUID(int=0)
GIVEN = {"source": "form", "level": "written", "obtained_at": "2026-02-01T00:00:00Z"}


def running(book: Rulebook = SHIPPED, **changes: Any) -> CampaignFacts:
    """A campaign that runs; without changes it calls all day and night, and has written consent."""
    always = {"windows": "daily 00:00-24:00", "consent": GIVEN}
    definition = CampaignDefinition.model_validate(CAMPAIGN | always | changes)
    return CampaignFacts(
        id=NOBODY,
        account_id=NOBODY,
        state=CampaignState.RUNNING,
        definition=definition,
        account=AccountDefinition.model_validate(ACCOUNT),
        frozen=False,
        account_stop=None,
        rules=book,
        terms=terms_of(definition),
    )


def someone(
    campaign: CampaignFacts,
    country: str | None,
    states: Collection[str],
    zones: Collection[str],
    *,
    own: PersonalConsent | None = None,
    not_before: datetime | None = None,
) -> Facts:
    return about_newcomer(
        campaign,
        country=country,
        states=states,
        zones=zones,
        suppressed=False,
        own_consent=own,
        not_before=not_before,
    )
