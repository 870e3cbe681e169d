"""What has to hold in the ledger between any two transactions, whoever did what and in whatever order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.ledger import spending
from campaigns.models import Call, Campaign, Event, Outcome, Prospect, Spending, Tally
from campaigns.rules.call_state import FINAL, HOLDS_LINE, HOLDS_PERSON, LIVE, CallState, Effect
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.definition.money import exact
from campaigns.rules.prospect_state import FINAL as FINAL_PROSPECT
from campaigns.rules.prospect_state import ProspectState

_UNSURE = {CallState.CLAIMED, CallState.PLACING, CallState.UNKNOWN, CallState.REVIEW}
_LIFE = [CallState.QUEUED, CallState.RINGING, CallState.IN_PROGRESS, CallState.FORWARDING, CallState.ENDED]


def moved_on(before: CallState, after: CallState) -> bool:
    """Whether a call may come from `before` to `after` by any number of steps."""
    if before is after:
        return True
    if before in FINAL or after is CallState.CLAIMED:
        return False
    if after is CallState.PLACING:
        return before is CallState.CLAIMED
    if after is CallState.UNKNOWN:
        return before in {CallState.CLAIMED, CallState.PLACING}
    if after is CallState.NOT_PLACED:
        return before in _UNSURE
    if after is CallState.REVIEW or before in _UNSURE:
        return True
    return _LIFE.index(after) > _LIFE.index(before)


def check(session: Session, seen: dict[UUID, CallState], done: dict[int, str | None], *, rate: float) -> None:
    """Every promise that the rows alone can show to be broken.

    `seen` has every call's state and `done` what every applied event did, when this was last asked; both are updated.
    """
    calls = session.scalars(select(Call)).all()
    prospects = {prospect.id: prospect for prospect in session.scalars(select(Prospect))}
    outcomes = {outcome.call_id: outcome for outcome in session.scalars(select(Outcome))}
    campaigns = {campaign.id: campaign for campaign in session.scalars(select(Campaign))}
    applied = session.execute(select(Event.applied_at, Event.retry_at, Event.call_id, Event.effect, Event.id)).all()
    assert seen.keys() <= {call.id for call in calls}, "a call vanished"
    for call in calls:
        before = seen.get(call.id, call.state)
        assert moved_on(before, call.state), f"a call went from {before} to {call.state}"
        seen[call.id] = call.state
        _check_call(call, outcomes.get(call.id))
    holders = Counter(call.person_id for call in calls if call.state in HOLDS_PERSON)
    assert not [person for person, many in holders.items() if many > 1], "two calls hold one person"
    slots = sorted(call.slot_at for call in calls)
    gap = timedelta(seconds=1 / rate) - timedelta(microseconds=2)  # a slot is rounded to a microsecond
    assert all(later - earlier >= gap for earlier, later in pairwise(slots)), "two calls share a send slot"
    by_prospect: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        by_prospect[call.prospect_id].append(call)
    for prospect in prospects.values():
        terms = CampaignDefinition.model_validate(campaigns[prospect.campaign_id].definition)
        _check_prospect(prospect, by_prospect[prospect.id], outcomes, terms)
    _check_tallies(session, calls, prospects.values(), outcomes)
    _check_spending(session, campaigns.values())
    odd = {row.call_id for row in applied if row.effect == Effect.INCIDENT}
    found = {call.id: call.state for call in calls if call.incident is not None}
    assert found.keys() == odd, "an incident came from nowhere, or was not kept"
    assert set(found.values()) <= {CallState.NOT_PLACED}, "two calls were made for one"
    for applied_at, retry_at, call_id, effect, event_id in applied:
        if applied_at is not None:
            assert done.setdefault(event_id, effect) == effect, "an event was applied twice"
        assert applied_at is None or retry_at is None, "an event that was applied is due"
        if applied_at is None and retry_at is None:
            assert (call_id, effect) == (None, "no such call"), "an event is in the dead letter for no reason"


def _check_call(call: Call, outcome: Outcome | None) -> None:
    begun = call.state not in {CallState.CLAIMED, CallState.NOT_PLACED}
    assert not begun or (call.intent_at is not None and call.counted), f"a call in {call.state} was never begun"
    watched = call.state in LIVE | {CallState.CLAIMED, CallState.PLACING, CallState.UNKNOWN}
    watched = watched or (call.state is CallState.ENDED and call.settled_at is None)
    assert not watched or call.check_at is not None, f"nobody looks after a call in {call.state}"
    assert call.settled_at is None or (call.state is CallState.ENDED and outcome is not None)
    assert not call.blocked or call.state in {CallState.QUEUED, CallState.ENDED}


def _check_prospect(
    prospect: Prospect, calls: list[Call], outcomes: dict[UUID, Outcome], terms: CampaignDefinition
) -> None:
    states = {call.state for call in calls}
    open_calls = [call for call in calls if call.state in HOLDS_LINE]
    unsettled = [call for call in calls if call.state is CallState.ENDED and call.settled_at is None]
    where = f"a prospect is {prospect.state} with calls in {sorted(states)}"
    assert (prospect.state is ProspectState.IN_CALL) == bool(open_calls), where
    assert (prospect.state is ProspectState.REVIEW) == (CallState.REVIEW in states), where
    assert (prospect.state is ProspectState.SETTLING) == bool(unsettled), where
    assert (prospect.state is ProspectState.WAITING) == (prospect.due_at is not None), where
    assert prospect.state not in FINAL_PROSPECT or not open_calls, where
    assert prospect.calls == sum(call.counted and not call.forgiven for call in calls)
    assert prospect.calls <= terms.retry.max_calls, "called more often than the campaign may"
    refused = sum(call.counted and call.state is CallState.NOT_PLACED for call in calls)
    settled = [call for call in calls if call.settled_at is not None and not call.forgiven]
    tries = sum(outcomes[call.id].outcome in terms.retry.counts for call in settled)
    assert prospect.attempts == tries + refused, "the attempts are not those of the calls"


def _check_spending(session: Session, campaigns: Iterable[Campaign]) -> None:
    """The sums are those of the calls, and within the budget: no call here costs more than was reserved for it."""
    rows = {row.campaign_id: row for row in session.scalars(select(Spending))}
    budgets = {each.id: CampaignDefinition.model_validate(each.definition).budget for each in campaigns}
    assert rows.keys() == {campaign_id for campaign_id, budget in budgets.items() if budget is not None}
    for campaign_id, row in rows.items():
        kept = {name: getattr(row, name) for name in ("spent", "reserved", "day_spent", "day_reserved")}
        assert kept == spending.from_rows(session, campaign_id, row.day), "what was spent is not what the calls say"
        budget = budgets[campaign_id]
        assert budget is not None
        assert budget.total is None or row.spent + row.reserved <= exact(budget.total), "over the budget"
        assert budget.per_day is None or row.day_spent + row.day_reserved <= exact(budget.per_day), "over the day's"


def _check_tallies(
    session: Session, calls: Sequence[Call], prospects: Iterable[Prospect], outcomes: dict[UUID, Outcome]
) -> None:
    """As `reporting.count_from_rows`, from rows that are here already."""
    tallied: Counter[tuple[UUID, str]] = Counter()
    for campaign_id, name, number in session.execute(select(Tally.campaign_id, Tally.name, Tally.count)):
        tallied[(campaign_id, name)] += number
    counted = Counter((prospect.campaign_id, f"prospect:{prospect.state}") for prospect in prospects)
    counted += Counter((call.campaign_id, "call:made") for call in calls if call.counted)
    settled = [call for call in calls if call.settled_at is not None]
    counted += Counter((call.campaign_id, f"outcome:{outcomes[call.id].outcome}") for call in settled)
    assert {what: number for what, number in tallied.items() if number} == counted, "the tallies are not the rows"
