"""Moving campaigns along in a test, with the breaker asked as a worker asks it."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from campaigns.pipeline import breaking, scheduling
from campaigns.rules.campaign_state import CampaignState


def advance(session: Session, *, now: datetime) -> list[tuple[str, CampaignState]]:
    """What one tick of upkeep moved."""
    at_fault = partial(breaking.pause_if_at_fault, session, now=now)
    return [
        moved
        for campaign_id in scheduling.ripe(session, now=now)
        for moved in scheduling.advance(session, campaign_id, now=now, at_fault=at_fault)
    ]
