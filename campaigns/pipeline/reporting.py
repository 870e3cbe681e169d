"""Where things stand: campaigns, progress, one person's whole story."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.orm import Session

from campaigns.facts import about_campaigns, about_numbers, holds_line
from campaigns.models import (
    Account,
    Call,
    Campaign,
    Outcome,
    Pace,
    Person,
    PhoneNumber,
    Prospect,
    Tally,
)
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.pacing import RISE, Ceiling, our_lines, risen, still_granted
from campaigns.rules.prospect_state import FINAL, ProspectState

_NOBODY = "nobody with that number was ever imported"


@dataclass(frozen=True, slots=True)
class Progress:
    """One campaign in numbers, read from its tallies: as quick for ten million prospects as for ten."""

    name: str
    state: str
    state_why: str | None
    held_up: str | None
    """Why it calls nobody though it is running."""
    prospects: Mapping[str, int]
    """By state."""
    outcomes: Mapping[str, int]
    """Settled calls by outcome class."""
    calls: int
    """Calls that were made or may have been."""
    lines: int
    """Lines in use now."""
    held: Mapping[str, int]
    """Those who are held, by the reason."""
    next_due: datetime | None
    """When the first of those who wait is due; in the past: now."""

    @property
    def total(self) -> int:
        """Everybody who was imported."""
        return sum(self.prospects.values())

    @property
    def finished(self) -> int:
        """Those in a final state."""
        return sum(number for state, number in self.prospects.items() if state in FINAL)


_HELD = (
    select(Prospect.state_why, func.count())
    .where(Prospect.campaign_id == bindparam("campaign"), Prospect.state == ProspectState.HELD)
    .group_by(Prospect.state_why)
    .order_by(func.count().desc(), Prospect.state_why)
)
# One look into the index of those who are due for each priority that is in use: the first of all is in none of them.
_NEXT_DUE = text("""
    WITH RECURSIVE level AS (
         SELECT (SELECT priority FROM prospects WHERE campaign_id = :campaign AND state = 'waiting'
                  ORDER BY priority DESC LIMIT 1) AS priority
          UNION ALL
         SELECT (SELECT priority FROM prospects WHERE campaign_id = :campaign AND state = 'waiting'
                    AND priority < level.priority ORDER BY priority DESC LIMIT 1)
           FROM level WHERE level.priority IS NOT NULL)
    SELECT min((SELECT due_at FROM prospects WHERE campaign_id = :campaign AND state = 'waiting'
                   AND priority = level.priority ORDER BY due_at LIMIT 1))
      FROM level WHERE level.priority IS NOT NULL""")


def progress(session: Session, campaign: Campaign, *, now: datetime) -> Progress:
    """The campaign's figures as they are now."""
    rows = session.execute(
        select(Tally.name, func.sum(Tally.count)).where(Tally.campaign_id == campaign.id).group_by(Tally.name)
    )
    counts = {name: int(number) for name, number in rows if number}
    lines = session.scalar(
        select(func.count()).where(
            Call.account_id == campaign.account_id,
            Call.campaign_id == campaign.id,
            holds_line(now),
        )
    )
    prospects = _named(counts, "prospect:")
    held: dict[str, int] = {}
    if prospects.get(ProspectState.HELD):
        rows = session.execute(_HELD, {"campaign": campaign.id})
        held = {why or "no reason is kept": number for why, number in rows}
    return Progress(
        name=campaign.name,
        state=str(campaign.state),
        state_why=campaign.state_why,
        held_up=held_up(session, campaign, now=now),
        prospects=prospects,
        outcomes=_named(counts, "outcome:"),
        calls=counts.get("call:made", 0),
        lines=lines or 0,
        held=held,
        next_due=session.scalar(_NEXT_DUE, {"campaign": campaign.id}),
    )


def held_up(session: Session, campaign: Campaign, *, now: datetime) -> str | None:
    """Why the campaign calls nobody though it is running: account or numbers stand still, or there is no money now."""
    if campaign.state != CampaignState.RUNNING:
        return None
    account = session.get_one(Account, campaign.account_id)
    stands = _stands_still(account)
    if stands:
        return f"account {account.name} is {stands}"
    funds = about_campaigns(session, [campaign.id])[campaign.id].funds
    short = None if funds is None else funds.held_up(now)
    return short or _without_numbers(session, campaign, account, now=now)


def _without_numbers(session: Session, campaign: Campaign, account: Account, *, now: datetime) -> str | None:
    definition = AccountDefinition.model_validate(account.definition)
    if not definition.counts_days:
        return None
    own = campaign.definition["phone_number_ids"]
    known = about_numbers(session, account.id, definition, now=now)
    free = [each.free_at for each in known if each.provider_id in own]
    waits = [moment for moment in free if moment is not None]
    if len(waits) < len(free):
        return None
    return f"every caller number has made its calls of the day; the next is free at {min(waits):%Y-%m-%d %H:%M %Z}"


def caller_numbers(session: Session, name: str, *, now: datetime) -> list[dict[str, Any]]:
    """What each caller number of the account may do and did, where it may do less than the account's lines allow."""
    account = session.scalars(select(Account).where(Account.name == name)).one()
    definition = AccountDefinition.model_validate(account.definition)
    lines = our_lines(limit=definition.concurrency, granted=None, reserve=definition.reserve)
    found = []
    for each in sorted(about_numbers(session, account.id, definition, now=now), key=lambda each: each.provider_id):
        at_once, per_day = (own := definition.number(each.provider_id)).concurrency, own.per_day
        at_once = None if at_once is None or at_once >= lines else at_once
        if at_once is not None or per_day is not None:
            made = None if per_day is None else each.made
            limits = {"at_once": at_once, "per_day": per_day, "made": made, "free_at": each.free_at}
            found.append({"id": each.provider_id, **limits})
    return found


def without_numbers(session: Session, *, now: datetime) -> dict[str, str]:
    """The running campaigns whose caller numbers have all made their calls of the day, each with when that ends."""
    query = select(Campaign, Account).join(Account, Account.id == Campaign.account_id)
    running = session.execute(query.where(Campaign.state == CampaignState.RUNNING).order_by(Campaign.name))
    found = {campaign.name: _without_numbers(session, campaign, account, now=now) for campaign, account in running}
    return {name: why for name, why in found.items() if why is not None}


def accounts(session: Session) -> list[dict[str, Any]]:
    """Every account: its definition, and whether it may dial."""
    found = session.scalars(select(Account).order_by(Account.name))
    return [{**account.definition, "state": _stands_still(account) or "dialling"} for account in found]


def _stands_still(account: Account) -> str | None:
    if account.frozen_at is not None:
        return f"frozen: {account.frozen_why}" if account.frozen_why else "frozen"
    return None if account.stop_reason is None else f"stopped: {account.stop_reason}"


@dataclass(frozen=True, slots=True)
class Lines:
    """How many lines an account's own calls may use now."""

    account: str
    in_use: int
    unknown: int
    """Of those in use: by requests of which nobody knows yet whether they became calls."""
    now: int
    most: int
    """When nothing holds them back: the account's concurrency without its reserve."""
    why: str | None
    """Why they are fewer now, if they are."""

    def __str__(self) -> str:
        fewer = f": {self.why}" if self.why else ""
        unknown = f", {self.unknown} by requests of which nobody knows yet what became" if self.unknown else ""
        return f"{self.in_use} in use of {self.now}{unknown}" + (f" (otherwise {self.most}){fewer}" if self.why else "")


def lines(session: Session, *, now: datetime, real: datetime) -> list[Lines]:
    """The lines of every account that has a pace, by the account's name."""
    held = select(func.count()).where(Call.account_id == Account.id, holds_line(now)).correlate(Account)
    unknown = held.where(Call.state == CallState.UNKNOWN).scalar_subquery()
    query = select(Account, Pace, held.scalar_subquery(), unknown).join(Pace, Pace.account_id == Account.id)
    return [_lines(*row, real=real) for row in session.execute(query.order_by(Account.name))]


def _lines(account: Account, pace: Pace, in_use: int, unknown: int, *, real: datetime) -> Lines:
    definition = AccountDefinition.model_validate(account.definition)
    most = our_lines(limit=definition.concurrency, granted=None, reserve=definition.reserve)
    granted = still_granted(pace.granted, said_at=pace.granted_at, real=real)
    ours = our_lines(limit=definition.concurrency, granted=granted, reserve=definition.reserve)
    why = None if ours == most else f"the provider says that the account has {pace.granted} lines in all"
    ceiling = None
    if pace.ceiling is not None:
        ceiling = risen(Ceiling(pace.ceiling, pace.rises_at or real + RISE), ours=ours, real=real)
    if ceiling is not None:
        why = f"the provider refused one more ({pace.ceiling_why}); one is tried again every {RISE.total_seconds():g} s"
    return Lines(account.name, in_use, unknown, ours if ceiling is None else ceiling.lines, most, why)


def campaigns(session: Session, *, now: datetime) -> list[Progress]:
    """Every campaign, newest first."""
    ordered = session.scalars(select(Campaign).order_by(Campaign.created_at.desc(), Campaign.name))
    return [progress(session, campaign, now=now) for campaign in ordered]


def count_from_rows(session: Session, campaign_id: UUID) -> dict[str, int]:
    """The same figures as the tallies, counted from the rows: what the tallies are checked against."""
    states = session.execute(
        select(Prospect.state, func.count()).where(Prospect.campaign_id == campaign_id).group_by(Prospect.state)
    )
    outcomes = session.execute(
        select(Outcome.outcome, func.count())
        .join(Call, Call.id == Outcome.call_id)
        .where(Outcome.campaign_id == campaign_id, Call.settled_at.is_not(None))
        .group_by(Outcome.outcome)
    )
    made = session.scalar(select(func.count()).where(Call.campaign_id == campaign_id, Call.counted)) or 0
    return (
        {f"prospect:{state}": number for state, number in states}
        | {f"outcome:{outcome}": number for outcome, number in outcomes}
        | ({"call:made": made} if made else {})
    )


@dataclass(frozen=True, slots=True)
class Dialled:
    """One call in a list."""

    id: UUID
    campaign: str
    phone: str
    caller: str
    """The number it is made from, by the provider's id."""
    state: str
    reason: str | None
    provider_id: str | None
    claimed_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ended_reason: str | None
    incident: str | None


def calls(session: Session, *, campaign_id: UUID | None, states: Collection[CallState], limit: int) -> list[Dialled]:
    """The latest calls; only those of one campaign, only those in `states`."""
    who = (Call.id, Campaign.name, Person.number, PhoneNumber.provider_id)
    where = (Call.state, Call.state_why, Call.provider_id, Call.claimed_at, Call.started_at, Call.ended_at)
    query = (
        select(*who, *where, Call.ended_reason, Call.incident)
        .join(Campaign, Campaign.id == Call.campaign_id)
        .join(Person, Person.id == Call.person_id)
        .join(PhoneNumber, PhoneNumber.id == Call.phone_number_id)
    )
    if campaign_id is not None:
        query = query.where(Call.campaign_id == campaign_id)
    if len(states) < len(CallState):
        query = query.where(Call.state.in_(sorted(states)))
    rows: Sequence[Any] = session.execute(query.order_by(Call.claimed_at.desc(), Call.id).limit(limit)).all()
    return [Dialled(*row) for row in rows]


def _named(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}
