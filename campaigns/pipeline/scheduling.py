"""The life of a campaign: start, pause, resume, cancel, end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ScalarSelect, SQLColumnExpression, and_, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.errors import NotAllowed, UnknownName
from campaigns.facts import AWAITS_WORKER, about_campaigns
from campaigns.ledger import US, lock_to_change, record, set_state, wait_again
from campaigns.models import (
    Account,
    Call,
    Campaign,
    Import,
    Prospect,
    Tally,
)
from campaigns.rules.call_state import IN_FLIGHT, CallState
from campaigns.rules.campaign_state import OVER, CampaignState, Command, after
from campaigns.rules.eligibility import Reason
from campaigns.rules.prospect_state import CLOSABLE, OPEN, ProspectState

CLOSE_LOT = 5_000  # people closed by one transaction: a second or two of locks, far below the statement timeout
ENDABLE = frozenset({CampaignState.SCHEDULED, CampaignState.RUNNING, CampaignState.PAUSED})
_SAID_BY_RULES = tuple(f"{reason}: " for reason in Reason)


_INSTEAD = {
    CampaignState.DRAFT: "`outbound campaign start {name}` lets it call",
    CampaignState.SCHEDULED: "it begins to call at its starts_at, by itself",
    CampaignState.RUNNING: "`outbound campaign show {name}` says whether it calls",
    CampaignState.PAUSED: "`outbound campaign resume {name}` lets it call again",
    CampaignState.COMPLETED: "it is over; give a new one another name",
    CampaignState.CANCELLED: "it is over; give a new one another name",
}


def command(
    session: Session, name: str, wanted: Command, *, who: str, now: datetime, why: str | None = None
) -> CampaignState:
    """Start, pause, resume or cancel; returns the state that the campaign is in now. Raises `NotAllowed`.

    The row that every intent share-locks is updated here, so this waits for intents that are open and no later one
    is committed: once it returns, no further call of the campaign is placed. Of a large campaign that is cancelled,
    `advance` closes the rest.
    """
    campaign = find(session, name, lock=True)
    before = campaign.state
    state = after(before, wanted, started=campaign.starts_at is None or campaign.starts_at <= now)
    if state is None:
        raise NotAllowed(f"campaign {name} is {before}: {_INSTEAD[before].format(name=name)}")
    if state is before:
        return before
    if wanted is Command.START and not _has_any(session, campaign, frozenset({ProspectState.WAITING})):
        advice = f"import a list with `outbound prospects import FILE --campaign {name}`"
        if _has_any(session, campaign, frozenset(ProspectState)):
            advice = f"everybody is held or done, and `outbound prospects list --campaign {name}` says why"
        raise NotAllowed(f"campaign {name} has nobody to call: {advice}")
    if state in {CampaignState.RUNNING, CampaignState.SCHEDULED}:
        if campaign.ends_at is not None and campaign.ends_at <= now:
            raise NotAllowed(f"campaign {name} ended at {campaign.ends_at:%Y-%m-%d %H:%M %Z}: give it a later ends_at")
        _refuse_without_money(session, campaign, now=now)
    campaign.state = state
    campaign.state_why = why
    session.flush()
    record(
        session,
        who=who,
        what=str(wanted),
        subject=f"campaign:{name}",
        before={"state": before},
        after={"state": campaign.state},
        now=now,
        why=why,
    )
    if wanted is Command.CANCEL:
        _close(session, campaign, CLOSE_LOT, now=now)
    return campaign.state


def _refuse_without_money(session: Session, campaign: Campaign, *, now: datetime) -> None:
    funds = about_campaigns(session, [campaign.id])[campaign.id].funds
    shortage = None if funds is None else funds.shortage(now)
    if shortage is not None and shortage.used_up:
        raise NotAllowed(
            f"campaign {campaign.name} would pause itself at once: {shortage.why}; "
            "give it more in its file and apply that"
        )


def may_start(session: Session, name: str) -> bool:
    """Whether a start would change anything: the campaign is a draft, and somebody waits. Raises `UnknownName`."""
    campaign = find(session, name)
    return campaign.state is CampaignState.DRAFT and _has_any(session, campaign, frozenset({ProspectState.WAITING}))


def set_frozen(session: Session, *, frozen: bool, who: str, now: datetime, why: str | None) -> list[str]:
    """Stop all dialling, or permit it again; returns the names of the accounts that changed.

    Like a pause, this waits for open intents: once it returns, nothing further is placed.
    """
    changed = []
    for account in lock_to_change(session, Account):
        if (account.frozen_at is not None) == frozen:
            continue
        before = {"frozen": account.frozen_at is not None, "because": account.frozen_why}
        account.frozen_at = now if frozen else None
        account.frozen_why = why if frozen else None
        record(
            session,
            who=who,
            what="freeze" if frozen else "unfreeze",
            subject=f"account:{account.name}",
            before=before,
            after={"frozen": frozen, "because": account.frozen_why},
            now=now,
            why=why,
        )
        changed.append(account.name)
    return sorted(changed)


def find(session: Session, name: str, *, lock: bool = False) -> Campaign:
    """The campaign of that name. Raises `UnknownName`."""
    named = Campaign.name == name
    found = lock_to_change(session, Campaign, named) if lock else session.scalars(select(Campaign).where(named)).all()
    if not found:
        raise UnknownName(f"campaign {name!r} does not exist: `outbound campaign list` shows those that do")
    return found[0]


def still_in_flight(
    session: Session, campaign_id: UUID | None, *, person_id: int | None = None
) -> list[tuple[UUID, CallState]]:
    """The calls that a stop did not prevent: those whose intent was committed before it, and those that are live.

    Of one campaign, or of all; of one person, or of everybody.
    """
    query = select(Call.id, Call.state).where(Call.state.in_(sorted(IN_FLIGHT)))
    if person_id is not None:
        query = query.where(Call.person_id == person_id)
    if campaign_id is not None:
        query = query.where(Call.campaign_id == campaign_id)
    return [(call_id, state) for call_id, state in session.execute(query.order_by(Call.claimed_at))]


def reschedule(session: Session, campaign_id: UUID, *, after_id: int, limit: int, now: datetime) -> int | None:
    """Work out anew when the next `limit` waiting or held prospects are due, in the order of their ids.

    Returns the last id that was looked at, to go on from, or None when everybody was.
    """
    prospects = session.scalars(
        select(Prospect)
        .where(
            Prospect.campaign_id == campaign_id,
            Prospect.id > after_id,
            Prospect.state.in_(sorted(CLOSABLE)),
        )
        .order_by(Prospect.id)
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()
    wait_again(session, {prospect: _still(prospect) for prospect in prospects}, now=now)
    return prospects[-1].id if len(prospects) == limit else None


def _still(prospect: Prospect) -> str | None:
    """Why the prospect waits, once the campaign is another: a retry stays a retry, what the rules said is over."""
    if prospect.state is ProspectState.HELD:
        return "held before: the campaign or the rules changed"
    why = prospect.state_why
    return None if why is None or why.startswith(_SAID_BY_RULES) else why


def _more_to_come(campaign_id: SQLColumnExpression[UUID]) -> SQLColumnExpression[bool]:
    """Whether a list was handed over for the campaign that is not imported yet."""
    return exists().where(Import.campaign_id == campaign_id, AWAITS_WORKER)


def ripe(session: Session, *, now: datetime) -> list[UUID]:
    """The campaigns that `advance` may move or close, by their tallies and without a lock."""
    ended = and_(Campaign.state.in_(sorted(ENDABLE)), Campaign.ends_at <= now)
    over = or_(Campaign.state.in_(sorted(OVER)), ended)
    has_start = Campaign.starts_at.is_not(None)
    query = select(Campaign.id).where(
        or_(
            and_(Campaign.state == CampaignState.SCHEDULED, or_(Campaign.starts_at <= now, ~has_start)),
            and_(over, _tallied(CLOSABLE) > 0),
            and_(or_(Campaign.state == CampaignState.RUNNING, ended), _tallied(OPEN) == 0, ~_more_to_come(Campaign.id)),
        )
    )
    return list(session.scalars(query.order_by(Campaign.id)))


def advance(
    session: Session, campaign_id: UUID, *, now: datetime, at_fault: Callable[[UUID], bool]
) -> list[tuple[str, CampaignState]]:
    """Start it if it is scheduled for now, close it if it is over, complete it if it has nobody left; what it became.

    Once nobody is left, `at_fault` is asked whether the campaign pauses itself instead: no end that comes later can
    change that any more. Where the last call ended after a cancel or an end, its person is closed here too; of many,
    one lot is closed now and the next the next time.

    One campaign to a transaction: together they would hold the people of one while they wait for those of another.
    """
    left = CLOSE_LOT
    moved: list[tuple[str, CampaignState]] = []
    (campaign,) = lock_to_change(session, Campaign, Campaign.id == campaign_id)
    ended = campaign.state in ENDABLE and campaign.ends_at is not None and campaign.ends_at <= now
    begun = campaign.starts_at is None or campaign.starts_at <= now
    if campaign.state == CampaignState.SCHEDULED and begun and not ended:
        _become(session, campaign, CampaignState.RUNNING, "its start time came", now=now)
        moved.append((campaign.name, campaign.state))
    if campaign.state in OVER or ended:
        left -= _close(session, campaign, left, now=now)
    over_now = (campaign.state == CampaignState.RUNNING or ended) and not _has_any(session, campaign, OPEN)
    over_now = over_now and not session.scalar(select(_more_to_come(literal(campaign.id))))
    # Asked about its failures, it may give somebody back for whom an earlier stretch was at fault.
    if over_now and not at_fault(campaign.id) and not _has_any(session, campaign, OPEN):
        why = "its end time came" if ended else "nobody is left to call"
        _become(session, campaign, CampaignState.COMPLETED, why, now=now)
        _close(session, campaign, left, now=now)
        moved.append((campaign.name, campaign.state))
    return moved


def _close(session: Session, campaign: Campaign, limit: int, *, now: datetime) -> int:
    """Make up to `limit` people who are waiting or held final; returns how many. Those in a call follow at its end."""
    match campaign.state:
        case CampaignState.CANCELLED:
            state, why = ProspectState.CANCELLED, "the campaign was cancelled"
        case CampaignState.COMPLETED:
            state, why = ProspectState.EXPIRED, "still open when the campaign completed"
        case _:
            state, why = ProspectState.EXPIRED, "the campaign ended first"
    rows = session.scalars(
        select(Prospect)
        .where(Prospect.campaign_id == campaign.id, Prospect.state.in_(sorted(CLOSABLE)))
        .order_by(Prospect.id)
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()
    for prospect in rows:
        before = f"{why}; was {prospect.state}"
        set_state(prospect, state, now=now, why=f"{before}: {prospect.state_why}" if prospect.state_why else before)
    session.flush()
    return len(rows)


def _become(session: Session, campaign: Campaign, state: CampaignState, why: str, *, now: datetime) -> None:
    before = campaign.state
    campaign.state = state
    campaign.state_why = why
    record(
        session,
        who=US,
        what=str(state),
        subject=f"campaign:{campaign.name}",
        before={"state": before},
        after={"state": state},
        now=now,
        why=why,
    )


def _has_any(session: Session, campaign: Campaign, states: frozenset[ProspectState]) -> bool:
    session.flush()
    ledger.write_tallies(session)
    return bool(session.scalar(select(_tallied(states) > 0).where(Campaign.id == campaign.id)))


def _tallied(states: frozenset[ProspectState]) -> ScalarSelect[int]:
    """How many prospects of the campaign are in one of `states`: a few rows, however large the campaign is."""
    names = [f"prospect:{state}" for state in sorted(states)]
    total = select(func.coalesce(func.sum(Tally.count), 0))
    return total.where(Tally.campaign_id == Campaign.id, Tally.name.in_(names)).correlate(Campaign).scalar_subquery()
