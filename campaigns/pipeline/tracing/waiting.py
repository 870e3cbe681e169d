"""Who waits, for when, and why until then."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from campaigns.facts import about_campaigns, gather
from campaigns.models import Call, Person, Prospect
from campaigns.rules.eligibility import Reason
from campaigns.rules.explaining import explain
from campaigns.rules.place import place
from campaigns.rules.prospect_state import ProspectState

SOON = "called as soon as a line and a send slot are free"
LOT = 1_000  # people whose facts are asked for at once
_REASONS: Collection[str] = frozenset(Reason)


@dataclass(frozen=True, slots=True)
class NextCall:
    """When somebody who waits is called next."""

    due_at: datetime
    why: str
    """Why then and not sooner; empty where nothing stands in the way."""


def next_calls(session: Session, prospects: Iterable[Prospect], *, now: datetime) -> dict[int, NextCall]:
    """When each of those who wait is called next, by the rules as they are now, and why then."""
    waiting = iter([prospect for prospect in prospects if prospect.due_at is not None])
    found: dict[int, NextCall] = {}
    while lot := list(islice(waiting, LOT)):
        campaigns = about_campaigns(session, {prospect.campaign_id for prospect in lot})
        facts = gather(session, [prospect.id for prospect in lot], campaigns=campaigns)
        for prospect in lot:
            campaign = campaigns[prospect.campaign_id]
            where = (prospect.country, tuple(sorted(prospect.states)), tuple(sorted(prospect.zones)))
            says = place(campaign.terms, campaign.rules, *where).says
            kept = in_words(prospect.state_why)
            wish = kept if kept and prospect.calls else "the list says"
            due_at = prospect.due_at or now
            why = explain(facts[prospect.id], now, names=says, wish=wish)
            # Another look was agreed on for later than the rules need: that is the reason, then.
            parts = [kept] if why.due_at is not None and why.due_at < due_at and now < due_at else []
            parts.append(why.text)
            text = "; ".join(part for part in parts if part)
            found[prospect.id] = NextCall(max(due_at, why.due_at or due_at), text)
    return found


def in_words(why: str | None) -> str:
    """A kept reason without the word by which programs know it."""
    reason, colon, detail = (why or "").partition(": ")
    return detail if colon and reason in _REASONS else why or ""


@dataclass(frozen=True, slots=True)
class Someone:
    """One prospect in a list."""

    phone: str
    extension: str
    name: str | None
    state: str
    reason: str | None
    calls: int
    due_at: datetime | None
    """When the next call is due, by the rules as they are now."""
    zone: str | None
    """The first zone that the person may be in."""
    why: str | None
    """Why then and not sooner, of who waits."""


def people(
    session: Session,
    campaign_id: UUID,
    *,
    state: ProspectState | None,
    incidents: bool,
    limit: int,
    now: datetime,
) -> list[Someone]:
    """The first prospects of the campaign in the order of import; only those in `state`, only those with incidents."""
    query = select(Person.number, Prospect).join(Person, Person.id == Prospect.person_id)
    query = query.where(Prospect.campaign_id == campaign_id)
    if state is not None:
        query = query.where(Prospect.state == state)
    if incidents:
        query = query.where(exists().where(Call.prospect_id == Prospect.id, Call.incident.is_not(None)))
    rows = session.execute(query.order_by(Prospect.id).limit(limit)).all()
    following = next_calls(session, [prospect for _, prospect in rows], now=now)
    return [
        Someone(
            phone=number,
            extension=each.extension,
            name=each.name,
            state=each.state,
            reason=each.state_why,
            calls=each.calls,
            due_at=following[each.id].due_at if each.id in following else None,
            zone=each.zones[0] if each.zones else None,
            why=following[each.id].why if each.id in following else None,
        )
        for number, each in rows
    ]
