"""The call ledger: the only place that moves a call or a prospect from one state to another, and that counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    exists,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.errors import UnknownName
from campaigns.facts import CampaignFacts, about_campaigns, gather
from campaigns.ledger import spending
from campaigns.models import TALLY_SLOTS, Account, Call, Campaign, Change, Event, Import, Pace, Prospect, Ruling, Tally
from campaigns.rules.call_state import HEARD, LIVE, CallState, Effect, Evidence, Verdict, judge
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.eligibility import RECHECK, Refused, when_due
from campaigns.rules.prospect_state import FINAL as FINAL_PROSPECT
from campaigns.rules.prospect_state import ProspectState
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
_FINISH_WAITING = text("""
    UPDATE prospects SET state = :state, state_why = found.why, due_at = NULL, changed_at = :now
      FROM (SELECT prospects.id, prospects.state, said.why
              FROM unnest(CAST(:people AS bigint[]), CAST(:whys AS text[])) AS said (person_id, why)
              JOIN prospects ON prospects.person_id = said.person_id
             WHERE prospects.state IN ('waiting', 'held')
               AND (CAST(:campaign AS uuid) IS NULL OR prospects.campaign_id = :campaign)
             ORDER BY prospects.id FOR NO KEY UPDATE OF prospects) AS found
     WHERE prospects.id = found.id
 RETURNING prospects.id, prospects.campaign_id, found.state AS was""")
_NAMES = select(Call.account_id, Call.provider_id).where(
    tuple_(Call.account_id, Call.provider_id).in_(bindparam("names", expanding=True))
)
_REVIVE = (
    update(cast("Table", Event.__table__))
    .where(
        tuple_(Event.account_id, Event.provider_id).in_(bindparam("names", expanding=True)),
        Event.applied_at.is_(None),
        Event.retry_at.is_(None),
    )
    .values(retry_at=bindparam("now"))
)
_TALLY = insert(cast("Table", Tally.__table__))
_ADD = _TALLY.on_conflict_do_update(
    index_elements=[Tally.campaign_id, Tally.name, Tally.slot],
    set_={"count": Tally.count + _TALLY.excluded.count},
)

_LISTINGS: dict[type[Call | Import], tuple[str, str]] = {
    Call: ("a call", "outbound calls list"),
    Import: ("an import", "outbound prospects imports"),
}
_RULE = insert(cast("Table", Ruling.__table__))
_TOLD_BY_CALLS = frozenset({ProspectState.IN_CALL, ProspectState.SETTLING})

Changing = TypeVar("Changing", Account, Campaign)

Counts = Counter[tuple[UUID, str, int]]


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


def pause(session: Session, campaign: Campaign, why: str, *, now: datetime) -> None:
    """Pause a locked campaign by itself, and keep why in the audit."""
    change = Change(at=now, who="outbound", what="paused", subject=f"campaign:{campaign.name}", why=why)
    change.before = {"state": campaign.state}
    change.after = {"state": CampaignState.PAUSED}
    session.add(change)
    campaign.state = CampaignState.PAUSED
    campaign.state_why = why


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


def move(locked: Locked, evidence: Evidence, *, now: datetime, real: datetime, why: str | None = None) -> Verdict:
    """Apply one piece of evidence to a locked call, and let its prospect follow.

    A call that proves not placed leaves its prospect where it is: whoever withdrew it knows when it is due again.
    """
    prospect, call, timing = locked.prospect, locked.call, locked.timing
    verdict = judge(call.state, evidence, disputed=call.incident is not None)
    call.changed_at = now
    if verdict.effect is Effect.INCIDENT:
        call.incident = call.incident or verdict.why
    if evidence in HEARD:
        heard(locked, real=real)
    if verdict.state is call.state:
        return verdict
    if call.state is CallState.CLAIMED and verdict.state is not CallState.NOT_PLACED:
        _begin(locked, now=now, real=real)
    call.state = verdict.state
    call.state_why = why or verdict.why or None
    call.asked = 0
    match verdict.state:
        case CallState.PLACING:
            call.check_at = real + timing.answer
        case CallState.UNKNOWN:
            call.check_at = real + timing.ask_again
        case CallState.ENDED:
            call.check_at = real + timing.report_grace
        case CallState.REVIEW:
            call.check_at = None
        case CallState.NOT_PLACED:
            call.check_at = None
            spending.release(call, locked.campaign.definition)
        case _:
            call.blocked = call.blocked and verdict.state is CallState.QUEUED
            call.check_at = real + _silence(call, timing)
    _follow(prospect, call, verdict.state, now=now)
    return verdict


def heard(locked: Locked, *, real: datetime) -> None:
    """The provider spoke of the call, late, repeated or without a new state: a sign of life all the same."""
    call = locked.call
    call.asked = 0
    if call.state in LIVE:
        call.check_at = real + _silence(call, locked.timing)


def block(locked: Locked, *, real: datetime) -> None:
    """The provider has no line for the queued call: it may start at any moment, so it is asked about sooner."""
    locked.call.blocked = True
    locked.call.check_at = real + _silence(locked.call, locked.timing)


def _silence(call: Call, timing: Timing) -> timedelta:
    return min(timing.blocked, timing.silence) if call.blocked else timing.silence


def _begin(locked: Locked, *, now: datetime, real: datetime) -> None:
    """The call is or may be placed from now on: by our intent, or because the provider speaks of it before we do."""
    prospect, call = locked.prospect, locked.call
    call.intent_at = now
    call.quiet_at = real + locked.timing.quiet
    call.line_until = now + locked.campaign.definition.max_duration
    call.counted = True
    spending.begin(call, locked.campaign.definition, now=now)
    prospect.calls += 1
    count(cast("Session", Session.object_session(prospect)), call.campaign_id, "call:made", prospect.id, 1)


def know(session: Session, named: Sequence[tuple[Call, str]], *, real: datetime) -> set[UUID]:
    """Keep the provider's ids of locked calls; reports that wait for them in the dead letter become due.

    Returns the calls that are known by that id now. The others have another id, or another call has theirs.
    """
    agreed = {call.id for call, provider_id in named if call.provider_id == provider_id}
    new = {(call.account_id, provider_id): call for call, provider_id in named if call.provider_id is None}
    if not new:
        return agreed
    guard_ids(session, new)
    taken = {(row.account_id, row.provider_id) for row in session.execute(_NAMES, {"names": list(new)}).all()}
    for key, call in new.items():
        if key not in taken:
            call.provider_id = key[1]
            agreed.add(call.id)
    session.execute(_REVIVE, {"names": list(new.keys() - taken), "now": real})
    return agreed


def guard_ids(session: Session, ids: Iterable[tuple[UUID, str]]) -> None:
    """Wait until nobody else gives these ids, each of an account, to a call or a dead letter.

    What they did is seen by the next query. Without it both could look before the other commits: the report would
    wait for an id that came long ago.
    """
    words = sorted(f"{account_id}:{provider_id}" for account_id, provider_id in ids)  # in one order: no deadlocks
    session.execute(_GUARD, {"words": words})


def _follow(prospect: Prospect, call: Call, state: CallState, *, now: datetime) -> None:
    if prospect.state in FINAL_PROSPECT:
        return
    if state is CallState.ENDED:
        set_state(prospect, ProspectState.SETTLING, now=now)
    elif state is CallState.REVIEW:
        set_state(prospect, ProspectState.REVIEW, now=now, why=call.state_why)
    elif state is not CallState.NOT_PLACED and prospect.state is not ProspectState.IN_CALL:
        set_state(prospect, ProspectState.IN_CALL, now=now)


def set_state(
    prospect: Prospect,
    state: ProspectState,
    *,
    now: datetime,
    due_at: datetime | None = None,
    why: str | None = None,
) -> None:
    """Move a locked prospect and count it where it now stands. `due_at` belongs to `waiting` and to nothing else."""
    if state is not prospect.state:
        session = cast("Session", Session.object_session(prospect))
        count(session, prospect.campaign_id, f"prospect:{prospect.state}", prospect.id, -1)
        count(session, prospect.campaign_id, f"prospect:{state}", prospect.id, 1)
    if is_new(prospect, state, now=now, due_at=due_at, why=why):
        _keep_ruling(prospect, state, now=now, due_at=due_at, why=why)
    prospect.state = state
    prospect.state_why = why
    prospect.due_at = due_at
    prospect.changed_at = now


def finish_waiting(
    session: Session, whys: Mapping[int, str], state: ProspectState, *, campaign_id: UUID | None, now: datetime
) -> int:
    """Make everybody who waits or is held among these people, in one campaign or in all, final; returns how many.

    By one statement, for people by the thousand: each with the reason that is given beside their person.
    """
    values = {"people": list(whys), "whys": list(whys.values()), "campaign": campaign_id, "state": state, "now": now}
    rows = session.execute(_FINISH_WAITING, values).all()
    for row in rows:
        count(session, row.campaign_id, f"prospect:{row.was}", row.id, -1)
        count(session, row.campaign_id, f"prospect:{state}", row.id, 1)
    return len(rows)


def is_new(
    prospect: Prospect, state: ProspectState, *, now: datetime, due_at: datetime | None, why: str | None
) -> bool:
    """Whether this decision says something that the one before it did not; only then it is kept in `rulings`.

    Else a look each minute that finds the same, or an edit of the campaign that moves nobody, would write a row for
    everybody each time.
    """
    if state in _TOLD_BY_CALLS:
        return False
    if state is not prospect.state:
        return True
    if due_at is None or prospect.due_at is None:
        return why != prospect.state_why
    if why == prospect.state_why and due_at - now <= RECHECK:
        return False
    return max(due_at, now) != max(prospect.due_at, now)  # who was due before is due now


def _keep_ruling(
    prospect: Prospect, state: ProspectState, *, now: datetime, due_at: datetime | None, why: str | None
) -> None:
    session = cast("Session", Session.object_session(prospect))
    rulings: list[dict[str, Any]] = session.info.setdefault("rulings", [])
    shared = {"prospect_id": prospect.id, "not_before": prospect.not_before}
    if prospect.state_why is not None and prospect.changed_at == prospect.created_at:
        # What the import decided, while the row still says it: COPY writes no ruling for everybody.
        first = {"at": prospect.created_at, "state": prospect.state, "why": prospect.state_why}
        rulings.append({**shared, **first, "due_at": prospect.due_at})
    rulings.append({**shared, "at": now, "state": state, "why": why, "due_at": due_at})


def write_rulings(session: Session) -> None:
    """Write what was decided, in one statement for all of it, when the transaction commits."""
    if rulings := session.info.pop("rulings", None):
        session.execute(_RULE, rulings)


def uncount(session: Session, prospect: Prospect, call: Call) -> None:
    """Take a call that proved not placed out of its prospect's count of calls."""
    if call.counted:
        call.counted = False
        prospect.calls -= 1
        count(session, call.campaign_id, "call:made", prospect.id, -1)


def due_again(session: Session, locked: Locked, *, now: datetime, why: str) -> None:
    """Let the person of a call that proved not placed be due again by the rules; the call counts for nothing."""
    uncount(session, locked.prospect, locked.call)
    if locked.prospect.state not in FINAL_PROSPECT:
        wait_again(session, {locked.prospect: why}, now=now)


def wait_again(session: Session, prospects: Mapping[Prospect, str | None], *, now: datetime) -> None:
    """Give these locked prospects, each with the reason for it, a due time by the rules, or what the rules put in its
    place.
    """
    session.flush()  # the facts are asked of the database
    facts = gather(session, [prospect.id for prospect in prospects])
    for prospect, why in prospects.items():
        match when_due(facts[prospect.id], now):
            case Refused() as refusal:
                set_state(prospect, refusal.becomes, now=now, due_at=refusal.retry_at, why=refusal.why)
            case due_at:
                set_state(prospect, ProspectState.WAITING, now=now, due_at=due_at, why=why)


def spoken_of(session: Session, call: Call) -> bool:
    """Whether the provider ever said a word about this call, one that waits to be applied included.

    That our request came to nothing is kept as an event too, and is no word of the provider.
    """
    if call.provider_id is not None:
        return True
    waiting = and_(
        Event.account_id == call.account_id,
        # Two conditions for two indexes: what is due, and the dead letter.
        or_(Event.retry_at.is_not(None), and_(Event.applied_at.is_(None), Event.retry_at.is_(None))),
        as_type(Event.body, Text).contains(str(call.id)),
    )
    heard_of = exists().where(Event.call_id == call.id, ~and_(Event.learned == "answered", Event.type == "unclear"))
    return bool(session.scalar(select(or_(heard_of, exists().where(waiting)))))


def count(session: Session, campaign_id: UUID, name: str, key: int, by: int) -> None:
    """Count `by` more of `name`; `key` spreads the counting over the slots. Written when the transaction commits."""
    counts: Counts = session.info.setdefault("tallies", Counter())
    counts[(campaign_id, name, key % TALLY_SLOTS)] += by


def write_tallies(session: Session) -> None:
    """Write what was counted, after every other lock was taken and in one order, so that no two writers deadlock.

    What was spent comes first: an intent holds its campaign's spending when it comes to the tallies.
    """
    spending.write(session)
    counts: Counts = session.info.pop("tallies", Counter())
    rows = [
        {"campaign_id": campaign_id, "name": name, "slot": slot, "count": by}
        for (campaign_id, name, slot), by in sorted(counts.items())
        if by
    ]
    if not rows:
        return
    session.flush()
    session.execute(_ADD, rows)
