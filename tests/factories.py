"""Valid rows; a test sets only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.models import Account, Call, Campaign, Import, Person, PhoneNumber, Prospect
from campaigns.pipeline import defining
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.prospect_state import ProspectState

_turn = count()
REAL = datetime(2026, 11, 21, 9, tzinfo=UTC)  # of a campaign whose clock is elsewhere
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)  # no send slot of a new account is taken

ACCOUNT: dict[str, Any] = {
    "name": "main",
    "base_url": "http://127.0.0.1:9",
    "key_env": "VAPI_API_KEY",
    "concurrency": 10,
    "calls_per_second": 1000.0,
}
CAMPAIGN: dict[str, Any] = {
    "name": "spring",
    "account": "main",
    "assistant_id": "a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10",
    "phone_number_ids": ["number-1"],
    "windows": "Mon-Sun 09:00-20:00",
    "default_region": "US",
    "consent": {"source": "web form", "level": "written"},
}


def account(session: Session, now: datetime, **changes: Any) -> Account:
    definition = AccountDefinition.model_validate(ACCOUNT | changes)
    applied = defining.apply_account(session, definition, who="test", now=now, real=LONG_AGO)
    return session.get_one(Account, applied.id)


def campaign(
    session: Session, now: datetime, *, state: CampaignState = CampaignState.RUNNING, **changes: Any
) -> Campaign:
    values = CAMPAIGN | changes
    if session.scalar(select(Account.id).where(Account.name == values["account"])) is None:
        account(session, now, name=values["account"])
    applied = defining.apply_campaign(session, CampaignDefinition.model_validate(values), who="test", now=now)
    found = session.get_one(Campaign, applied.id)
    found.state = state
    session.flush()
    return found


def number() -> str:
    """A number nobody has: 10 000 of them in area codes of New York City, reserved for fiction."""
    turn = next(_turn)
    area = ("212", "646", "718", "917", "347", "929", "332")[turn // 100 % 7]
    return f"+1{area}5550{100 + turn % 100}"


def prospect(
    session: Session,
    campaign: Campaign,
    now: datetime,
    *,
    e164: str | None = None,
    state: ProspectState = ProspectState.WAITING,
    **changes: Any,
) -> Prospect:
    e164 = e164 or number()
    person = session.scalar(select(Person).where(Person.number == e164))
    if person is None:
        person = Person(number=e164, created_at=now)
        session.add(person)
    source = session.scalar(select(Import).where(Import.campaign_id == campaign.id))
    if source is None:
        source = Import(
            id=uuid4(),
            campaign_id=campaign.id,
            source="list.csv",
            columns=["phone"],
            created_at=now,
        )
        session.add(source)
    session.flush()
    values: dict[str, Any] = {
        "campaign_id": campaign.id,
        "person_id": person.id,
        "import_id": source.id,
        "line": 2,
        "extension": "",
        "country": "US",
        "states": ["US-NY"],
        "zones": ["America/New_York"],
        "variables": {"first_name": "Dana"},
        "state": state,
        "due_at": now - timedelta(minutes=1) if state is ProspectState.WAITING else None,
        "priority": 0,
        "attempts": 0,
        "calls": 0,
        "created_at": now,
        "changed_at": now,
    }
    row = Prospect(**(values | changes))
    session.add(row)
    session.flush()
    ledger.count(session, campaign.id, f"prospect:{row.state}", row.id, 1)
    ledger.write_tallies(session)
    return row


def call(
    session: Session,
    prospect: Prospect,
    now: datetime,
    *,
    state: CallState = CallState.CLAIMED,
    **changes: Any,
) -> Call:
    campaign = session.get_one(Campaign, prospect.campaign_id)
    number_id = session.scalars(select(PhoneNumber.id).where(PhoneNumber.account_id == campaign.account_id)).first()
    values: dict[str, Any] = {
        "id": uuid4(),
        "account_id": campaign.account_id,
        "campaign_id": campaign.id,
        "prospect_id": prospect.id,
        "person_id": prospect.person_id,
        "phone_number_id": number_id,
        "state": state,
        "slot_at": REAL,
        "check_at": now + timedelta(seconds=30),
        "claimed_at": now,
        "intent_at": None if state is CallState.CLAIMED else now,
        "line_until": None if state is CallState.CLAIMED else now + timedelta(minutes=10),
        "quiet_at": None if state is CallState.CLAIMED else now + timedelta(minutes=15),
        "blocked": False,
        "asked": 0,
        "counted": state is not CallState.CLAIMED,
        "changed_at": now,
    }
    row = Call(**(values | changes))
    session.add(row)
    if prospect.state is ProspectState.WAITING:
        ledger.set_state(prospect, ProspectState.IN_CALL, now=now)
    if row.counted:
        prospect.calls += 1
        ledger.count(session, campaign.id, "call:made", prospect.id, 1)
    session.flush()
    ledger.write_tallies(session)
    return row


def call_ids(session: Session) -> list[UUID]:
    return list(session.scalars(select(Call.id).order_by(Call.claimed_at)))
