"""A provider that refuses everything stops the account or pauses the campaign, and nobody is lost to it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns.ledger import set_state, uncount
from campaigns.models import Account, Call, Campaign, Change, Prospect
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import PAUSED_ITSELF, CampaignState
from campaigns.rules.prospect_state import ProspectState

REFUSALS_IN_A_ROW = 5  # one number may be odd; five different ones in a row mean that the campaign itself is
LOOK_BACK = 200  # calls: more than are under way at once with any sensible number of workers
_AT_FAULT = f"{PAUSED_ITSELF}the provider refuses every request"


def stop_account(session: Session, account_id: UUID, reason: str, *, now: datetime) -> None:
    """Claim nothing more for the account: its key or the account itself is refused."""
    account = session.get_one(Account, account_id, with_for_update={"key_share": True})
    if account.stop_reason is None:
        account.stop_reason = reason
        session.add(Change(at=now, who="provider", what="stop", subject=f"account:{account.name}", why=reason))


def pause_if_all_refused(session: Session, campaign_id: UUID, *, now: datetime) -> bool:
    """Pause a campaign whose latest requests were all refused, and give those people back; True where it did.

    A wrong assistant or number id makes the provider refuse everybody: nobody may be lost to that. Requests are under
    way side by side, so more than five may be refused before this sees five; and those that are refused after the
    pause are given back too.
    """
    campaign = session.get_one(Campaign, campaign_id, with_for_update={"key_share": True}, populate_existing=True)
    refused = _refused_in_a_row(session, campaign)
    at_fault = campaign.state is CampaignState.PAUSED and (campaign.state_why or "").startswith(_AT_FAULT)
    if not at_fault and (campaign.state is not CampaignState.RUNNING or len(refused) < REFUSALS_IN_A_ROW):
        return False
    for call_id, prospect_id, _ in sorted(refused, key=lambda each: each[1]):  # one order: two of us cannot deadlock
        prospect = session.get_one(Prospect, prospect_id, with_for_update={"key_share": True}, populate_existing=True)
        call = session.get_one(Call, call_id, populate_existing=True)
        if call.counted and prospect.state is ProspectState.REFUSED:
            uncount(session, prospect, call)
            prospect.attempts -= 1
            why = "the campaign was at fault, not the person"
            set_state(prospect, ProspectState.WAITING, now=now, due_at=now, why=why)
    if at_fault:
        return False
    campaign.state = CampaignState.PAUSED
    campaign.state_why = f"{_AT_FAULT}, the last with: {refused[0][2]}"
    session.add(
        Change(
            at=now,
            who="outbound",
            what="paused",
            subject=f"campaign:{campaign.name}",
            before={"state": CampaignState.RUNNING},
            after={"state": CampaignState.PAUSED},
            why=campaign.state_why,
        )
    )
    return True


def _refused_in_a_row(session: Session, campaign: Campaign) -> list[tuple[UUID, int, str | None]]:
    """Call, prospect and reason of each request that was refused since the last accepted one, the latest first.

    Only of those that were made since somebody last let the campaign call: what was refused before was looked at.
    """
    started = ("start", "resume", "running")
    since = session.scalar(
        select(func.max(Change.at)).where(Change.subject == f"campaign:{campaign.name}", Change.what.in_(started))
    )
    recent = Call.intent_at.is_not(None) if since is None else Call.intent_at >= since
    latest = session.execute(
        select(
            *(Call.id, Call.prospect_id, Call.state, Call.state_why, Call.provider_id),
            *(Call.counted, Call.intent_at, Call.claimed_at, Call.slot_at),
        )
        .where(Call.campaign_id == campaign.id, recent)
        .order_by(Call.claimed_at.desc(), Call.slot_at.desc())
        .limit(LOOK_BACK)
    ).all()
    refused = []
    for row in sorted(latest, key=lambda row: (row.intent_at, row.claimed_at, row.slot_at), reverse=True):
        if row.provider_id is not None:
            break
        if row.state is CallState.NOT_PLACED and row.counted:  # others are still under way, or were not the request's
            refused.append((row.id, row.prospect_id, row.state_why))
    return refused
