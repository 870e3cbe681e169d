"""An opt-out is finished by whoever heard it, or by the tick where that process died."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from sqlalchemy import select

from campaigns import clock, db
from campaigns.models import Prospect, Suppression
from campaigns.pipeline import ingesting
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.events import read_message
from tests import factories
from tests.pipeline.telling import REAL, report
from workers import events

NUMBER = "+12125550142"
ANSWER = {"analysis": {"structuredData": {"do_not_call": True}}}


@pytest.fixture
def event(working_database: str, now: datetime) -> int:
    """A report with an opt-out that is stored, of somebody who waits in another campaign, too."""
    with db.transaction(working_database) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        spring, autumn = (factories.campaign(session, now, name=name) for name in ("spring", "autumn"))
        factories.prospect(session, autumn, now, e164=NUMBER)
        someone = factories.prospect(session, spring, now, e164=NUMBER)
        call = factories.call(session, someone, now, state=CallState.IN_PROGRESS)
        message = read_message(json.dumps(report(call, "customer-ended-call", now, **ANSWER)).encode())
        event_id, _ = ingesting.store(session, call.account_id, message, learned="pushed", now=now, real=REAL)
        assert event_id is not None
        return event_id


def stand(database: str) -> list[ProspectState]:
    with db.transaction(database) as session:
        return list(session.scalars(select(Prospect.state).order_by(Prospect.id)))


def test_whoever_applies_the_report_finishes_it(working_database: str, event: int) -> None:
    events.apply_all([event])
    assert stand(working_database) == [ProspectState.SUPPRESSED] * 2


def test_the_tick_finishes_what_a_process_did_not_live_to(
    working_database: str, event: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(events, "draw_conclusions", lambda _: None)
        events.apply_all([event])
    assert stand(working_database) == [ProspectState.WAITING, ProspectState.SUPPRESSED]
    for _ in range(2):
        events.suppress.apply()
        assert stand(working_database) == [ProspectState.SUPPRESSED] * 2
    with db.transaction(working_database) as session:
        assert session.scalars(select(Suppression.applied_at)).one() is not None
