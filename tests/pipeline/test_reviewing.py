"""What nobody else can tell, a person decides: once, by the table, and with everybody where the rules want them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import CallUnclear, NotAllowed
from campaigns.ledger import lock, move, set_state
from campaigns.models import Call, Campaign, Change, Event, Outcome, Suppression
from campaigns.pipeline import calling, dispatching, reporting, reviewing, settling, tracing, warning
from campaigns.pipeline.reviewing import Decision
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState, Evidence
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.advancing import advance
from tests.pipeline.telling import REAL, TIMING, ended, figures, person, report, status, tell
from tests.pipeline.waiting import held_up

INCIDENT = "two provider calls claim this call: somebody may be rung twice"


def in_review(session: Session, now: datetime, campaign: Campaign | None = None, **changes: Any) -> Call:
    """A call of which no trace was found, with its person."""
    campaign = campaign or factories.campaign(session, now)
    e164 = changes.pop("e164", None)
    someone = factories.prospect(session, campaign, now, e164=e164, state=ProspectState.REVIEW, attempts=1)
    return factories.call(session, someone, now, state=CallState.REVIEW, check_at=None, **changes)


def decide(session: Session, call: Call, decision: Decision, now: datetime) -> None:
    """What the command does."""
    ending = reviewing.decide(session, call.id, decision, who="dana", why="looked", now=now, real=REAL, timing=TIMING)
    if ending is not None:
        settling.settle(session, Ended(call.id, ending, learned="decided", give_up=True), now=now, timing=TIMING)
    session.flush()


def exact(session: Session, call: Call) -> bool:
    """Whether the tallies are what the rows say."""
    counted = reporting.count_from_rows(session, call.campaign_id)
    return figures(session, call) == {name: number for name, number in counted.items() if number}


def test_what_came_of_its_request_is_shown_and_does_not_forbid_that_a_call_was_not_placed(
    session: Session, now: datetime
) -> None:
    call = factories.call(
        session, factories.prospect(session, factories.campaign(session, now), now), now, state=CallState.PLACING
    )
    doubt = CallUnclear("the provider answered 503", status=503)
    calling.record(session, {call.id: doubt}, now=now, real=REAL, timing=TIMING)
    move(lock(session, call.id, timing=TIMING) or pytest.fail("it is there"), Evidence.NO_TRACE, now=now, real=REAL)
    (waiting,) = reviewing.to_decide(session, campaign_id=None, limit=10)
    assert Decision.NOT_PLACED in waiting.choices
    assert waiting.provider_said[0].endswith(": unclear: the provider answered 503")
    decide(session, call, Decision.NOT_PLACED, now)
    assert call.state is CallState.NOT_PLACED


def test_a_call_decided_to_be_not_placed_costs_nothing_and_its_person_is_due_again(
    session: Session, now: datetime
) -> None:
    call = in_review(session, now)
    decide(session, call, Decision.NOT_PLACED, now)
    someone = person(session, call)
    assert (call.state, call.counted) == (CallState.NOT_PLACED, False)
    assert (someone.state, someone.due_at, someone.calls, someone.attempts) == (ProspectState.WAITING, now, 0, 1)
    assert exact(session, call)
    assert reviewing.to_decide(session, campaign_id=None, limit=10) == []


@pytest.mark.parametrize(
    ("decision", "outcome", "becomes", "attempts"),
    [
        (Decision.ANSWERED, OutcomeClass.COMPLETED, ProspectState.COMPLETED, 2),
        (Decision.VOICEMAIL, OutcomeClass.VOICEMAIL, ProspectState.WAITING, 2),
        (Decision.NO_ANSWER, OutcomeClass.NO_ANSWER, ProspectState.WAITING, 2),
        (Decision.BUSY, OutcomeClass.BUSY, ProspectState.WAITING, 2),
        (Decision.UNKNOWN, OutcomeClass.UNKNOWN, ProspectState.WAITING, 2),
    ],
)
def test_a_call_decided_to_be_over_settles_by_the_retry_plan(
    session: Session,
    now: datetime,
    decision: Decision,
    outcome: OutcomeClass,
    becomes: ProspectState,
    attempts: int,
) -> None:
    call = in_review(session, now)
    decide(session, call, decision, now)
    someone = person(session, call)
    assert (call.state, call.settled_at, call.counted) == (CallState.ENDED, now, True)
    kept = session.get_one(Outcome, call.id)
    assert (kept.outcome, kept.learned, kept.complete) == (outcome, "decided", False)
    assert (someone.state, someone.attempts, someone.calls) == (becomes, attempts, 1)
    assert (someone.due_at is not None and someone.due_at > now) == (becomes is ProspectState.WAITING)
    assert exact(session, call)


def test_a_decision_is_kept_with_who_and_why_and_from_what_to_what(session: Session, now: datetime) -> None:
    call = in_review(session, now)
    decide(session, call, Decision.BUSY, now)
    (change,) = session.scalars(select(Change).where(Change.subject == f"call:{call.id}"))
    assert (change.who, change.what, change.why) == ("dana", "decide", "looked")
    assert change.before == {"state": "review", "incident": None}
    assert change.after == {"result": "busy", "state": "ended"}


def suppress(session: Session, call: Call, now: datetime) -> None:
    session.add(Suppression(person_id=call.person_id, reason="asked", created_at=now))


def cancel(session: Session, call: Call, _now: datetime) -> None:
    session.get_one(Campaign, call.campaign_id).state = CampaignState.CANCELLED


def complete(session: Session, call: Call, _now: datetime) -> None:
    session.get_one(Campaign, call.campaign_id).state = CampaignState.COMPLETED


def finish(session: Session, call: Call, _now: datetime) -> None:
    prospect = person(session, call)
    set_state(prospect, ProspectState.REFUSED, now=_now)


@pytest.mark.parametrize("decision", [Decision.NOT_PLACED, Decision.NO_ANSWER])
@pytest.mark.parametrize(
    ("meanwhile", "becomes"),
    [
        (suppress, ProspectState.SUPPRESSED),
        (cancel, ProspectState.CANCELLED),
        (complete, ProspectState.EXPIRED),
        (finish, ProspectState.REFUSED),
    ],
)
def test_nobody_is_due_again_whom_the_rules_do_not_let_be_called(
    session: Session, now: datetime, meanwhile: Any, becomes: ProspectState, decision: Decision
) -> None:
    call = in_review(session, now)
    meanwhile(session, call, now)
    session.flush()
    decide(session, call, decision, now)
    assert person(session, call).state is becomes
    assert exact(session, call)


def test_a_call_that_the_provider_spoke_of_was_placed(session: Session, now: datetime) -> None:
    listed = in_review(session, now, provider_id="call-1")
    heard = in_review(session, now, factories.campaign(session, now, name="heard"))
    heard.state = CallState.UNKNOWN
    body = status(heard, "", now)
    body["message"]["type"] = "hang"
    body["message"]["call"]["id"] = None
    tell(session, heard, body, now)
    heard.state = CallState.REVIEW
    stored = in_review(session, now, factories.campaign(session, now, name="stored"))
    waiting = Event(
        account_id=stored.account_id,
        learned="pushed",
        type="status-update",
        dedupe_key="one",
        body=status(stored, "ringing", now),
        received_at=now,
        retry_at=REAL,
    )
    session.add(waiting)
    session.flush()
    for call in (listed, heard, stored):
        with pytest.raises(NotAllowed, match="the provider spoke of call"):
            decide(session, call, Decision.NOT_PLACED, now)
        assert (call.state, person(session, call).state) == (CallState.REVIEW, ProspectState.REVIEW)
    waiting.retry_at = None  # in the dead letter it is a word of the provider all the same
    session.flush()
    with pytest.raises(NotAllowed, match="the provider spoke of call"):
        decide(session, stored, Decision.NOT_PLACED, now)
    choices = {each.id: each.choices for each in reviewing.to_decide(session, campaign_id=None, limit=10)}
    assert all(Decision.NOT_PLACED not in choices[call.id] for call in (listed, heard, stored))


def test_a_call_that_two_provider_calls_claim_can_be_decided_to_be_over_and_its_incident_is_seen(
    session: Session, now: datetime
) -> None:
    call = in_review(session, now, provider_id="call-1", incident=INCIDENT)
    tell(session, call, ended(call, "customer-busy", now), now)
    assert call.state is CallState.REVIEW  # a word about one of the two says nothing about the other
    assert len(warning.troubles(session)) == 2
    decide(session, call, Decision.ANSWERED, now)
    assert (call.state, call.incident, call.incident_seen_at) == (CallState.ENDED, INCIDENT, now)
    assert warning.troubles(session) == []
    tell(session, call, ended(call, "customer-ended-call", now + timedelta(seconds=1)), now)  # of the other one
    assert warning.troubles(session) == []
    assert exact(session, call)


def test_whoever_decides_second_is_told_who_was_first(session: Session, now: datetime) -> None:
    call = in_review(session, now)
    decide(session, call, Decision.BUSY, now)
    with pytest.raises(NotAllowed, match=r"is ended, not in review: dana decided busy at 2027-03-02 15:00:00 UTC"):
        decide(session, call, Decision.NOT_PLACED, now)
    assert call.state is CallState.ENDED


def test_of_two_people_who_decide_at_once_one_does(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        call = in_review(session, now)

    def second() -> None:
        with db.transaction(database) as session:
            decide(session, call, Decision.NO_ANSWER, now)

    with db.transaction(database) as session:
        decide(session, call, Decision.NOT_PLACED, now)
        with held_up(database, second) as done:
            session.commit()
    with pytest.raises(NotAllowed, match="dana decided not-placed"):
        done.result()
    with db.transaction(database) as session:
        assert session.get_one(Call, call.id).state is CallState.NOT_PLACED
        assert session.scalars(select(Outcome)).all() == []


def test_a_word_of_the_provider_after_not_placed_is_an_incident_that_names_the_later_call_until_it_is_seen(
    session: Session, now: datetime
) -> None:
    call = in_review(session, now)
    decide(session, call, Decision.NOT_PLACED, now)
    someone = person(session, call)
    later = factories.call(session, someone, now + timedelta(minutes=1), state=CallState.RINGING)
    for word in ("queued", "ringing", "in-progress"):
        tell(session, call, status(call, word, now), now)
    tell(session, call, report(call, "customer-ended-call", now), now)
    assert (call.state, someone.state) == (CallState.NOT_PLACED, ProspectState.IN_CALL)
    (trouble,) = warning.troubles(session)
    assert (trouble.count, "calls with an incident" in trouble.what) == (1, True)
    (waiting,) = reviewing.to_decide(session, campaign_id=None, limit=10)
    assert (waiting.id, waiting.later_call, waiting.choices) == (call.id, later.id, [Decision.SEEN])
    assert [word.partition(": ")[2] for word in waiting.provider_said] == [
        "status-update queued",
        "status-update ringing",
        "status-update in_progress",
        "end-of-call-report ended customer-ended-call",
    ]
    told = tracing.trace(session, tracing.find_person(session, waiting.phone, number=waiting.phone), now=now)
    story = [moment for moment in told.stories if moment.what == "INCIDENT"]
    assert [str(later.id) in moment.detail for moment in story] == [True]
    decide(session, call, Decision.SEEN, now)
    tell(session, call, status(call, "forwarding", now), now)
    assert warning.troubles(session) == []
    assert call.incident is not None
    with pytest.raises(NotAllowed, match="was looked at before: dana decided seen"):
        decide(session, call, Decision.SEEN, now)
    assert exact(session, call)


@pytest.mark.parametrize(
    ("incident", "state", "line"),
    [(INCIDENT, CallState.REVIEW, "is in review: decide"), (None, CallState.ENDED, "has no incident")],
)
def test_only_an_incident_of_a_call_that_is_decided_can_be_seen(
    session: Session, now: datetime, incident: str | None, state: CallState, line: str
) -> None:
    call = in_review(session, now, incident=incident)
    call.state = state
    with pytest.raises(NotAllowed, match=line):
        decide(session, call, Decision.SEEN, now)


def test_a_report_that_comes_after_the_decision_corrects_the_outcome(session: Session, now: datetime) -> None:
    call = in_review(session, now)
    decide(session, call, Decision.NO_ANSWER, now)
    assert person(session, call).state is ProspectState.WAITING
    tell(session, call, report(call, "customer-ended-call", now), now)
    assert session.get_one(Outcome, call.id).outcome is OutcomeClass.COMPLETED
    assert person(session, call).state is ProspectState.COMPLETED
    assert exact(session, call)


def test_a_persons_other_campaigns_go_on_once_the_call_is_decided(session: Session, now: datetime) -> None:
    call = in_review(session, now, e164="+12125550142")
    winter = factories.campaign(session, now, name="winter")
    other = factories.prospect(session, winter, now, e164="+12125550142")

    def claim(at: datetime) -> int:
        return len(dispatching.claim_due(session, call.account_id, now=at, real=REAL, timing=TIMING))

    assert claim(now) == 0
    assert other.state is ProspectState.WAITING
    decide(session, call, Decision.ANSWERED, now)
    assert claim(now + timedelta(minutes=1)) == 1
    assert other.state is ProspectState.IN_CALL


def test_a_campaign_completes_after_its_last_decision(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    call = in_review(session, now, campaign)
    other = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)
    assert advance(session, now=now) == []
    decide(session, call, Decision.ANSWERED, now)
    assert advance(session, now=now) == []
    tell(session, other, report(other, "customer-ended-call", now), now)
    assert exact(session, call)
    assert advance(session, now=now) == [("spring", CampaignState.COMPLETED)]


def test_what_waits_longest_is_shown_first_and_a_campaign_alone(session: Session, now: datetime) -> None:
    spring, winter = factories.campaign(session, now), factories.campaign(session, now, name="winter")
    late = in_review(session, now, spring, changed_at=now + timedelta(hours=1), state_why="lost")
    early = in_review(session, now, winter)
    found = reviewing.to_decide(session, campaign_id=None, limit=10)
    assert [each.id for each in found] == [early.id, late.id]
    (alone,) = reviewing.to_decide(session, campaign_id=spring.id, limit=10)
    assert (alone.id, alone.why, alone.provider_said, alone.later_call) == (late.id, "lost", [], None)
    assert alone.choices[0] is Decision.NOT_PLACED
    assert Decision.SEEN not in alone.choices
