"""What an operator makes of the calling rules decides the next call of every process."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import db, facts
from campaigns.errors import UnknownName
from campaigns.ledger import queue_to_share
from campaigns.models import Account, Change, Prospect, RuleOverride
from campaigns.pipeline import overruling, scheduling
from campaigns.rules.calling_rules import SHIPPED
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.eligibility import Allowed, Reason, Refused, decide
from campaigns.rules.prospect_state import ProspectState
from tests import factories

STRICTER = {"US-NY": {"hours": "Mon-Fri 12:00-17:00"}}
VOICE = {"US-WA": {"artificial_voice": "allowed", "why": "counsel said so"}}
SEATTLE: dict[str, Any] = {"states": ["US-WA"], "zones": ["America/Los_Angeles"], "state": ProspectState.HELD}


def apply(session: Session, rows: dict[str, Any], now: datetime) -> dict[str, bool]:
    changed = overruling.apply(session, rows, who="ada", now=now)
    session.flush()
    return changed


def decided(session: Session, prospect: Prospect, now: datetime) -> Allowed | Refused:
    return decide(facts.gather(session, [prospect.id])[prospect.id], now)


def test_own_rules_decide_and_are_undone(session: Session, now: datetime) -> None:
    someone = factories.prospect(session, factories.campaign(session, now), now)  # 10:00 in New York
    assert decided(session, someone, now) == Allowed()
    assert apply(session, STRICTER, now) == {"US-NY": True}
    found = decided(session, someone, now)
    assert isinstance(found, Refused)
    assert found.retry_at == now + timedelta(hours=2)
    overruling.remove(session, "US-NY", who="bob", why="a mistake", now=now)
    session.flush()
    assert decided(session, someone, now) == Allowed()
    assert facts.calling_rules(session) is SHIPPED


def test_a_blocked_voice_holds_until_the_operator_allows_it(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    someone = factories.prospect(session, campaign, now, **SEATTLE)
    found = decided(session, someone, now)
    assert isinstance(found, Refused)
    assert (found.reason, found.becomes) == (Reason.VOICE_BLOCKED, ProspectState.HELD)
    assert found.detail == "US-WA forbids sales calls by artificial voice, or may"
    apply(session, VOICE, now)
    scheduling.reschedule(session, campaign.id, after_id=0, limit=10, now=now)
    assert someone.state is ProspectState.WAITING
    assert someone.due_at == datetime(2027, 3, 2, 17, tzinfo=UTC)  # 9:00 in Seattle


def test_a_call_that_sells_nothing_is_not_blocked(session: Session, now: datetime) -> None:
    informing = {"purpose": "information", "consent": {"source": "form"}}
    someone = factories.prospect(session, factories.campaign(session, now, **informing), now, **SEATTLE)
    assert decided(session, someone, now + timedelta(hours=3)) == Allowed()


def test_every_change_says_who_what_and_why(session: Session, now: datetime) -> None:
    apply(session, STRICTER | VOICE, now)
    again = VOICE | {"US-NY": {"hours": "Mon-Fri 13:00-17:00"}}
    assert apply(session, again, now) == {"US-NY": True, "US-WA": False}
    overruling.remove(session, "US-WA", who="bob", why="counsel changed its mind", now=now)
    found = session.scalars(select(Change).where(Change.subject.like("rule:%")).order_by(Change.id)).all()
    assert [(each.what, each.subject, each.who, each.why) for each in found] == [
        ("apply", "rule:US-NY", "ada", None),
        ("apply", "rule:US-WA", "ada", "counsel said so"),
        ("apply", "rule:US-NY", "ada", None),
        ("remove", "rule:US-WA", "bob", "counsel changed its mind"),
    ]
    assert found[2].before == STRICTER["US-NY"]
    assert found[2].after == again["US-NY"]
    assert found[3].after is None
    assert list(overruling.standing(session)) == ["US-NY"]


def test_what_is_as_it_is_shipped_cannot_be_removed(session: Session, now: datetime) -> None:
    with pytest.raises(UnknownName, match="the rules of US-TX are as they are shipped"):
        overruling.remove(session, "US-TX", who="bob", why="x", now=now)


def test_campaigns_that_are_over_have_nobody_who_waits(session: Session, now: datetime) -> None:
    states = (CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.CANCELLED, CampaignState.COMPLETED)
    found = [factories.campaign(session, now, name=state, state=state) for state in states]
    assert set(overruling.open_campaigns(session)) == {found[0].id, found[1].id}


def test_own_rules_wait_for_an_intent_that_is_open(database: str, now: datetime) -> None:
    """Once they are committed, no call is sent by the old ones."""
    with db.transaction(database) as session:
        campaign_id = factories.campaign(session, now).id
    done: list[float] = []

    def overrule() -> None:
        with db.transaction(database) as other:
            overruling.apply(other, STRICTER, who="ada", now=now)
        done.append(time.monotonic())

    thread = threading.Thread(target=overrule)
    with db.transaction(database) as intent:
        queue_to_share(intent, campaign_id=campaign_id)
        intent.execute(select(Account.id).with_for_update(read=True))  # as every intent does
        thread.start()
        thread.join(0.5)
        assert not done
    thread.join(10)
    assert done
    with db.transaction(database) as session:
        assert session.scalars(select(RuleOverride.code)).all() == ["US-NY"]
