"""Whose words these are: a second provider call is never mistaken for the first, and no report waits for ever."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import db, ledger
from campaigns.models import Call, Event
from campaigns.pipeline import calling, ingesting, reporting, warning
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_call, read_message
from tests.pipeline.placing import accepted, record
from tests.pipeline.telling import PROVIDER_ID, REAL, TIMING, ended, figures, in_call, person, report, status, tell
from tests.pipeline.waiting import held_up


def by(provider_id: str, body: dict[str, Any], *, named: bool = True) -> dict[str, Any]:
    """The message as another provider call would send it."""
    body["message"]["call"]["id"] = provider_id
    if not named:
        del body["message"]["call"]["name"]
    return body


@pytest.mark.parametrize("state", [CallState.PLACING, CallState.UNKNOWN, CallState.IN_PROGRESS, CallState.REVIEW])
def test_a_second_provider_call_is_an_incident_that_no_later_word_resolves(
    session: Session, now: datetime, state: CallState
) -> None:
    call = in_call(session, now)
    call.state, call.provider_id = state, PROVIDER_ID
    if state is CallState.REVIEW:
        ledger.set_state(person(session, call), ProspectState.REVIEW, now=now)
    session.flush()
    tell(session, call, by("another", status(call, "ringing", now)), now)
    assert (call.state, person(session, call).state) == (CallState.REVIEW, ProspectState.REVIEW)
    assert call.incident is not None
    assert "calls with an incident" in " ".join(each.what for each in warning.troubles(session))
    for provider_id in (PROVIDER_ID, "another"):
        for body in (
            status(call, "in-progress", now + timedelta(seconds=1)),
            ended(call, "customer-busy", now),
            report(call, "customer-ended-call", now),
        ):
            tell(session, call, by(provider_id, body), now)
    assert (call.state, person(session, call).state) == (CallState.REVIEW, ProspectState.REVIEW)
    assert call.provider_id == PROVIDER_ID
    assert figures(session, call) == reporting.count_from_rows(session, call.campaign_id)


def test_an_answer_with_another_id_is_an_incident_too(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    tell(session, call, status(call, "ringing", now), now)
    record(session, call, accepted(call, now, provider_id="another"), now)
    assert call.state is CallState.REVIEW
    assert call.incident is not None


def test_an_id_that_belongs_to_another_call_is_not_taken_from_it(session: Session, now: datetime) -> None:
    first, second = in_call(session, now), in_call(session, now, name="autumn")
    tell(session, first, status(first, "ringing", now), now)
    tell(session, second, status(second, "in-progress", now), now)
    assert (first.state, first.provider_id) == (CallState.RINGING, PROVIDER_ID)
    assert (second.state, second.provider_id) == (CallState.REVIEW, None)
    assert second.incident is not None


def dead_letter(session: Session, call: Call, now: datetime) -> Event:
    """A report that names its call by the provider's id alone, before we know that id."""
    body = by(PROVIDER_ID, report(call, "customer-ended-call", now), named=False)
    assert tell(session, call, body, now) is None
    event = session.scalars(select(Event).where(Event.type == "end-of-call-report")).one()
    assert (event.applied_at, event.retry_at) == (None, None)
    return event


@pytest.mark.parametrize("way", ["answered", "pushed", "asked"])
def test_a_report_waits_for_its_calls_id_however_that_comes(session: Session, now: datetime, way: str) -> None:
    call = in_call(session, now)
    event = dead_letter(session, call, now)
    if way == "answered":
        record(session, call, accepted(call, now, provider_id=PROVIDER_ID), now)
    elif way == "pushed":
        tell(session, call, status(call, "ringing", now), now)
    else:
        found = {"id": PROVIDER_ID, "status": "ringing", "name": str(call.id), "updatedAt": now.isoformat()}
        event_id, _ = ingesting.store(
            session, call.account_id, read_call(found, now=now), learned="asked", now=now, real=REAL
        )
        assert event_id is not None
        ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING)
    session.refresh(event)
    assert event.retry_at == REAL
    assert ingesting.apply_alone(session, event.id, now=now, real=REAL, timing=TIMING) is not None
    assert call.state is CallState.ENDED


def test_a_report_and_its_calls_id_that_come_side_by_side_find_each_other(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        call = in_call(session, now)
        body = by(PROVIDER_ID, report(call, "customer-ended-call", now), named=False)
        message = read_message(json.dumps(body).encode())
        event_id, _ = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
    assert event_id is not None

    def apply() -> ingesting.Applied | None:
        with db.transaction(database) as session:
            return ingesting.apply_alone(session, event_id, now=now, real=REAL, timing=TIMING)

    def learn() -> None:
        with db.transaction(database) as session:
            answer = accepted(call, now, provider_id=PROVIDER_ID)
            calling.record(session, {call.id: answer}, now=now, real=REAL, timing=TIMING)

    # The id is being stored while the report is looked at: the report waits for that, and finds its call.
    with db.transaction(database) as answering:
        answer = accepted(call, now, provider_id=PROVIDER_ID)
        calling.record(answering, {call.id: answer}, now=now, real=REAL, timing=TIMING)
        with held_up(database, apply) as applied:
            answering.commit()
    assert applied.result() is not None

    # And the other way round: the dead letter is being written while the id is stored.
    with db.transaction(database) as session:
        session.get_one(Call, call.id).provider_id = None
        session.query(Event).where(Event.learned == "answered").delete()
        event = session.get_one(Event, event_id)
        event.applied_at, event.retry_at = None, REAL
    with db.transaction(database) as applying:
        assert ingesting.apply_alone(applying, event_id, now=now, real=REAL, timing=TIMING) is None
        with held_up(database, learn) as learned:
            applying.commit()
    learned.result()
    with db.transaction(database) as session:
        assert session.get_one(Event, event_id).retry_at == REAL


OURS = "our id"
PLACES: dict[str, dict[str, Any]] = {
    "the overrides": {"assistantOverrides": {"metadata": {"call_id": OURS}}},
    "a squad's overrides": {"squadOverrides": {"metadata": {"call_id": OURS}}},
    "the customer's overrides": {"customer": {"assistantOverrides": {"metadata": {"call_id": OURS}}}},
    "the assistant": {"assistant": {"metadata": {"call_id": OURS}}},
    "the name": {"name": OURS},
    "the external id": {"customer": {"externalId": OURS}},
}


@pytest.mark.parametrize("place", PLACES)
def test_our_id_is_found_in_every_place_by_whoever_applies_what_was_stored(
    session: Session, now: datetime, place: str
) -> None:
    call = in_call(session, now)
    body = status(call, "ringing", now)
    where = json.loads(json.dumps(PLACES[place]).replace(OURS, str(call.id)))
    body["message"]["call"] = {"id": PROVIDER_ID, **where}
    tell(session, call, body, now)
    assert call.state is CallState.RINGING
