"""Claimed calls become at most one request each, and the answers become states.

    await_slots → hold_still → prepare (the intent) → take_turns → the request, made by the worker → record

Calls whose slots lie close together go this way together. Nothing is committed between the intent and the answer, so
whatever happens there is seen as `placing`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BindParameter, Table, bindparam, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent
from campaigns.facts import CampaignFacts, gather
from campaigns.ledger import (
    Locked,
    block,
    know,
    lock_all,
    lock_pace,
    move,
    queue_to_share,
    set_state,
    uncount,
)
from campaigns.ledger.spending import reserve
from campaigns.models import Account, Call, Campaign, Event, Pace, Person, PhoneNumber, Prospect
from campaigns.rules.call_state import CallState, Effect, Evidence
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.eligibility import RECHECK, Reason, Refused, decide
from campaigns.rules.pacing import (
    DOUBTS,
    EARLY,
    LATE,
    LONGEST_WAIT,
    MOST_DOUBTS,
    MOST_TOGETHER,
    TOGETHER,
    pause_after,
    stamp,
    turn_of,
)
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.events import Message
from campaigns.vapi.requests import CreateCall, create_call

TRY_AGAIN = timedelta(seconds=30)  # campaign time until a person is due again whose request never left us


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call whose intent is committed: to be sent once, at its slot."""

    call_id: UUID
    request: CreateCall
    account_id: UUID
    campaign_id: UUID
    account: AccountDefinition
    slot_at: datetime
    send_budget: timedelta
    """Real time since before the intent after which it must not be sent any more."""


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_CLAIMED = (
    select(Call.id, Call.account_id, Call.slot_at, Pace.backoff_until)
    .join(Pace, Pace.account_id == Call.account_id)
    .where(Call.state == CallState.CLAIMED)
)
_CLAIMED_NOW = _CLAIMED.where(Call.id.in_(_IDS))
_HOLD = (
    select(Call.id, Person.number)
    .join(Account, Account.id == Call.account_id)
    .join(Campaign, Campaign.id == Call.campaign_id)
    .join(Person, Person.id == Call.person_id)
    .where(Call.id.in_(_IDS))
    .order_by(Person.id)
    .with_for_update(read=True, of=Person)
)
_HOLD_CAMPAIGNS = (
    select(Call.id)
    .join(Account, Account.id == Call.account_id)
    .join(Campaign, Campaign.id == Call.campaign_id)
    .where(Call.id.in_(_IDS))
    .order_by(Account.id, Campaign.id)
    .with_for_update(read=True, of=(Account, Campaign))
)
_STORE_ANSWERS = insert(cast("Table", Event.__table__)).on_conflict_do_nothing().returning(Event.call_id)
_PACES = select(Pace).where(Pace.account_id.in_(_IDS))
_CALLER_IDS = select(PhoneNumber.id, PhoneNumber.provider_id).where(PhoneNumber.id.in_(_IDS))


def await_slots(session: Session, call_ids: Collection[UUID], *, real: datetime) -> dict[UUID, timedelta]:
    """How long each call has to wait for its send slot and for the end of a back-off.

    Without those that are not to be placed (any more), and those for which no worker waits: they are offered again.
    With those of the same accounts that are late too: the workers are busy, and many are prepared as fast as one.
    """
    rows = list(session.execute(_CLAIMED_NOW, {"ids": list(call_ids)}))
    hinted = Counter(row.account_id for row in rows)
    for account_id in {row.account_id for row in rows if real - row.slot_at > TOGETHER}:
        rate = session.scalar(select(Account.definition["calls_per_second"].as_float()).where(Account.id == account_id))
        room = min(int((rate or 0) * TOGETHER.total_seconds()), MOST_TOGETHER) - hinted[account_id]
        late = _CLAIMED.where(Call.account_id == account_id, Call.slot_at < real - TOGETHER, Call.id.not_in(call_ids))
        rows += session.execute(late.order_by(Call.slot_at).limit(max(0, room)))
    waits = {row.id: max(row.slot_at, row.backoff_until or row.slot_at, real) - real for row in rows}
    return {call_id: wait for call_id, wait in waits.items() if wait <= LONGEST_WAIT}


@dataclass(frozen=True, slots=True)
class Held:
    """A claimed call with everything that its intent depends on under lock, until the end of the transaction."""

    locked: Locked
    number: str


def hold_still(session: Session, call_ids: Collection[UUID], *, timing: Timing) -> list[Held]:
    """Lock what the intents depend on; without the calls that are not to be placed (any more).

    Account, campaign and person are share-locked, so a freeze, a pause or a suppression waits for us or is seen by
    us. We may wait for them too: read the clock after this, not before, or calling hours are judged by the past.
    """
    queue_to_share(session, calls=call_ids)
    session.execute(_HOLD_CAMPAIGNS, {"ids": list(call_ids)})
    numbers = {row.id: row.number for row in session.execute(_HOLD, {"ids": list(call_ids)})}
    locked = lock_all(session, numbers.keys(), timing=timing)
    claimed = [one for one in locked.values() if one.call.state == CallState.CLAIMED]
    return [Held(one, numbers[one.call.id]) for one in sorted(claimed, key=lambda one: one.call.slot_at)]


def prepare(session: Session, held: Sequence[Held], *, now: datetime, real: datetime) -> list[Prepared]:
    """The intents: after the commit of this, and only then, one request each may be made.

    Each claimed call is handed out a single time. Left out are those of which a check failed, and those whose send
    slot is not now or in a moment: these stay claimed, and `await_slots` says when they may leave.
    """
    slots = _Slots(session, {one.locked.call.account_id for one in held}, real)
    campaigns = {one.locked.campaign.id: one.locked.campaign for one in held}  # as they were under their locks
    facts = gather(session, [one.locked.prospect.id for one in held], campaigns=campaigns)
    numbers = session.execute(_CALLER_IDS, {"ids": {one.locked.call.phone_number_id for one in held}})
    caller_ids = {row.id: row.provider_id for row in numbers}
    leaving = []
    for one in held:
        locked = one.locked
        decision = decide(facts[locked.prospect.id], now)
        if isinstance(decision, Refused):
            _withdraw(locked, decision, now=now, real=real)
        elif caller_ids[locked.call.phone_number_id] not in locked.campaign.definition.phone_number_ids:
            _withdraw(locked, Refused(*_OTHER_NUMBER, now), now=now, real=real)
        elif slots.has_come(locked):
            leaving.append(one)
    # After the pace, which the slots may have locked, and before anything is begun.
    unpaid = reserve(session, [(one.locked.call, one.locked.campaign) for one in leaving], now=now)
    prepared = []
    for one in leaving:
        locked = one.locked
        prospect, call, campaign = locked.prospect, locked.call, locked.campaign
        if call.id in unpaid:
            _withdraw(locked, Refused(*_UNPAID, now + RECHECK), now=now, real=real)
            continue
        move(locked, Evidence.INTENT, now=now, real=real)
        request = request_for(
            call.id,
            campaign,
            prospect,
            number=one.number,
            caller_id=caller_ids[call.phone_number_id],
            call=prospect.calls,
        )
        prepared.append(
            Prepared(
                call_id=call.id,
                request=request,
                account_id=call.account_id,
                campaign_id=call.campaign_id,
                account=campaign.account,
                slot_at=call.slot_at,
                send_budget=locked.timing.send_budget,
            )
        )
    return prepared


_OTHER_NUMBER = (Reason.NUMBER_REMOVED, "its caller number was taken out of the campaign", ProspectState.WAITING)
_UNPAID = (Reason.NO_MONEY, "other calls reserved what was left of the budget", ProspectState.WAITING)


def _withdraw(locked: Locked, refusal: Refused, *, now: datetime, real: datetime) -> None:
    move(locked, Evidence.WITHDRAWN, now=now, real=real, why=refusal.why)
    set_state(locked.prospect, refusal.becomes, now=now, due_at=refusal.retry_at, why=refusal.why)


class _Slots:
    """Whose send slot has come.

    A slot that was missed is stamped anew, so that calls held up together do not leave together. This happens at the
    last moment, under the locks of the intent: were it done before, a busy machine would run after its slots and
    never reach one. Within the time for which the provider asked us to wait none comes; and while it says of no
    request what became of it, one comes in each pause.
    """

    def __init__(self, session: Session, account_ids: Collection[UUID], real: datetime) -> None:
        self._session = session
        self._real = real
        paces = session.scalars(_PACES, {"ids": list(account_ids)})
        self._paces = {pace.account_id: pace for pace in paces}
        self._locked: set[UUID] = set()

    def has_come(self, locked: Locked) -> bool:
        """Whether the call may leave now or in a moment."""
        call, real = locked.call, self._real
        pace = self._paces[call.account_id]
        trying = pace.doubts >= DOUBTS
        missed = real - call.slot_at > LATE
        if trying or missed:
            self._lock(pace)
        if pace.backoff_until is not None and pace.backoff_until > max(call.slot_at, real):
            return False
        if missed:
            rate = locked.campaign.account.calls_per_second
            (call.slot_at,), pace.next_slot = stamp(1, next_slot=pace.next_slot, now=real, rate=rate)
            # Where no worker waits so long, it is offered again when its slot comes.
            waited_for = call.slot_at - real <= LONGEST_WAIT
            call.check_at = call.slot_at + (locked.timing.lease if waited_for else timedelta(0))
        comes = call.slot_at - real < EARLY + TOGETHER
        if comes and trying:
            pace.doubts = min(pace.doubts + 1, MOST_DOUBTS)
            pace.backoff_until = real + pause_after(pace.doubts)
        return comes

    def _lock(self, pace: Pace) -> None:
        if pace.account_id not in self._locked:
            lock_pace(self._session, pace.account_id)
            self._locked.add(pace.account_id)


def lock_turns(session: Session, account_id: UUID) -> Pace:
    """The account's pace, to `take_turns` with the clock as it is after this.

    Does not wait for the disk, which may take longer than the gap between two calls: if the database dies just then,
    one call more than the rate allows leaves in that second.
    """
    session.execute(text("SET LOCAL synchronous_commit = off"))
    return lock_pace(session, account_id)


def take_turns(pace: Pace, calls: Sequence[Prepared], *, real: datetime) -> list[datetime | None]:
    """When each of the account's calls is to leave, as late as we can say it: at its slot, or after those before it.

    None for one that is not to leave any more when its turn comes, as when the rate was lowered: it takes no turn, and
    nobody waits for it or behind it.
    """
    leave_at: list[datetime | None] = []
    for call in calls:
        turn = turn_of(call.slot_at, after=pace.left_at, now=real, rate=call.account.calls_per_second)
        if turn - real > call.send_budget:
            leave_at.append(None)
            continue
        pace.left_at = turn
        leave_at.append(max(turn, real))
    return leave_at


def request_for(
    call_id: UUID, campaign: CampaignFacts, prospect: Prospect, *, number: str, caller_id: str, call: int
) -> CreateCall:
    """What the provider is asked for a person's call of that number, from the number that it calls `caller_id`."""
    return create_call(
        call_id,
        campaign=campaign.definition,
        account=campaign.account,
        phone_number_id=caller_id,
        number=number,
        extension=prospect.extension,
        name=prospect.name,
        variables=({"language": prospect.language} if prospect.language else {}) | prospect.variables,
        webhook_url=webhook_url(campaign.account),
        row_overrides=prospect.overrides,
        attempt=prospect.attempts + 1,
        call=call,
    )


def samples(session: Session, campaign: CampaignFacts, prospect_ids: Collection[int]) -> list[CreateCall]:
    """The requests that these people would be called with; nothing is claimed, and the call's id is all zeros."""
    rows = session.execute(
        select(Prospect, Person.number)
        .join(Person, Person.id == Prospect.person_id)
        .where(Prospect.id.in_(prospect_ids))
        .order_by(Prospect.id)
    ).all()
    caller_id = campaign.definition.phone_number_ids[0]
    return [
        request_for(UUID(int=0), campaign, who, number=number, caller_id=caller_id, call=who.calls + 1)
        for who, number in rows
    ]


def webhook_url(account: AccountDefinition) -> str | None:
    """Where the account's webhooks arrive; None where it has no public address, and results are asked for."""
    return None if account.public_url is None else f"{account.public_url}/webhooks/vapi/{account.name}"


def record(
    session: Session,
    answers: Mapping[UUID, Message | CallFailure],
    *,
    now: datetime,
    real: datetime,
    timing: Timing,
) -> Mapping[UUID, CallState]:
    """What the provider said to these requests, or how they failed, as one more piece of evidence about each call.

    Returns the state that each call is in now: of one whose answer was lost a webhook may have told before.
    """
    locked = lock_all(session, answers.keys(), timing=timing)
    if vanished := answers.keys() - locked.keys():
        raise LookupError(f"call {min(vanished)} vanished while it was being placed")
    first = _store_answers(session, {call_id: one.call for call_id, one in locked.items()}, answers, now=now)
    named = [
        (locked[call_id].call, answer.provider_id)
        for call_id, answer in answers.items()
        if call_id in first and isinstance(answer, Message) and answer.provider_id is not None
    ]
    known = know(session, named, real=real)
    conflicting = {call.id for call, _ in named} - known
    for call_id, answer in answers.items():
        one = locked[call_id]
        if call_id not in first:
            continue  # answered before
        if isinstance(answer, CallUnclear):
            # The provider may have placed the call: it is asked about, and nobody is rung again meanwhile.
            move(one, Evidence.UNCLEAR, now=now, real=real, why=str(answer))
        elif isinstance(answer, Message):
            # Another id than one already known means review.
            move(one, Evidence.CONFLICT if call_id in conflicting else Evidence.QUEUED, now=now, real=real)
            if one.call.state is CallState.QUEUED and answer.limits is not None and answer.limits.blocked:
                block(one, real=real)
        else:
            _fail(session, one, answer, now=now, real=real)
    return {call_id: one.call.state for call_id, one in locked.items()}


def _fail(session: Session, locked: Locked, failure: CallFailure, *, now: datetime, real: datetime) -> None:
    """The provider did not accept the call, and said so; or nothing was sent. Nobody was rung."""
    prospect, call = locked.prospect, locked.call
    if move(locked, Evidence.WITHDRAWN, now=now, real=real, why=str(failure)).effect is not Effect.MOVE:
        return
    if isinstance(failure, CallRefused):
        prospect.attempts += 1
        # Without a status it was refused here, before it was sent.
        why = str(failure) if failure.status is None else f"the provider refuses the call: {failure}"
        set_state(prospect, ProspectState.REFUSED, now=now, why=why)
        return
    uncount(session, prospect, call)
    wait = TRY_AGAIN if isinstance(failure, NotSent | AccountRefused) else locked.timing.capacity_wait
    set_state(prospect, ProspectState.WAITING, now=now, due_at=now + wait, why=str(failure))


def _store_answers(
    session: Session, calls: Mapping[UUID, Call], answers: Mapping[UUID, Message | CallFailure], *, now: datetime
) -> set[UUID]:
    """Keep the answers as one more event of each call; returns the calls that were not answered before."""
    rows = []
    for call_id, answer in answers.items():
        if isinstance(answer, Message):
            kind, provider_id, body = "accepted", answer.provider_id, dict(answer.body)
        else:
            kind, provider_id = "unclear" if isinstance(answer, CallUnclear) else "refused", None
            body = {"problem": type(answer).__name__, "status": answer.status, "message": str(answer)}
        rows.append(
            {
                "account_id": calls[call_id].account_id,
                "call_id": call_id,
                "provider_id": provider_id,
                "learned": "answered",
                "type": kind,
                "dedupe_key": f"answer:{call_id}",
                "body": body,
                "received_at": now,
                "applied_at": now,
            }
        )
    return set(session.scalars(_STORE_ANSWERS, rows))
