"""Whoever says in a call that they want no more of them gets none, from any campaign."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.models import Call, Campaign, Change, Outcome, Person, Prospect, Suppression
from campaigns.pipeline import settling, suppressing
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_call
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, bring
from tests.pipeline.placing import prepare
from tests.pipeline.telling import TIMING, ended, in_call, person, report, status, tell

ANSWER = {"analysis": {"structuredData": {"do_not_call": True}}}
TOLD = {
    "answer": ANSWER,
    "output": {"artifact": {"structuredOutputs": {"1": {"name": "Opted out", "result": "yes"}}}},
    "tool": {"artifact": {"messages": [{"role": "tool_calls", "toolCalls": [{"function": {"name": "opt_out"}}]}]}},
    "phrase": {"artifact": {"messages": [{"role": "user", "message": "Take me off your list!"}]}},
}


def elsewhere(session: Session, call: Call, now: datetime, name: str = "autumn") -> Prospect:
    """The same person in another campaign."""
    campaign = factories.campaign(session, now, name=name)
    number = session.get_one(Person, call.person_id).number
    return factories.prospect(session, campaign, now, e164=number)


def apply(session: Session, now: datetime) -> int:
    entries = suppressing.to_apply(session, limit=9)
    for entry in entries:
        suppressing.apply(session, entry, now=now)
    session.flush()
    return len(entries)


def entries(session: Session) -> list[Suppression]:
    return list(session.scalars(select(Suppression).order_by(Suppression.id)))


@pytest.mark.parametrize("how", TOLD)
def test_an_opt_out_is_for_every_campaign_and_says_where_it_comes_from(
    session: Session, now: datetime, how: str
) -> None:
    call = in_call(session, now)
    other = elsewhere(session, call, now)
    assert tell(session, call, report(call, "customer-ended-call", now, **TOLD[how]), now) is ProspectState.SUPPRESSED
    assert session.get_one(Outcome, call.id).outcome is OutcomeClass.OPTED_OUT
    (entry,) = entries(session)
    assert (entry.person_id, entry.campaign_id, entry.call_id) == (call.person_id, None, call.id)
    assert suppressing.said_in(session, [call.id]) == [entry.id]
    assert apply(session, now) == 1
    assert other.state is ProspectState.SUPPRESSED
    assert other.state_why == f"on a do-not-call list: {entry.reason}"
    assert entry.reason.startswith("asked not to be called: the ")
    (change,) = session.scalars(select(Change).where(Change.what == "suppress")).all()
    assert (change.subject, change.why) == (f"person:{call.person_id}", entry.reason)
    assert change.after == {"campaign": None, "call": str(call.id)}
    for campaign in session.scalars(select(Campaign)):
        assert_tallies_equal_rows(session, campaign)
    assert apply(session, now) == 0


def test_no_campaign_calls_them_from_the_moment_that_it_was_heard(session: Session, now: datetime) -> None:
    """Before those who wait are done: a worker may die in between."""
    call = in_call(session, now)
    other = elsewhere(session, call, now)
    call.state = CallState.ENDED  # so that the person is free
    ledger.set_state(person(session, call), ProspectState.SETTLING, now=now)
    session.flush()
    following = factories.call(session, other, now)
    tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now)
    assert prepare(session, following.id, now) is None
    assert following.state is CallState.NOT_PLACED
    assert other.state is ProspectState.SUPPRESSED
    newcomer = factories.campaign(session, now, name="winter")
    number = session.get_one(Person, call.person_id).number
    bring(session, newcomer, f"Phone\n{number}\n".encode(), now)
    found = select(Prospect.state).where(Prospect.campaign_id == newcomer.id)
    assert session.scalars(found).one() is ProspectState.SUPPRESSED


def test_what_is_said_before_the_report_counts_at_once_and_no_report_takes_it_back(
    session: Session, now: datetime
) -> None:
    call = in_call(session, now)
    words = [{"role": "user", "message": "Stop calling me!"}]
    told = status(call, "ended", now, endedReason="customer-ended-call", artifact={"messages": words})
    assert tell(session, call, told, now) is None  # its report is still waited for
    assert len(entries(session)) == 1
    assert tell(session, call, report(call, "customer-ended-call", now), now) is ProspectState.SUPPRESSED
    assert session.get_one(Outcome, call.id).outcome is OutcomeClass.OPTED_OUT
    assert len(entries(session)) == 1


@pytest.mark.parametrize("state", [ProspectState.WAITING, ProspectState.COMPLETED, ProspectState.EXPIRED])
def test_a_late_report_counts_whatever_became_of_the_person(
    session: Session, now: datetime, state: ProspectState
) -> None:
    call = in_call(session, now)
    other = elsewhere(session, call, now)
    tell(session, call, ended(call, "customer-did-not-answer", now), now)
    assert call.settled_at is not None
    due = now + timedelta(hours=1) if state is ProspectState.WAITING else None
    ledger.set_state(person(session, call), state, now=now, due_at=due)
    tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now)
    apply(session, now)
    assert other.state is ProspectState.SUPPRESSED
    final = state is not ProspectState.WAITING
    assert person(session, call).state is (state if final else ProspectState.SUPPRESSED)
    assert_tallies_equal_rows(session, session.get_one(Campaign, call.campaign_id))


def test_what_is_learned_by_asking_counts_as_well(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.state = CallState.ENDED
    ledger.set_state(person(session, call), ProspectState.SETTLING, now=now)
    session.flush()
    record: dict[str, Any] = {"id": "call-1", "status": "ended", "endedAt": now.isoformat(), **ANSWER}
    ending = read_call(record, now=now).ending
    settling.settle(session, Ended(call.id, ending, learned="asked"), now=now, timing=TIMING)
    assert person(session, call).state is ProspectState.SUPPRESSED
    assert apply(session, now) == 1


def test_a_call_that_we_took_for_not_placed_counts_as_well(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    call.state = CallState.NOT_PLACED
    session.flush()
    tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now)
    assert [entry.call_id for entry in entries(session)] == [call.id]


def test_what_is_lifted_stays_lifted_when_the_same_call_is_told_of_again(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now)
    apply(session, now)
    number = session.get_one(Person, call.person_id).number
    suppressing.lift(session, number, campaign_id=None, who="test", why="in writing", now=now)
    record: dict[str, Any] = {"id": "call-1", "status": "ended", "endedAt": now.isoformat(), **ANSWER}
    ending = read_call(record, now=now).ending
    settling.settle(session, Ended(call.id, ending, learned="asked"), now=now, timing=TIMING)
    assert [entry.lifted_at for entry in entries(session)] == [now]
    other = elsewhere(session, call, now)
    assert prepare(session, factories.call(session, other, now).id, now) is not None


def test_an_entry_that_is_lifted_before_it_was_applied_stops_nobody(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    other = elsewhere(session, call, now)
    tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now)
    number = session.get_one(Person, call.person_id).number
    suppressing.lift(session, number, campaign_id=None, who="test", why="in writing", now=now)
    assert apply(session, now) == 1
    assert other.state is ProspectState.WAITING


def test_somebody_on_the_list_already_is_not_put_there_twice(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    number = session.get_one(Person, call.person_id).number
    suppressing.suppress(session, number, campaign_id=None, reason="by letter", who="test", now=now)
    tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now)
    assert [entry.reason for entry in entries(session)] == ["by letter"]
    assert suppressing.to_apply(session, limit=9) == []


def test_a_campaign_says_what_counts(session: Session, now: datetime) -> None:
    call = in_call(session, now, signals={"defaults": False, "opt_out_fields": ["gone"], "opt_out_phrases": []})
    assert tell(session, call, report(call, "customer-ended-call", now, **ANSWER), now) is ProspectState.COMPLETED
    assert entries(session) == []
