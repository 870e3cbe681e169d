"""What a run of the machine begins with: an account with three lines and two campaigns that share people."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from campaigns.ledger import spending
from campaigns.models import Campaign, Person, Spending
from campaigns.rules.definition import CampaignDefinition
from tests import factories

LINES = 3
SMALL = UUID(int=2)
"""The id of the campaign that may use one line only."""
RETRY = {
    "max_attempts": 3,
    "max_calls": 5,
    "counts": ["no_answer", "busy", "voicemail", "answered_completed"],
    "no_answer": ["10m"],
    "busy": ["2m"],
    "voicemail": ["10m"],
    "technical": ["1m"],
}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "large": {
        "people": [(1, ""), (1, "12"), (0, ""), (2, ""), (3, ""), (4, "")],
        "weight": 2,
        "prices": {"platform": 0.1},  # ten minutes: 1.00 at most, and 0.05 where a report says so
        "budget": {"total": 9.0, "per_day": 5.0},
    },
    "small": {"people": [(0, ""), (1, ""), (4, "")], "max_concurrency": 1},
}


def two_campaigns(session: Session, now: datetime, **account: Any) -> tuple[UUID, list[int]]:
    """The ids of the account and of everybody who is to be called."""
    account_id = factories.account(session, now, concurrency=LINES, **account).id
    numbers = [factories.number() for _ in range(5)]
    for turn, (name, how) in enumerate(CAMPAIGNS.items()):
        terms = {key: value for key, value in how.items() if key != "people"}
        breaker = {"calls": 5, "share": 0.6, "within": "12h"}
        made = factories.campaign(session, now, name=name, retry=RETRY, breaker=breaker, **terms)
        # Equal in each run: campaigns of equal need are served in the order of their ids.
        session.execute(delete(Spending))  # it refers to the campaign
        session.execute(update(Campaign).where(Campaign.id == made.id).values(id=UUID(int=turn + 1)))
        session.expunge_all()
    for campaign in session.scalars(select(Campaign).order_by(Campaign.id)).all():
        definition, how = CampaignDefinition.model_validate(campaign.definition), CAMPAIGNS[campaign.name]
        if definition.budget is not None:
            spending.open_account(session, campaign.id, definition, now=now)
        for person, extension in how["people"]:
            factories.prospect(session, campaign, now, e164=numbers[person], extension=extension)
    return account_id, list(session.scalars(select(Person.id).order_by(Person.id)))
