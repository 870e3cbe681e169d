"""What stops the dialling by itself: a provider that refuses everything, a ledger that may have forgotten calls."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Select, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.ledger import set_state, uncount
from campaigns.models import Account, Call, Campaign, Change, Home, Prospect
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import PAUSED_ITSELF, CampaignState
from campaigns.rules.prospect_state import ProspectState

REFUSALS_IN_A_ROW = 5  # one number may be odd; five different ones in a row mean that the campaign itself is
LOOK_BACK = 200  # calls: more than are under way at once with any sensible number of workers

log = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class _Place:
    """Which database this is, as far as we may ask."""

    system_id: str | None
    timeline: int | None
    database_id: int


_WHAT = {"system_id": "another server", "timeline": "another timeline", "database_id": "another database"}


def moved(session: Session) -> str | None:
    """Why this is not the database that the ledger was used in before; None where it is, or where there was none.

    Then the ledger is an older copy of itself: it was restored, or a replica took over that had not received
    everything. Calls may have been placed that it does not know, so nothing may be claimed or sent.
    """
    home, here = _home_and_here(session)
    if home is None:
        return None
    known = _Place(home.system_id, home.timeline, home.database_id)
    differing = [what for name, what in _WHAT.items() if _differs(getattr(known, name), getattr(here, name))]
    if not differing:
        return None
    return (
        f"the ledger is in {' and '.join(differing)} than before: it was restored or failed over, and calls that were "
        "placed after the copy was made may be missing"
    )


def guard_home(session: Session, *, now: datetime) -> list[str]:
    """Freeze every account where the ledger has moved, and return the names of those that were not frozen before.

    A ledger that was never used remembers where it is. A plain restart of the server changes nothing.
    """
    reason = moved(session)
    if reason is None:
        _remember(session, now=now)
        return []
    frozen = []
    for account in session.scalars(select(Account).order_by(Account.name).with_for_update(key_share=True)):
        if account.frozen_at is None:
            account.frozen_at, account.frozen_why = now, reason
            session.add(Change(at=now, who="outbound", what="freeze", subject=f"account:{account.name}", why=reason))
            frozen.append(account.name)
    return frozen


def accept_home(session: Session, *, who: str, why: str | None, now: datetime) -> None:
    """Let the ledger be at home where it is now: somebody has looked after the calls that it forgot."""
    home, place = _home_and_here(session)
    here = asdict(place)
    before = None if home is None else {name: getattr(home, name) for name in here}
    session.execute(
        insert(Home)
        .values(id=1, known_since=now, **here)
        .on_conflict_do_update(index_elements=[Home.id], set_={"known_since": now, **here})
    )
    session.add(Change(at=now, who=who, what="accept", subject="database", before=before, after=here, why=why))


def _remember(session: Session, *, now: datetime) -> None:
    home, place = _home_and_here(session)
    here = asdict(place)
    if home is None:
        session.execute(insert(Home).values(id=1, known_since=now, **here).on_conflict_do_nothing())
        return
    for name, value in here.items():
        if getattr(home, name) is None and value is not None:
            setattr(home, name, value)  # we may ask now


def _differs(known: object, found: object) -> bool:
    return known is not None and found is not None and known != found


def _home_and_here(session: Session) -> tuple[Home | None, _Place]:
    """In one query: it is asked before every intent, in the transaction that commits it."""
    bind = session.get_bind()
    question = _question(bind if isinstance(bind, Engine) else bind.engine)
    row = session.execute(question.execution_options(populate_existing=True)).one()
    return row.Home, _Place(row.system_id, row.timeline, row.database_id)


_SYSTEM_ID = "(SELECT system_identifier::text FROM pg_control_system())"
# Of the log that is being written: the control file learns of a failover only at its first checkpoint.
_TIMELINE = """CASE WHEN NOT pg_is_in_recovery()
    THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END"""
_DATABASE_ID = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())"
_MAY_ASK = text("""
    SELECT has_function_privilege('pg_catalog.pg_control_system()', 'execute'),
           has_function_privilege('pg_catalog.pg_walfile_name(pg_lsn)', 'execute')
           AND has_function_privilege('pg_catalog.pg_current_wal_lsn()', 'execute')""")


@lru_cache(maxsize=8)
def _question(engine: Engine) -> Select[Any]:
    """The query for where we are, without what this user may not ask: that is said once in a process."""
    with engine.connect() as connection:
        system, log_name = connection.execute(_MAY_ASK).one()
    for allowed, what in ((system, "pg_control_system()"), (log_name, "pg_walfile_name(pg_current_wal_lsn())")):
        if not allowed:
            log.warning(
                "this database user may not ask %s, so a restore or a failover may go unnoticed: grant it, or say "
                "`outbound freeze` after one, before anything runs",
                what,
            )
    here = select(
        literal_column(_SYSTEM_ID if system else "NULL").label("system_id"),
        literal_column(_TIMELINE if log_name else "NULL").label("timeline"),
        literal_column(_DATABASE_ID).label("database_id"),
    ).subquery()
    return select(Home, *here.c).select_from(here).outerjoin(Home, Home.id == 1)
