"""Rows under lock, always in the same order; and the ids by which they are found."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, bindparam, select, text
from sqlalchemy.orm import Session

from campaigns.errors import UnknownName
from campaigns.facts import CampaignFacts, about_campaigns
from campaigns.models import Account, Call, Campaign, Import, Pace, Prospect
from campaigns.rules.timing import Timing

_GUARD = text("SELECT pg_advisory_xact_lock(hashtextextended(word, 0)) FROM unnest(CAST(:words AS text[])) AS word")

# Whoever shares a lock on a row gets by those who wait to change it, for as long as there is somebody else who shares
# it. The server's advisory locks have a queue, so whoever shares those rows passes here first.
_SHARE_QUEUE = text("""
    SELECT pg_advisory_xact_lock_shared(hashtextextended(id::text, 0))
      FROM (SELECT 1 AS turn, account_id AS id FROM calls WHERE id = ANY(:calls)
             UNION SELECT 2, campaign_id FROM calls WHERE id = ANY(:calls)
             UNION SELECT 2, unnest(CAST(:campaigns AS uuid[])) ORDER BY turn, id) AS shared""")

# Here and elsewhere what is asked for each call is written once: to build a query takes as long as to run it.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)

# NO KEY UPDATE: rows that refer to these by a foreign key can still be written meanwhile.
_LOCK_PROSPECTS = (
    select(Prospect)
    .where(Prospect.id.in_(select(Call.prospect_id).where(Call.id.in_(_IDS))))
    .order_by(Prospect.id)
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)

_LOCK_CALLS = (
    select(Call)
    .where(Call.id.in_(_IDS))
    .order_by(Call.id)
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)

_LISTINGS: dict[type[Call | Import], tuple[str, str]] = {
    Call: ("a call", "outbound calls list"),
    Import: ("an import", "outbound prospects imports"),
}

Changing = TypeVar("Changing", Account, Campaign)


@dataclass(frozen=True, slots=True)
class Locked:
    """A call and its prospect under lock, with the terms of their campaign."""

    prospect: Prospect
    call: Call
    campaign: CampaignFacts
    timing: Timing


def queue_to_share(session: Session, *, calls: Collection[UUID] = (), campaign_id: UUID | None = None) -> None:
    """Wait behind whoever waits to change these calls' accounts and campaigns, or this campaign.

    For all who are about to share-lock such a row: else one after another would, and the change would never come.
    """
    campaigns = [] if campaign_id is None else [campaign_id]
    session.execute(_SHARE_QUEUE, {"calls": list(calls), "campaigns": campaigns})


def lock_to_change(session: Session, kind: type[Changing], *which: ColumnElement[bool]) -> Sequence[Changing]:
    """The accounts or campaigns of which that holds, all of them without a condition, locked in the order of their ids.

    This waits for whoever shares one of them now, and for nobody who comes later: see `queue_to_share`.
    """
    query = select(kind).where(*which).order_by(kind.id)
    ids = session.scalars(query.with_only_columns(kind.id)).all()
    session.execute(_GUARD, {"words": [str(found) for found in ids]})
    locking = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return session.scalars(locking).all()


def lock_pace(session: Session, account_id: UUID) -> Pace:
    """The account's pace as it is now, under lock: after calls and prospects, as whoever holds it waits for neither."""
    return session.get_one(Pace, account_id, with_for_update={"key_share": True}, populate_existing=True)


def find_id(session: Session, kind: type[Call | Import], wanted: str) -> UUID:
    """The id that begins with `wanted`, dashes or not. Raises `UnknownName` where no or more than one row has it."""
    digits = wanted.strip().replace("-", "").lower()
    one, listing = _LISTINGS[kind]
    there = f"`{listing}` shows those there are"
    if not re.fullmatch("[0-9a-f]{4,32}", digits):
        raise UnknownName(f"{wanted[:50]!r} is not the id of {one}, nor at least 4 digits of one: {there}")
    # A range of ids, so that the primary key finds them.
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = session.scalars(select(kind.id).where(kind.id.between(first, last)).limit(2)).all()
    if len(found) != 1:
        number = "more than one" if found else "no"
        raise UnknownName(f"{number} {one.partition(' ')[2]} has an id that begins so: {there}")
    return found[0]


def lock(session: Session, call_id: UUID, *, timing: Timing) -> Locked | None:
    """The call and its prospect, locked in the ledger's order; None where there is no such call."""
    return lock_all(session, [call_id], timing=timing).get(call_id)


def lock_all(session: Session, call_ids: Collection[UUID], *, timing: Timing) -> dict[UUID, Locked]:
    """These calls and their prospects, locked in the ledger's order; what does not exist is left out.

    All prospects come before all calls and each kind in the order of its ids, so that no two batches deadlock.
    """
    ids = {"ids": list(call_ids)}
    prospects = {prospect.id: prospect for prospect in session.scalars(_LOCK_PROSPECTS, ids)}
    if not prospects:
        return {}
    calls = session.scalars(_LOCK_CALLS, ids).all()
    campaigns = about_campaigns(session, {call.campaign_id for call in calls})
    return {
        call.id: Locked(
            prospects[call.prospect_id],
            call,
            campaigns[call.campaign_id],
            timing.permitted(loopback=campaigns[call.campaign_id].account.loopback),
        )
        for call in calls
    }


def guard_ids(session: Session, ids: Iterable[tuple[UUID, str]]) -> None:
    """Wait until nobody else gives these ids, each of an account, to a call or a dead letter.

    What they did is seen by the next query. Without it both could look before the other commits: the report would
    wait for an id that came long ago.
    """
    words = sorted(f"{account_id}:{provider_id}" for account_id, provider_id in ids)  # in one order: no deadlocks
    session.execute(_GUARD, {"words": words})
