"""Due prospects become claimed calls, never more than there are lines and send slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

from sqlalchemy import Table, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, about_campaigns, gather, holds_line
from campaigns.ledger import lock_pace, set_state
from campaigns.models import Account, Call, Campaign, Pace, Prospect
from campaigns.pipeline.dispatching.numbering import Held, Numbers, last_numbers, look_at, numbers_of
from campaigns.pipeline.dispatching.queueing import due_people
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.eligibility import RECHECK, Allowed, Refused, decide
from campaigns.rules.pacing import (
    DOUBTS,
    RISE,
    Ceiling,
    Demand,
    free_lines,
    our_lines,
    risen,
    share,
    slots_within,
    stamp,
    still_granted,
    together,
)
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing

LARGEST_LOT = 500  # due people looked at by one query: a few megabytes of facts
LOOKED_AT_MOST = 2_000  # due people to a claim, over all campaigns: about a second; the next tick goes on


@dataclass(frozen=True, slots=True)
class _Claim:
    call_id: UUID
    prospect_id: int
    person_id: int
    number_id: UUID


@dataclass(slots=True)
class _Lines:
    """An account's lines in use, kept up to date while more are claimed."""

    campaigns: Counter[UUID] = field(default_factory=Counter)
    numbers: dict[UUID, Held] = field(default_factory=dict)
    paid: Mapping[UUID, int] = field(default_factory=dict)
    """The most calls at once of each campaign that its budget has room for."""


def accounts_with_work(session: Session) -> list[UUID]:
    """The accounts that may dial and have a running campaign, or calls that were claimed and never sent."""
    running = select(Campaign.id).where(Campaign.account_id == Account.id, Campaign.state == CampaignState.RUNNING)
    claimed = select(Call.id).where(Call.account_id == Account.id, Call.state == CallState.CLAIMED)
    return list(session.scalars(select(Account.id).where(or_(running.exists(), claimed.exists())).order_by(Account.id)))


def claim_due(session: Session, account_id: UUID, *, now: datetime, real: datetime, timing: Timing) -> list[UUID]:
    """Turn due prospects of the account's running campaigns into claimed calls; returns every call to offer a worker.

    The account's pace row is locked first: two dispatchers count the lines one after the other. Calls that were
    claimed but not sent within their lease are offered again with a new slot; nothing was sent for them.
    """
    pace = lock_pace(session, account_id)
    account = session.get_one(Account, account_id, populate_existing=True)
    definition = AccountDefinition.model_validate(account.definition)
    timing = timing.permitted(loopback=definition.loopback)
    if pace.backoff_until is not None and pace.backoff_until > real:
        return []
    rate = definition.calls_per_second
    # While the provider is away one request is tried, and nobody is kept waiting behind it.
    room = 1 if pace.doubts >= DOUBTS else slots_within(next_slot=pace.next_slot, now=real, rate=rate)
    offered = _offer_again(session, account_id, pace, rate, room, real=real, timing=timing)
    if account.frozen_at is not None or account.stop_reason is not None:
        return offered
    lines = _lines_in_use(session, account_id, now=now)
    granted = still_granted(pace.granted, said_at=pace.granted_at, real=real)
    ours = our_lines(limit=definition.concurrency, granted=granted, reserve=definition.reserve)
    free = min(
        free_lines(ours=ours, ceiling=_ceiling(pace, ours, real=real), held=lines.campaigns.total()),
        room - len(offered),
    )
    if free == 0:
        return offered
    running = session.scalars(
        select(Campaign.id).where(Campaign.account_id == account_id, Campaign.state == CampaignState.RUNNING)
    ).all()
    hungry = about_campaigns(session, running)
    lines.paid = {
        each.id: lines.campaigns[each.id] + each.funds.room(now) for each in hungry.values() if each.funds is not None
    }
    numbers = look_at(session, account_id, definition, lines.numbers, now=now)
    patience = dict.fromkeys(hungry, LOOKED_AT_MOST // max(1, len(hungry)))
    while free > 0 and hungry:
        demands = [_demand(campaign, lines, numbers) for campaign in hungry.values()]
        shares = {campaign_id: most for campaign_id, most in share(free, demands).items() if most}
        if not shares:
            break  # each of them has as many lines as it may
        for campaign_id, most in sorted(shares.items()):
            claims, more, looked_at = _claim(
                session, hungry[campaign_id], most, patience[campaign_id], lines, numbers, now=now
            )
            patience[campaign_id] -= looked_at
            slots, pace.next_slot = stamp(len(claims), next_slot=pace.next_slot, now=real, rate=rate)
            _stamp(session, [claim.call_id for claim in claims], slots, timing=timing)
            offered += [claim.call_id for claim in claims]
            free -= len(claims)
            if not more or patience[campaign_id] <= 0:
                del hungry[campaign_id]  # nobody else of it is due: its share goes to the others
    return offered


def lots(session: Session, call_ids: Collection[UUID]) -> list[list[UUID]]:
    """These claimed calls in the order of their slots, in lots for a worker each."""
    rows = session.execute(_SLOTS, {"ids": list(call_ids)}).all()
    return [[rows[place].id for place in lot] for lot in together([row.slot_at for row in rows])]


def _demand(campaign: CampaignFacts, lines: _Lines, numbers: Numbers) -> Demand:
    held = lines.campaigns[campaign.id]
    room = numbers.left(numbers.of(campaign))
    most = (campaign.definition.max_concurrency, None if room is None else held + room, lines.paid.get(campaign.id))
    caps = [cap for cap in most if cap is not None]
    return Demand(campaign_id=campaign.id, weight=campaign.definition.weight, held=held, cap=min(caps, default=None))


def _ceiling(pace: Pace, ours: int, *, real: datetime) -> int | None:
    """The ceiling now; it rises by itself as time passes."""
    if pace.ceiling is None:
        return None
    now_at = risen(Ceiling(pace.ceiling, pace.rises_at or real + RISE), ours=ours, real=real)
    pace.ceiling = None if now_at is None else now_at.lines
    pace.rises_at = None if now_at is None else now_at.rises_at
    if now_at is None:
        pace.ceiling_why = None
    return pace.ceiling


def _lines_in_use(session: Session, account_id: UUID, *, now: datetime) -> _Lines:
    lines = _Lines()
    for row in session.execute(_LINES, {"account": account_id, "now": now}):
        lines.campaigns[row.campaign_id] += row.calls
        held = lines.numbers.get(row.phone_number_id, Held(0, 0, row.latest))
        lines.numbers[row.phone_number_id] = Held(
            held.calls + row.calls, held.claimed + row.claimed, max(held.latest, row.latest)
        )
    return lines


def _offer_again(
    session: Session, account_id: UUID, pace: Pace, rate: float, most: int, *, real: datetime, timing: Timing
) -> list[UUID]:
    lost = session.scalars(
        _LOST, {"account": account_id, "now": real, "backoff": pace.backoff_until, "most": most}
    ).all()
    slots, pace.next_slot = stamp(len(lost), next_slot=pace.next_slot, now=real, rate=rate)
    _stamp(session, lost, slots, timing=timing)
    return list(lost)


def _claim(
    session: Session,
    campaign: CampaignFacts,
    most: int,
    patience: int,
    lines: _Lines,
    numbers: Numbers,
    *,
    now: datetime,
) -> tuple[list[_Claim], bool, int]:
    """Up to `most` claims, whether more people may be due, and how many were looked at: `patience` or little more.

    Those who may not be called after all get their new due time or their hold on the way. There may be a whole list
    of them in front of one who may, so the lots grow as long as they do not fill the lines.
    """
    claims: list[_Claim] = []
    looked_at, lot = 0, most
    while True:
        won, found = _claim_lot(session, campaign, lot, most - len(claims), lines, numbers, now=now)
        claims += won
        looked_at += found
        full = len(claims) == most or numbers.left(numbers.of(campaign)) == 0
        if found < lot or full or looked_at >= patience:
            return claims, found == lot, looked_at
        lot = max(most - len(claims), min(lot * 2, LARGEST_LOT, patience - looked_at))


def _claim_lot(
    session: Session,
    campaign: CampaignFacts,
    lot: int,
    most: int,
    lines: _Lines,
    numbers: Numbers,
    *,
    now: datetime,
) -> tuple[list[_Claim], int]:
    """Up to `most` claims among the next `lot` due people, and how many these are."""
    due = due_people(session, campaign, lot, now=now)
    facts = gather(session, [prospect.id for prospect in due])
    last, theirs = last_numbers(session, campaign, due), numbers_of(session, campaign, due)
    claims: list[_Claim] = []
    for prospect in due:
        match decide(facts[prospect.id], now):
            case Refused() as refusal:
                set_state(prospect, refusal.becomes, now=now, due_at=refusal.retry_at, why=refusal.why)
            case Allowed() if len(claims) < most:
                number_id = numbers.take(campaign, last.get(prospect.id), theirs.get(prospect.id))
                if number_id is not None:
                    claims.append(_Claim(uuid4(), prospect.id, prospect.person_id, number_id))
            case Allowed():
                pass  # due again as soon as a line is free
    session.flush()
    won = _insert(session, campaign, claims, {prospect.id: prospect for prospect in due}, now=now)
    for claim in set(claims) - set(won):
        numbers.give_back(claim.number_id)
    lines.campaigns[campaign.id] += len(won)
    return won, len(due)


# Written once: these are asked at each claim, and to build a query takes as long as to run it.
_CLAIM = insert(cast("Table", Call.__table__)).on_conflict_do_nothing().returning(Call.id)
_LINES = (
    select(
        Call.campaign_id,
        Call.phone_number_id,
        func.count().label("calls"),
        func.count().filter(Call.state == CallState.CLAIMED).label("claimed"),
        func.max(Call.claimed_at).label("latest"),
    )
    .where(Call.account_id == bindparam("account"), holds_line(bindparam("now")))
    .group_by(Call.campaign_id, Call.phone_number_id)
)
_SLOTS = select(Call.id, Call.slot_at).where(Call.id.in_(bindparam("ids", expanding=True))).order_by(Call.slot_at)
_LOST = (
    select(Call.id)
    .where(
        Call.account_id == bindparam("account"),
        Call.state == CallState.CLAIMED,
        # For a slot within a back-off perhaps no worker waited.
        or_(Call.check_at <= bindparam("now"), Call.slot_at <= bindparam("backoff")),
    )
    .order_by(Call.slot_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, key_share=True)
)


def _insert(
    session: Session, campaign: CampaignFacts, claims: Sequence[_Claim], due: dict[int, Prospect], *, now: datetime
) -> list[_Claim]:
    """The claims that won their person. The unique indexes decide; a loser is due again a little later."""
    if not claims:
        return []
    rows = [
        {
            "id": claim.call_id,
            "account_id": campaign.account_id,
            "campaign_id": campaign.id,
            "prospect_id": claim.prospect_id,
            "person_id": claim.person_id,
            "phone_number_id": claim.number_id,
            "state": CallState.CLAIMED,
            "again": due[claim.prospect_id].calls > 0,
            "slot_at": now,
            "claimed_at": now,
            "changed_at": now,
        }
        # In one order: overlapping inserts cannot deadlock.
        for claim in sorted(claims, key=lambda claim: claim.person_id)
    ]
    won = set(session.scalars(_CLAIM, rows))
    for claim in claims:
        if claim.call_id in won:
            set_state(due[claim.prospect_id], ProspectState.IN_CALL, now=now)
        else:
            set_state(
                due[claim.prospect_id],
                ProspectState.WAITING,
                now=now,
                due_at=now + RECHECK,
                why="another call to this person is open",
            )
    return [claim for claim in claims if claim.call_id in won]


def _stamp(session: Session, call_ids: Sequence[UUID], slots: Sequence[datetime], *, timing: Timing) -> None:
    """Give each call its send slot, and a lease that runs from it."""
    if call_ids:
        session.execute(
            update(Call),
            [
                {"id": call_id, "slot_at": slot_at, "check_at": slot_at + timing.lease}
                for call_id, slot_at in zip(call_ids, slots, strict=True)
            ],
        )
