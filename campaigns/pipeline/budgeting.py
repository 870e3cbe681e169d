"""A campaign that has spent its budget pauses itself, and costs nobody a try.

That no call passes a limit is the intent's own work, which reserves the money. This is for the people who wait: they
need somebody to say whether the campaign goes on. A day's budget is no pause: its campaign goes on the next day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from campaigns.facts import about_campaigns
from campaigns.ledger import lock_to_change, pause
from campaigns.models import Call, Campaign, Prospect, Spending
from campaigns.rules.campaign_state import PAUSED_ITSELF, CampaignState
from campaigns.rules.prospect_state import ProspectState


def watched(session: Session) -> list[UUID]:
    """The campaigns that may have spent their budget."""
    query = select(Campaign.id).join(Spending, Spending.campaign_id == Campaign.id)
    return list(session.scalars(query.where(Campaign.state == CampaignState.RUNNING).order_by(Campaign.id)))


def pause_if_used_up(session: Session, campaign_id: UUID, *, now: datetime) -> bool:
    """Pause the campaign if its whole budget is spent and somebody still waits to be called; True where it did.

    While money is reserved for calls that go on it may come back, so this waits for them. Looks without a lock first:
    nearly always there is nothing to do.
    """
    if not _is_used_up(session, campaign_id, now=now):
        return False
    (campaign,) = lock_to_change(session, Campaign, Campaign.id == campaign_id)
    waits = exists().where(Prospect.campaign_id == campaign_id, Prospect.state == ProspectState.WAITING)
    why = _is_used_up(session, campaign_id, now=now)
    if why is None or campaign.state is not CampaignState.RUNNING or not session.scalar(select(waits)):
        return False
    pause(session, campaign, f"{PAUSED_ITSELF}{why}; give it more in its file and apply that", now=now)
    return True


def waiting(session: Session, *, now: datetime) -> list[tuple[str, str]]:
    """The running campaigns that have no money for a call now, by name, and why; most go on by themselves."""
    campaigns = about_campaigns(session, watched(session)).values()
    return sorted(
        (each.definition.name, why)
        for each in campaigns
        if each.funds is not None and (why := each.funds.held_up(now)) is not None
    )


@dataclass(frozen=True, slots=True)
class Rest:
    """What became of one limit, in US dollars."""

    limit: Decimal
    spent: Decimal
    reserved: Decimal
    """For calls whose cost is not known yet, each at the most that it may cost."""

    @property
    def left(self) -> Decimal:
        """What more may be reserved; below zero where calls cost more than was reserved for them."""
        return self.limit - self.spent - self.reserved


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a campaign's budget stands."""

    total: Rest | None
    today: Rest | None
    day: date
    """Which day it is in the campaign's own zone."""
    one_call: Decimal
    """The most that a call may cost."""
    estimated: int
    """Calls of which nobody said what they cost: they are counted at the most."""


def standing(session: Session, campaign_id: UUID, *, now: datetime) -> Standing | None:
    """Where the campaign's budget stands; None where it has none."""
    funds = about_campaigns(session, [campaign_id])[campaign_id].funds
    if funds is None:
        return None
    estimated = select(func.count()).where(Call.campaign_id == campaign_id, Call.estimated)
    return Standing(
        total=None if funds.total is None else Rest(funds.total, funds.spent, funds.reserved),
        today=None if funds.per_day is None else Rest(funds.per_day, *funds.on_the_day(now)),
        day=now.astimezone(funds.zone).date(),
        one_call=funds.worst,
        estimated=session.scalar(estimated) or 0,
    )


def _is_used_up(session: Session, campaign_id: UUID, *, now: datetime) -> str | None:
    funds = about_campaigns(session, [campaign_id])[campaign_id].funds
    shortage = None if funds is None else funds.shortage(now)
    return shortage.why if shortage is not None and shortage.used_up else None
