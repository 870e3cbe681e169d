"""Due prospects become claimed calls, never more than there are lines and send slots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, about_campaigns, gather, holds_line
from campaigns.ledger import set_state
from campaigns.models import Account, Call, Campaign, Pace, PhoneNumber, Prospect
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.eligibility import RECHECK, Allowed, Refused, decide
from campaigns.rules.pacing import Demand, free_lines, share, slots_within, stamp, together
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
    pace = session.get_one(Pace, account_id, with_for_update={"key_share": True}, populate_existing=True)
    account = session.get_one(Account, account_id, populate_existing=True)
    definition = AccountDefinition.model_validate(account.definition)
    timing = timing.permitted(loopback=definition.loopback)
    if pace.backoff_until is not None and pace.backoff_until > real:
        return []
    offered = _offer_again(session, account_id, pace, definition, real=real, timing=timing)
    if account.frozen_at is not None or account.stop_reason is not None:
        return offered
    held = _lines_held(session, account_id, now=now)
    free = min(
        free_lines(
            limit=definition.concurrency, ceiling=pace.ceiling, reserve=definition.reserve, held=sum(held.values())
        ),
        slots_within(next_slot=pace.next_slot, now=real, rate=definition.calls_per_second),
    )
    if free == 0:
        return offered
    running = session.scalars(
        select(Campaign.id).where(Campaign.account_id == account_id, Campaign.state == CampaignState.RUNNING)
    ).all()
    hungry = about_campaigns(session, running)
    patience = dict.fromkeys(hungry, LOOKED_AT_MOST // max(1, len(hungry)))
    while free > 0 and hungry:
        shares = share(
            free,
            [
                Demand(
                    campaign_id=campaign.id,
                    weight=campaign.definition.weight,
                    held=held.get(campaign.id, 0),
                    cap=campaign.definition.max_concurrency,
                )
                for campaign in hungry.values()
            ],
        )
        for campaign_id, lines in sorted(shares.items()):
            claims: list[_Claim] = []
            more = False
            if lines:
                claims, more, looked_at = _claim(session, hungry[campaign_id], lines, patience[campaign_id], now=now)
                patience[campaign_id] -= looked_at
            slots, pace.next_slot = stamp(
                len(claims), next_slot=pace.next_slot, now=real, rate=definition.calls_per_second
            )
            _stamp(session, [claim.call_id for claim in claims], slots, timing=timing)
            offered += [claim.call_id for claim in claims]
            held[campaign_id] = held.get(campaign_id, 0) + len(claims)
            free -= len(claims)
            if not more or patience[campaign_id] <= 0:
                del hungry[campaign_id]  # nobody else of it is due, or its cap is reached: its share goes to the others
    return offered


def lots(session: Session, call_ids: Collection[UUID]) -> list[list[UUID]]:
    """These claimed calls in the order of their slots, in lots for a worker each."""
    rows = session.execute(select(Call.id, Call.slot_at).where(Call.id.in_(call_ids)).order_by(Call.slot_at)).all()
    return [[rows[place].id for place in lot] for lot in together([row.slot_at for row in rows])]


def back_off(session: Session, account_id: UUID, *, until: datetime) -> None:
    """Claim nothing for the account before the real instant `until`."""
    session.execute(
        update(Pace)
        .where(Pace.account_id == account_id, or_(Pace.backoff_until.is_(None), Pace.backoff_until < until))
        .values(backoff_until=until)
    )


def _lines_held(session: Session, account_id: UUID, *, now: datetime) -> dict[UUID, int]:
    rows = session.execute(
        select(Call.campaign_id, func.count())
        .where(Call.account_id == account_id, holds_line(now))
        .group_by(Call.campaign_id)
    )
    return dict(rows.all())


def _offer_again(
    session: Session, account_id: UUID, pace: Pace, definition: AccountDefinition, *, real: datetime, timing: Timing
) -> list[UUID]:
    lost = session.scalars(
        select(Call.id)
        .where(Call.account_id == account_id, Call.state == CallState.CLAIMED, Call.check_at <= real)
        .order_by(Call.slot_at)
        .limit(slots_within(next_slot=pace.next_slot, now=real, rate=definition.calls_per_second))
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    slots, pace.next_slot = stamp(len(lost), next_slot=pace.next_slot, now=real, rate=definition.calls_per_second)
    _stamp(session, lost, slots, timing=timing)
    return list(lost)


def _claim(
    session: Session, campaign: CampaignFacts, lines: int, patience: int, *, now: datetime
) -> tuple[list[_Claim], bool, int]:
    """Up to `lines` claims, whether more people may be due, and how many were looked at: `patience` or little more.

    Those who may not be called after all get their new due time or their hold on the way. There may be a whole list
    of them in front of one who may, so the lots grow as long as they do not fill the lines.
    """
    claims: list[_Claim] = []
    looked_at, lot = 0, lines
    while True:
        won, found = _claim_lot(session, campaign, lot, lines - len(claims), now=now)
        claims += won
        looked_at += found
        if found < lot or len(claims) == lines or looked_at >= patience:
            return claims, found == lot, looked_at
        lot = max(lines - len(claims), min(lot * 2, LARGEST_LOT, patience - looked_at))


def _claim_lot(
    session: Session, campaign: CampaignFacts, lot: int, lines: int, *, now: datetime
) -> tuple[list[_Claim], int]:
    """Up to `lines` claims among the next `lot` due people, and how many these are."""
    due = session.scalars(
        select(Prospect)
        .where(Prospect.campaign_id == campaign.id, Prospect.state == ProspectState.WAITING, Prospect.due_at <= now)
        .order_by(Prospect.priority.desc(), Prospect.due_at)
        .limit(lot)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    facts = gather(session, [prospect.id for prospect in due])
    numbers = _numbers(session, campaign)
    claims: list[_Claim] = []
    for prospect in due:
        match decide(facts[prospect.id], now):
            case Refused() as refusal:
                set_state(prospect, refusal.becomes, now=now, due_at=refusal.retry_at, why=refusal.why)
            case Allowed() if len(claims) < lines:
                number_id = numbers[(prospect.id + prospect.calls) % len(numbers)]
                claims.append(_Claim(uuid4(), prospect.id, prospect.person_id, number_id))
            case Allowed():
                pass  # due again as soon as a line is free
    session.flush()
    return _insert(session, campaign, claims, {prospect.id: prospect for prospect in due}, now=now), len(due)


def _insert(
    session: Session, campaign: CampaignFacts, claims: Sequence[_Claim], due: dict[int, Prospect], *, now: datetime
) -> list[_Claim]:
    """The claims that won their person. The unique indexes decide; a loser is due again a little later."""
    if not claims:
        return []
    statement = insert(Call).values(
        [
            {
                "id": claim.call_id,
                "account_id": campaign.account_id,
                "campaign_id": campaign.id,
                "prospect_id": claim.prospect_id,
                "person_id": claim.person_id,
                "phone_number_id": claim.number_id,
                "state": CallState.CLAIMED,
                "slot_at": now,
                "claimed_at": now,
                "changed_at": now,
            }
            for claim in sorted(
                claims, key=lambda claim: claim.person_id
            )  # one order: overlapping inserts cannot deadlock
        ]
    )
    won = set(session.scalars(statement.on_conflict_do_nothing().returning(Call.id)))
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
    for call_id, slot_at in zip(call_ids, slots, strict=True):
        session.execute(update(Call).where(Call.id == call_id).values(slot_at=slot_at, check_at=slot_at + timing.lease))


def _numbers(session: Session, campaign: CampaignFacts) -> list[UUID]:
    """The campaign's caller numbers in the order of its file."""
    wanted = campaign.definition.phone_number_ids
    rows = session.execute(
        select(PhoneNumber.provider_id, PhoneNumber.id).where(
            PhoneNumber.account_id == campaign.account_id, PhoneNumber.provider_id.in_(wanted)
        )
    )
    by_provider_id = dict(rows.all())
    return [by_provider_id[provider_id] for provider_id in wanted]
