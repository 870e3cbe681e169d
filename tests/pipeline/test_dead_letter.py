"""What cannot be applied waits where somebody can see it, and nowhere for ever."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.errors import UnknownName
from campaigns.models import Change, Event
from campaigns.pipeline import ingesting, warning
from campaigns.rules.timing import Timing
from campaigns.vapi.events import read_message
from tests import factories
from tests.pipeline.telling import in_call, status, store

TIMING = Timing()


def arrived(session: Session, now: datetime, **call: Any) -> int:
    """A stored report about a call that is not ours."""
    account = factories.account(session, now)
    message = {"type": "end-of-call-report", "endedReason": "customer-ended-call", "call": {"id": "stranger", **call}}
    (event_id,) = ingesting.store_pushed(
        session, [(account.id, read_message(json.dumps({"message": message}).encode()))], now=now, real=now
    )
    return event_id


def applied(session: Session, event_id: int, now: datetime) -> Event:
    assert ingesting.apply_alone(session, event_id, now=now, real=now, timing=TIMING) is None
    return session.get_one(Event, event_id)


def test_a_report_of_no_call_of_ours_is_dead_and_makes_the_status_say_so(session: Session, now: datetime) -> None:
    event_id = arrived(session, now, type="outboundPhoneCall")
    applied(session, event_id, now)
    (dead,) = ingesting.dead(session, limit=10)
    assert (dead.id, dead.account, dead.provider_id, dead.why) == (event_id, "main", "stranger", "no such call")
    (trouble,) = warning.troubles(session)
    assert trouble.count == 1
    assert "`outbound events list`" in trouble.do


@pytest.mark.parametrize("kind", ["inboundPhoneCall", "webCall", "vapi.websocketCall"])
def test_a_report_of_a_call_that_nobody_was_rung_for_is_not_ours_to_mend(
    session: Session, now: datetime, kind: str
) -> None:
    event = applied(session, arrived(session, now, type=kind), now)
    assert (event.effect, event.applied_at) == ("not an outbound call", now)
    assert ingesting.dead(session, limit=10) == []
    assert warning.troubles(session) == []


def test_a_dead_event_is_tried_again_when_told_to(session: Session, now: datetime) -> None:
    event_id = arrived(session, now)
    for _ in range(ingesting.LAST_TRY):
        is_dead = ingesting.failed(session, event_id, "KeyError: 'x'", real=now)
    assert is_dead
    (dead,) = ingesting.dead(session, limit=10)
    assert (dead.failures, dead.why) == (ingesting.LAST_TRY, "KeyError: 'x'")
    assert ingesting.retry(session, None, who="me", now=now, real=now) == [event_id]
    assert ingesting.dead(session, limit=10) == []
    assert ingesting.due(session, real=now + timedelta(seconds=3), limit=10) == [event_id]
    assert session.get_one(Event, event_id).failures == 0
    assert audit(session) == [("event tried again", f"event:{event_id}", "me", None)]


def test_a_dismissed_event_is_out_of_the_way_and_still_there(session: Session, now: datetime) -> None:
    event_id = arrived(session, now)
    applied(session, event_id, now)
    ingesting.dismiss(session, event_id, who="me", why="the old system's", now=now)
    event = session.get_one(Event, event_id)
    assert (event.effect, event.applied_at) == ("dismissed", now)
    assert event.body["message"]["endedReason"] == "customer-ended-call"
    assert ingesting.dead(session, limit=10) == []
    assert warning.troubles(session) == []
    assert audit(session) == [("event dismissed", f"event:{event_id}", "me", "the old system's")]


def test_only_what_is_dead_is_retried_or_dismissed(session: Session, now: datetime) -> None:
    waiting = arrived(session, now)
    for event_id in (waiting, waiting + 1000):
        with pytest.raises(UnknownName, match=f"event {event_id} is not in the dead letter"):
            ingesting.retry(session, [event_id], who="me", now=now, real=now)
        with pytest.raises(UnknownName):
            ingesting.dismiss(session, event_id, who="me", why="x", now=now)
    assert ingesting.retry(session, None, who="me", now=now, real=now) == []
    assert audit(session) == []


def audit(session: Session) -> list[tuple[str, str, str, str | None]]:
    query = select(Change.what, Change.subject, Change.who, Change.why).where(Change.subject.startswith("event:"))
    return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def test_what_another_worker_has_applied_meanwhile_has_not_failed(session: Session, now: datetime) -> None:
    call = in_call(session, now)
    event_id = store(session, call, status(call, "ringing", now), now)
    ingesting.apply(session, [event_id], now=now, real=now, timing=TIMING)
    assert not ingesting.failed(session, event_id, "canceling statement due to lock timeout", real=now)
    event = session.get_one(Event, event_id)
    assert (event.applied_at, event.retry_at, event.failures) == (now, None, 0)
