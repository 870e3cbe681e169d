"""Where a prospect stands: moved, counted, and each decision kept with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.facts import gather
from campaigns.ledger.counting import count
from campaigns.ledger.locking import Locked
from campaigns.models import Call, Prospect, Ruling
from campaigns.rules.eligibility import RECHECK, Refused, when_due
from campaigns.rules.prospect_state import FINAL as FINAL_PROSPECT
from campaigns.rules.prospect_state import ProspectState

_FINISH_WAITING = text("""
    UPDATE prospects SET state = :state, state_why = found.why, due_at = NULL, changed_at = :now
      FROM (SELECT prospects.id, prospects.state, said.why
              FROM unnest(CAST(:people AS bigint[]), CAST(:whys AS text[])) AS said (person_id, why)
              JOIN prospects ON prospects.person_id = said.person_id
             WHERE prospects.state IN ('waiting', 'held')
               AND (CAST(:campaign AS uuid) IS NULL OR prospects.campaign_id = :campaign)
             ORDER BY prospects.id FOR NO KEY UPDATE OF prospects) AS found
     WHERE prospects.id = found.id
 RETURNING prospects.id, prospects.campaign_id, prospects.not_before, found.state AS was, found.why""")

_RULE = insert(cast("Table", Ruling.__table__))

_TOLD_BY_CALLS = frozenset({ProspectState.IN_CALL, ProspectState.SETTLING})


def set_state(
    prospect: Prospect, state: ProspectState, *, now: datetime, due_at: datetime | None = None, why: str | None = None
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
        ruling = {"prospect_id": row.id, "at": now, "state": state, "why": row.why, "due_at": None}
        _rulings(session).append({**ruling, "not_before": row.not_before})
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
    rulings = _rulings(session)
    shared = {"prospect_id": prospect.id, "not_before": prospect.not_before}
    if prospect.state_why is not None and prospect.changed_at == prospect.created_at:
        # What the import decided, while the row still says it: COPY writes no ruling for everybody.
        first = {"at": prospect.created_at, "state": prospect.state, "why": prospect.state_why}
        rulings.append({**shared, **first, "due_at": prospect.due_at})
    rulings.append({**shared, "at": now, "state": state, "why": why, "due_at": due_at})


def _rulings(session: Session) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = session.info.setdefault("rulings", [])
    return found


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
