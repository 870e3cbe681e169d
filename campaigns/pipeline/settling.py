"""An ended call becomes an outcome, and its prospect is due again or done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Table, bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from campaigns.ledger import US, Locked, count, lock_all, set_state, spending, wait_again
from campaigns.models import Call, Change, Outcome, Prospect, Suppression
from campaigns.rules.call_state import CallState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.outcome import TECHNICAL, WISHES, Ending, OutcomeClass
from campaigns.rules.prospect_state import FINAL, ProspectState
from campaigns.rules.retry import PROMISED, Again, Done, after, draw_of
from campaigns.rules.spending import COST_GRACE
from campaigns.rules.timing import Timing
from campaigns.rules.wishes import callback, opted_out, understood

SETTLED_BY_THE_END = frozenset({OutcomeClass.BUSY, OutcomeClass.NO_ANSWER})
"""Nobody spoke, so no report can bring an opt-out or a callback: the end alone settles these."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What was heard of one call's end."""

    call_id: UUID
    ending: Ending | None
    """None: only that it is over."""
    learned: str
    """`pushed` or `asked`."""
    give_up: bool = False
    """The report will not come: what is known has to do."""
    locked: Locked | None = None
    """The call, where this transaction has locked it already."""


_KEPT = select(Outcome).where(Outcome.call_id.in_(bindparam("ids", expanding=True)))
_UNPRICED = (
    select(Call.id)
    .where(Call.reserved.is_not(None), Call.settled_at <= bindparam("before"), Call.state == CallState.ENDED)
    .order_by(Call.settled_at)
    .limit(bindparam("most"))
)
_Again = dict[Prospect, str | None]
"""Who wants to be called again, with the reason."""
_NO_MORE = (
    upsert(cast("Table", Suppression.__table__))
    .on_conflict_do_nothing()
    .returning(Suppression.person_id, Suppression.call_id)
)


def settle(session: Session, *ends: Ended, now: datetime, timing: Timing) -> dict[UUID, ProspectState]:
    """Keep what is known about these calls' ends and, where that is enough, decide what follows for their prospects.

    Returns the prospects' states by the ids of their calls, without the calls whose report is still waited for. A
    later report may revise the outcome or cancel a due time; it never makes a final prospect due again.

    Who asked not to be called is called by no campaign as soon as this is committed, whatever else is known of the
    call. That those who wait for a call are done is left to `suppressing`: people are locked before prospects.
    """
    locked = {each.call_id: each.locked for each in ends if each.locked is not None}
    locked |= lock_all(session, {each.call_id for each in ends} - locked.keys(), timing=timing)
    kept = {outcome.call_id: outcome for outcome in session.scalars(_KEPT, {"ids": list(locked)})}
    settled: list[Locked] = []
    again: _Again = {}
    opt_outs: dict[int, tuple[Call, str]] = {}
    for each in ends:
        one = locked.get(each.call_id)
        if one is None:
            continue
        found = None if each.ending is None else opted_out(each.ending, one.campaign.definition.signals)
        was = kept.get(each.call_id)
        if found is not None and (was is None or was.outcome is not OutcomeClass.OPTED_OUT):
            opt_outs[one.call.person_id] = (one.call, found)
        if one.call.state is CallState.NOT_PLACED and each.ending is not None and each.ending.cost is not None:
            spending.charge(one.call, one.campaign.definition, each.ending.cost)  # an incident
        if one.call.state is not CallState.ENDED:
            continue
        if one.prospect in again:  # what came first is finished first
            wait_again(session, again, now=now)
            again.clear()
        if _settle(session, one, each, kept, again, now=now):
            settled.append(one)
    if again:
        wait_again(session, again, now=now)
    if opt_outs:
        _suppress(session, opt_outs, now=now)
    return {one.call.id: one.prospect.state for one in settled}


def give_up_on_costs(session: Session, *, now: datetime, timing: Timing, limit: int) -> int:
    """Count up to `limit` calls of which nobody said in a day what they cost as the most that they may have cost.

    They are marked as estimated, and a report that comes after all puts it right. Returns how many they were.
    """
    ids = session.scalars(_UNPRICED, {"before": now - COST_GRACE, "most": limit}).all()
    unpriced = [one for one in lock_all(session, ids, timing=timing).values() if one.call.reserved is not None]
    for one in unpriced:
        spending.charge(one.call, one.campaign.definition, one.call.reserved or Decimal(0), estimated=True)
    return len(unpriced)


def _suppress(session: Session, opt_outs: Mapping[int, tuple[Call, str]], *, now: datetime) -> None:
    """No campaign calls these people any more; each call says so once, so that what is lifted later stays lifted."""
    rows = [
        {"person_id": person_id, "call_id": call.id, "reason": _why(found), "created_at": now}
        for person_id, (call, found) in sorted(opt_outs.items())  # in one order: two of these wait for each other
    ]
    session.flush()
    for person_id, call_id in session.execute(_NO_MORE, rows):
        change = {
            "at": now,
            "who": US,
            "what": "suppress",
            "subject": f"person:{person_id}",
            "after": {"campaign": None, "call": str(call_id)},
            "why": _why(opt_outs[person_id][1]),
        }
        session.execute(insert(Change).values(change))


def _why(found: str) -> str:
    return f"asked not to be called: {found}"


def _as_withdrawn(call: Call, ending: Ending) -> Ending:
    """A call that we had ended while it waited for a line was nobody's wish: its person is called again.

    If it rang nobody, it is as if no line had been free. It may have begun to ring just before we ended it.
    """
    if call.hang_up_at is None or ending.outcome is not OutcomeClass.CANCELLED:
        return ending
    if call.blocked and ending.started_at is None:
        return replace(ending, outcome=OutcomeClass.CAPACITY, rang=False)
    return replace(ending, outcome=OutcomeClass.NO_ANSWER)


def _settle(
    session: Session, locked: Locked, ended: Ended, kept: dict[UUID, Outcome], again: _Again, *, now: datetime
) -> bool:
    """True where the call is settled now or was before."""
    prospect, call, definition = locked.prospect, locked.call, locked.campaign.definition
    before = kept[call.id].outcome if call.id in kept else None
    outcome = kept.get(call.id)
    ending = ended.ending
    if ending is not None:
        ending = _as_withdrawn(call, ending)
        ending = replace(ending, outcome=understood(ending, definition.signals))
        if ending.reason is not None and ending.outcome is not OutcomeClass.CAPACITY:
            call.blocked = False  # it got its line, and we did not hear of it
        outcome = _keep(session, call, outcome, ending, learned=ended.learned, now=now)
    elif outcome is None:
        unheard = Ending(reason=None, outcome=OutcomeClass.UNKNOWN, rang=True)
        outcome = _keep(session, call, None, unheard, learned=ended.learned, now=now)
    kept[call.id] = outcome
    if outcome.cost is not None:
        spending.charge(call, definition, outcome.cost)
    if call.settled_at is not None:
        _revise(session, locked, before, outcome, now=now)
        return True
    found = outcome.outcome
    never_rang = ending is not None and not ending.rang
    if not (outcome.complete or found in SETTLED_BY_THE_END or never_rang or ended.give_up):
        return False
    call.settled_at = now
    call.check_at = None
    promised = _was_promised(prospect, found)
    count(session, call.campaign_id, f"outcome:{found}", prospect.id, 1)
    if _counts(found, definition):
        prospect.attempts += 1
    if prospect.state in FINAL:
        return True
    match _follows(locked, outcome, promised=promised, now=now):
        case Done(state, reason):
            set_state(prospect, state, now=now, why=reason)
        case Again() as wish:
            again[prospect] = _wait_for(prospect, wish, found)
    return True


def _was_promised(prospect: Prospect, found: OutcomeClass) -> bool:
    """Whether this was to be a promised call. Once it reached a telephone, the person stands in line as before."""
    promised = prospect.own_priority is not None
    if prospect.own_priority is not None and (found not in TECHNICAL or found is OutcomeClass.UNKNOWN):
        prospect.priority, prospect.own_priority = prospect.own_priority, None
    return promised


def _wait_for(prospect: Prospect, wish: Again, found: OutcomeClass) -> str:
    """Note when the prospect is to be called, and before everybody else where that was promised; returns why."""
    prospect.not_before = wish.not_before
    if wish.promised and prospect.own_priority is None:
        prospect.priority, prospect.own_priority = PROMISED, prospect.priority
    return f"again after {found}" + (f": {wish.why}" if wish.why else "")


def _follows(locked: Locked, outcome: Outcome, *, promised: bool, now: datetime) -> Again | Done:
    definition = locked.campaign.definition
    # The provider's clock may be wrong: a call ended after its intent, and not in the future.
    ended_at = max(locked.call.intent_at or now, min(locked.call.ended_at or now, now))
    wish = None
    if outcome.outcome is OutcomeClass.CALLBACK:
        zones = locked.prospect.zones
        wish = callback(outcome.structured or {}, definition.signals, zones=zones, ended_at=ended_at)
    return after(
        outcome.outcome,
        attempts=locked.prospect.attempts,
        calls=locked.prospect.calls,
        plan=definition.plan,
        ended_at=ended_at,
        capacity_wait=locked.timing.capacity_wait,
        zones=locked.prospect.zones,
        draw=draw_of(locked.call.id),
        callback=wish,
        promised=promised,
        ends_at=definition.ends_at,
    )


def _revise(session: Session, locked: Locked, before: OutcomeClass | None, outcome: Outcome, *, now: datetime) -> None:
    """A report that came after the call was settled."""
    found = outcome.outcome
    if before is None or before is found:
        return
    prospect, call, definition = locked.prospect, locked.call, locked.campaign.definition
    count(session, call.campaign_id, f"outcome:{before}", prospect.id, -1)
    count(session, call.campaign_id, f"outcome:{found}", prospect.id, 1)
    if call.forgiven and found not in TECHNICAL:
        call.forgiven = False
        prospect.calls += 1
        prospect.attempts += _counts(found, definition)
    elif not call.forgiven:
        prospect.attempts += _counts(found, definition) - _counts(before, definition)
    if prospect.state not in {ProspectState.WAITING, ProspectState.HELD}:
        return  # final; or in the next call already, whose intent or whose end finds this outcome among the facts
    match _follows(locked, outcome, promised=prospect.own_priority is not None, now=now):
        case Done(state, reason):
            set_state(prospect, state, now=now, why=reason)
        case Again(promised=True) as wish:
            wait_again(session, {prospect: _wait_for(prospect, wish, found)}, now=now)
        case Again():
            pass  # the due time that the end alone gave stands


def _counts(outcome: OutcomeClass, definition: CampaignDefinition) -> bool:
    return outcome in definition.plan.counts


def _keep(
    session: Session, call: Call, outcome: Outcome | None, ending: Ending, *, learned: str, now: datetime
) -> Outcome:
    """Merge the ending into what is kept: a complete one replaces, an incomplete one only fills gaps."""
    if outcome is None:
        outcome = Outcome(
            call_id=call.id,
            campaign_id=call.campaign_id,
            prospect_id=call.prospect_id,
            outcome=ending.outcome,
            complete=False,
            learned=learned,
            created_at=now,
            changed_at=now,
        )
        session.add(outcome)
    elif outcome.complete and not ending.complete:
        if ending.outcome is OutcomeClass.OPTED_OUT:
            outcome.outcome = ending.outcome
        return outcome
    facts: dict[str, Any] = {
        "ended_reason": ending.reason,
        "answered": ending.answered,
        "duration_seconds": None if ending.duration is None else Decimal(str(ending.duration.total_seconds())),
        "cost": ending.cost,
        "costs": {name: str(cost) for name, cost in ending.costs.items()} or None,
        "summary": ending.summary,
        "success": ending.success,
        "structured": dict(ending.structured) or None,
        "transcript": ending.transcript,
        "recording": ending.recording,
    }
    for name, value in facts.items():
        if value is not None and (ending.complete or getattr(outcome, name) in (None, {})):
            setattr(outcome, name, value)
    # A report without a reason adds what it has: what the reason heard before meant stands. An opt-out stands for good.
    told = ending.complete and (ending.reason is not None or ending.outcome in WISHES)
    if outcome.outcome is not OutcomeClass.OPTED_OUT and (
        told or ending.outcome is OutcomeClass.OPTED_OUT or outcome.outcome is OutcomeClass.UNKNOWN
    ):
        outcome.outcome = ending.outcome
    outcome.complete = outcome.complete or ending.complete
    outcome.learned = learned
    outcome.changed_at = now
    call.ended_reason = call.ended_reason or ending.reason
    # What is written in an ending is exact; when we heard of something is only the nearest that we have until then.
    call.started_at = ending.started_at or call.started_at
    call.ended_at = ending.ended_at or call.ended_at or now
    return outcome
