"""What only a person can tell: calls in review are decided, incidents are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.facts import next_call
from campaigns.ledger import Locked, due_again, lock, move, record, spoken_of
from campaigns.models import Call, Campaign, Change, Event, Person, Prospect
from campaigns.rules.call_state import LIVE, CallState, Effect, Evidence
from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.events import read_call, read_stored


class Decision(StrEnum):
    """What a person can say of a call: that there was none, how it ended, or that its incident was looked at."""

    NOT_PLACED = "not-placed"
    ANSWERED = "answered"
    VOICEMAIL = "voicemail"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    UNKNOWN = "unknown"
    """It was placed and is over; what came of it nobody can tell."""
    SEEN = "seen"
    """Somebody looked at the incident; nothing moves."""


_ENDED_AS = {
    Decision.ANSWERED: OutcomeClass.COMPLETED,
    Decision.VOICEMAIL: OutcomeClass.VOICEMAIL,
    Decision.NO_ANSWER: OutcomeClass.NO_ANSWER,
    Decision.BUSY: OutcomeClass.BUSY,
    Decision.UNKNOWN: OutcomeClass.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Open:
    """A call that waits for a person: in review, or with an incident that nobody has looked at."""

    id: UUID
    campaign: str
    phone: str
    state: CallState
    since: datetime
    why: str | None
    incident: str | None
    provider_id: str | None
    provider_said: Sequence[str]
    """Each word of the provider with when it came, the first one first."""
    later_call: UUID | None
    """The next call that was made to the same person, if there was one."""
    choices: Sequence[Decision]


def to_decide(session: Session, *, campaign_id: UUID | None, limit: int) -> list[Open]:
    """The calls that wait for a person, those that have waited longest first; only those of one campaign."""
    columns = (Call, Campaign.name, Person.number, Prospect.state, Prospect.changed_at)
    query = (
        select(*columns, next_call(Call))
        .join(Campaign, Campaign.id == Call.campaign_id)
        .join(Person, Person.id == Call.person_id)
        .join(Prospect, Prospect.id == Call.prospect_id)
        .where(or_(Call.state == CallState.REVIEW, and_(Call.incident.is_not(None), Call.incident_seen_at.is_(None))))
    )
    if campaign_id is not None:
        query = query.where(Call.campaign_id == campaign_id)
    found = []
    for call, campaign, phone, state, changed_at, later in session.execute(
        query.order_by(Call.changed_at).limit(limit)
    ):
        found.append(
            Open(
                id=call.id,
                campaign=campaign,
                phone=phone,
                state=call.state,
                # A call's own time of change is also that of a word that changed nothing.
                since=changed_at if state is ProspectState.REVIEW else call.changed_at,
                why=call.state_why,
                incident=call.incident,
                provider_id=call.provider_id,
                provider_said=_said(session, call.id),
                later_call=later,
                choices=_choices(session, call),
            )
        )
    return found


def decide(
    session: Session,
    call_id: UUID,
    decision: Decision,
    *,
    who: str,
    why: str,
    now: datetime,
    real: datetime,
    timing: Timing,
) -> Ending | None:
    """Take a person's word for what became of a call, and keep it in the audit.

    Returns the ending with which the call is to be settled; None where there is none: the call was never placed, and
    its person is due again by the rules, or only its incident was looked at. Evidence that comes later is judged as
    ever: of a call that was decided to be not placed, any word of the provider is an incident.

    Raises `NotAllowed` where there is nothing (any more) to decide, or the provider's words contradict the decision.
    """
    locked = lock(session, call_id, timing=timing)
    if locked is None:
        raise NotAllowed(f"call {call_id} is not there any more")
    call = locked.call
    before = {"state": call.state, "incident": call.incident}
    if decision is Decision.SEEN:
        _see(session, locked)
    elif call.state is not CallState.REVIEW:
        raise NotAllowed(f"call {call_id} is {call.state}, not in review{_not_yet(call)}{_earlier(session, call_id)}")
    elif decision is Decision.NOT_PLACED:
        if spoken_of(session, call):
            raise NotAllowed(f"the provider spoke of call {call_id}, so it was placed: decide how it ended")
        _move(locked, Evidence.DECIDED_NOT_PLACED, why, now=now, real=real)
        due_again(session, locked, now=now, why="the call before was decided to be not placed")
    else:
        _move(locked, Evidence.DECIDED_OVER, why, now=now, real=real)
    if call.incident is not None:
        call.incident_seen_at = now
    after = {"result": decision, "state": call.state}
    record(session, who=who, what="decide", subject=f"call:{call_id}", before=before, after=after, now=now, why=why)
    if decision not in _ENDED_AS:
        return None
    answered = {Decision.ANSWERED: True, Decision.UNKNOWN: None}.get(decision, False)
    return Ending(reason=None, outcome=_ENDED_AS[decision], rang=True, answered=answered)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a call and its person stand."""

    state: CallState
    person: ProspectState
    why: str | None
    due_at: datetime | None


def standing(session: Session, call_id: UUID) -> Standing:
    """Where the call and its person stand now."""
    columns = (Call.state, Prospect.state, Prospect.state_why, Prospect.due_at)
    query = select(*columns).join(Prospect, Prospect.id == Call.prospect_id).where(Call.id == call_id)
    return Standing(*session.execute(query).one())


def _move(locked: Locked, evidence: Evidence, why: str, *, now: datetime, real: datetime) -> None:
    verdict = move(locked, evidence, now=now, real=real, why=f"decided: {why}")
    if verdict.effect is not Effect.MOVE:
        raise NotAllowed(f"call {locked.call.id} stays in {locked.call.state}: {verdict.why}")


def _see(session: Session, locked: Locked) -> None:
    call = locked.call
    if call.state is CallState.REVIEW:
        raise NotAllowed(f"call {call.id} is in review: decide what became of it, which also answers an incident")
    if call.incident is None:
        raise NotAllowed(f"call {call.id} has no incident to look at")
    if call.incident_seen_at is not None:
        raise NotAllowed(f"the incident of call {call.id} was looked at before{_earlier(session, call.id)}")


def _not_yet(call: Call) -> str:
    """What comes first, as the middle of a sentence."""
    if call.state is CallState.UNKNOWN:
        since = "" if call.quiet_at is None else f" after {call.quiet_at:%H:%M %Z}"
        return f": the provider is asked about it, and it comes to review by itself if nothing is known of it{since}"
    return ": it is still going on, and what became of it comes by itself" if call.state in LIVE else ""


def _earlier(session: Session, call_id: UUID) -> str:
    """Who decided about the call before, as the end of a sentence."""
    query = select(Change).where(Change.subject == f"call:{call_id}", Change.what == "decide")
    change = session.scalars(query.order_by(Change.id.desc()).limit(1)).one_or_none()
    if change is None:
        return ""
    return f": {change.who} decided {(change.after or {}).get('result')} at {change.at:%Y-%m-%d %H:%M:%S %Z}"


def _choices(session: Session, call: Call) -> list[Decision]:
    if call.state is not CallState.REVIEW:
        return [Decision.SEEN]
    return ([] if spoken_of(session, call) else [Decision.NOT_PLACED]) + list(_ENDED_AS)


def _said(session: Session, call_id: UUID) -> list[str]:
    query = select(Event.received_at, Event.learned, Event.type, Event.body).where(Event.call_id == call_id)
    found = []
    for received_at, learned, kind, body in session.execute(query.order_by(Event.id)):
        if learned == "answered" and kind in ("refused", "unclear"):
            word = f"{kind}: {body.get('message')}"
        else:
            message = read_stored(body) if learned == "pushed" else read_call(body, now=received_at)
            reason = None if message.ending is None else message.ending.reason
            word = " ".join(str(part) for part in (message.type, message.status, reason) if part is not None)
        found.append(f"{received_at:%Y-%m-%d %H:%M:%S %Z}: {word}")
    return found
