"""What a file says becomes an account or a campaign, or changes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed, UnknownName
from campaigns.ledger import lock_to_change, record, spending
from campaigns.models import LOCK_REHEARSAL, Account, Campaign, Pace, PhoneNumber, Rehearsal
from campaigns.rules.campaign_state import OVER, CampaignState
from campaigns.rules.definition import AccountDefinition, CampaignDefinition


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a file did."""

    id: UUID
    created: bool
    changed: tuple[str, ...]
    """The keys whose value is another one now."""


def apply_account(
    session: Session, definition: AccountDefinition, *, who: str, now: datetime, real: datetime
) -> Applied:
    """Create the account, or give it this definition. A stop for a refused key is lifted: the file was looked at.

    Raises `NotAllowed` for a real provider while a rehearsal moves the clock.
    """
    if not definition.loopback:
        _no_rehearsal(session, definition)
    account = next(iter(lock_to_change(session, Account, Account.name == definition.name)), None)
    stored = definition.model_dump(mode="json")
    before = None
    created = account is None
    if account is None:
        account = Account(id=uuid4(), name=definition.name, definition=stored, created_at=now)
        session.add(account)
        session.flush()
        session.add(Pace(account_id=account.id, next_slot=real))
    else:
        before = account.definition
        account.definition = stored
    changed = _differences(before, stored)
    why = None
    if account.stop_reason is not None:
        changed = (*changed, "it may dial again")
        why = f"it was stopped: {account.stop_reason}"
        account.stop_reason = None
    if changed:
        subject = f"account:{definition.name}"
        record(session, who=who, what="apply", subject=subject, before=before, after=stored, now=now, why=why)
    return Applied(account.id, created, changed)


def _no_rehearsal(session: Session, definition: AccountDefinition) -> None:
    session.execute(text(LOCK_REHEARSAL))
    if session.get(Rehearsal, 1) is not None:
        raise NotAllowed(
            f"account {definition.name} talks to {definition.base_url}, but the clock of this database is a "
            "rehearsal's, which would move everybody's calling hours: apply the account in another database"
        )


def apply_campaign(session: Session, definition: CampaignDefinition, *, who: str, now: datetime) -> Applied:
    """Create the campaign as a draft, or give it this definition.

    Raises `UnknownName` for an account that does not exist, `NotAllowed` for a campaign that is over or would move to
    another account. After a change the due times are worked out anew with `scheduling.reschedule`.
    """
    account = session.scalar(select(Account).where(Account.name == definition.account).with_for_update(read=True))
    if account is None:
        raise UnknownName(f"account {definition.account!r} does not exist: create it with `outbound accounts apply`")
    campaign = next(iter(lock_to_change(session, Campaign, Campaign.name == definition.name)), None)
    stored = definition.model_dump(mode="json")
    before = None
    created = campaign is None
    if campaign is None:
        campaign = Campaign(
            id=uuid4(), account_id=account.id, name=definition.name, state=CampaignState.DRAFT, created_at=now
        )
        session.add(campaign)
    else:
        if campaign.account_id != account.id:
            raise NotAllowed(f"campaign {campaign.name} belongs to another account: give the new one another name")
        if campaign.state in OVER:
            raise NotAllowed(f"campaign {campaign.name} is {campaign.state}: give the new one another name")
        before = campaign.definition
    campaign.definition = stored
    campaign.starts_at = definition.starts_at
    campaign.ends_at = definition.ends_at
    session.flush()
    for provider_id in definition.phone_number_ids:
        statement = insert(PhoneNumber).values(
            id=uuid4(), account_id=account.id, provider_id=provider_id, created_at=now
        )
        session.execute(
            statement.on_conflict_do_nothing(index_elements=[PhoneNumber.account_id, PhoneNumber.provider_id])
        )
    if definition.budget is not None and (before is None or before.get("budget") is None):
        spending.open_account(session, campaign.id, definition, now=now)
    changed = _differences(before, stored)
    if changed:
        record(
            session, who=who, what="apply", subject=f"campaign:{definition.name}", before=before, after=stored, now=now
        )
    return Applied(campaign.id, created, changed)


def _differences(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[str, ...]:
    if before is None:
        return tuple(sorted(after))
    return tuple(sorted(key for key in {*before, *after} if before.get(key) != after.get(key)))
