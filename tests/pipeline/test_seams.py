"""Where parts that were built apart meet."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from alembic import command
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from campaigns import db, facts, ledger
from campaigns.cli.database import config, upgrade
from campaigns.facts import about_campaigns
from campaigns.lists.opening import Wishes
from campaigns.models import Consent, Person, Prospect
from campaigns.pipeline import calling, forecasting, suppressing
from campaigns.pipeline.importing.sorting import Options
from campaigns.pipeline.tracing import waiting
from campaigns.rules.call_state import Evidence
from campaigns.rules.eligibility import Allowed, decide
from campaigns.rules.people_file.stops import Stop
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.lists import bring, people
from tests.pipeline.paying import campaign_with, claimed, sums
from tests.pipeline.placing import REAL, TIMING, claim, prepare
from tests.pipeline.telling import ended, in_call, report, status, tell
from tests.pipeline.test_opting_out import TOLD, elsewhere
from tests.pipeline.test_overruling import apply


def decided(session: Session, prospect: Prospect, now: datetime) -> object:
    return decide(facts.gather(session, [prospect.id])[prospect.id], now)


def test_nobody_is_rung_by_another_campaign_before_the_report_of_a_conversation(
    session: Session, now: datetime
) -> None:
    """The opt-out is in the report, which comes seconds or minutes after the end."""
    call = in_call(session, now)
    elsewhere(session, call, now)
    for word in ("queued", "ringing", "in-progress"):
        tell(session, call, status(call, word, now), now)
    tell(session, call, ended(call, "customer-ended-call", now), now)
    assert call.settled_at is None
    later = now + timedelta(seconds=1)
    sent = [prepare(session, each, later) for each in claim(session, call.account_id, later)]
    tell(session, call, report(call, "customer-ended-call", now, **TOLD["phrase"]), now + timedelta(seconds=5))
    assert not [each for each in sent if each is not None]


def test_a_list_of_stops_waits_for_the_intent_of_somebody_who_just_opted_out(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        call = in_call(session, now)
        tell(session, call, ended(call, "customer-did-not-answer", now), now)  # settled: free for others
        other = elsewhere(session, call, now)
        second = factories.call(session, other, now)
        number = session.get_one(Person, call.person_id).number
    done = threading.Event()

    def stop() -> None:
        with db.transaction(database) as session:
            suppressing.suppress_all(
                session,
                [Stop(number, "mobile", None, None)],
                campaign_id=None,
                reason="x",
                source="x",
                who="x",
                now=now,
            )
        done.set()

    with db.transaction(database) as session:
        assert prepare(session, second.id, now) is not None  # the intent is open: its request leaves after this
        with db.transaction(database) as late:
            found = late.get_one(type(call), call.id)
            tell(late, found, report(found, "customer-did-not-answer", now, **TOLD["answer"]), now)
        thread = threading.Thread(target=stop)
        thread.start()
        returned = done.wait(2)
    thread.join(10)
    assert not returned, "the list was stored, and a call is placed after that"


def test_new_consent_lets_somebody_be_called_who_was_called_before(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, consent=None)
    old = b"phone,consent_source,consent_level,consent_expires\n+12125550101,form,written,2027-03-01\n"
    bring(session, campaign, old, now - timedelta(days=10))
    someone = people(session, campaign)["+12125550101"]
    someone.calls = someone.attempts = 1
    session.flush()
    ledger.wait_again(session, {someone: None}, now=now)
    assert someone.state is ProspectState.HELD
    new = b"phone,consent_source,consent_level,consent_expires\n+12125550101,form,written,2028-03-01\n"
    bring(session, campaign, new, now, Wishes(options=Options(update=True)))
    assert someone.state is ProspectState.WAITING


def test_consent_that_a_newer_list_denies_is_heeded_for_somebody_called_before(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, consent=None)
    bring(session, campaign, b"phone,consent_source,consent_level\n+12125550101,form,written\n", now)
    someone = people(session, campaign)["+12125550101"]
    someone.calls = someone.attempts = 1
    session.flush()
    denied = b"phone,consent_source,consent_level\n+12125550101,no,none\n"
    bring(session, campaign, denied, now, Wishes(options=Options(update=True)))
    assert not isinstance(decided(session, someone, now), Allowed)


def why(session: Session, prospect: Prospect, now: datetime) -> str:
    return waiting.next_calls(session, [prospect], now=now)[prospect.id].why


@pytest.mark.parametrize("terms", [{}, {"blackout": ["2027-07-01"]}])
def test_the_campaigns_hours_are_named_as_its_own(session: Session, now: datetime, terms: dict[str, Any]) -> None:
    campaign = factories.campaign(session, now, windows="Mon-Sun 13:00-14:00", **terms)
    someone = factories.prospect(session, campaign, now, due_at=now + timedelta(hours=3))
    assert "the campaign: calls only" in why(session, someone, now)


def test_hours_of_a_fallback_zone_are_named(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, windows="Mon-Sun 13:00-14:00", fallback={"zones": ["America/New_York"]})
    someone = factories.prospect(session, campaign, now, zones=[], due_at=now + timedelta(hours=3))
    assert "the campaign: calls only" in why(session, someone, now)


def test_an_operators_hours_are_named_as_the_states(session: Session, now: datetime) -> None:
    someone = factories.prospect(session, factories.campaign(session, now), now, due_at=now + timedelta(hours=2))
    apply(session, {"US-NY": {"hours": "Mon-Fri 12:00-17:00"}}, now)
    assert "US-NY: calls only Mon-Fri 12:00-17:00" in why(session, someone, now)
    assert "the calling rules" not in why(session, someone, now)


def test_a_closed_date_is_named_as_the_reason(session: Session, now: datetime) -> None:
    """Not: calls only 09:00-20:00, and it is 10:00."""
    campaign = factories.campaign(session, now, blackout=["2027-03-02"])
    someone = factories.prospect(session, campaign, now, due_at=now + timedelta(hours=23))
    text = why(session, someone, now)
    assert any(word in text for word in ("2027-03-02", "closed", "blackout", "holiday")), text


def test_preflight_says_what_is_done_about_consent_that_expires_later_today(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, consent=None)
    content = b"phone,consent_source,consent_level,consent_expires\n+12125550101,form,written,2027-03-03\n"
    bring(session, campaign, content, now)
    session.scalars(select(Consent)).one().expires_at = now + timedelta(hours=2)
    session.flush()
    assert isinstance(decided(session, people(session, campaign)["+12125550101"], now), Allowed)
    outlook = forecasting.look_ahead(session, about_campaigns(session, [campaign.id])[campaign.id], now=now)
    assert (outlook.call, outlook.hold) == (1, ())


def test_preflight_asks_for_the_disclosures_of_the_fallback_country(session: Session, now: datetime) -> None:
    fallback = {"zones": ["America/New_York"], "country": "US"}
    campaign = factories.campaign(session, now, fallback=fallback)
    someone = factories.prospect(session, campaign, now, country=None, states=[], zones=[])
    assert isinstance(decided(session, someone, now), Allowed)
    outlook = forecasting.look_ahead(session, about_campaigns(session, [campaign.id])[campaign.id], now=now)
    assert outlook.places == {"US": 1}


def test_a_call_that_was_taken_for_not_placed_costs_what_it_cost(session: Session, now: datetime) -> None:
    campaign = campaign_with(session, now, total=10)
    (call,) = claimed(session, campaign, now)
    assert prepare(session, call.id, now) is not None
    locked = ledger.lock(session, call.id, timing=TIMING)
    assert locked is not None
    ledger.move(locked, Evidence.WITHDRAWN, now=now, real=REAL)
    session.flush()
    assert sums(session, campaign.id) == (0, 0)
    tell(session, call, report(call, "customer-ended-call", now), now)
    assert call.incident is not None
    assert sums(session, campaign.id) == (Decimal("0.05"), 0)


def test_consent_that_was_denied_stays_denied_after_a_downgrade(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        bring(session, factories.campaign(session, now), b"phone,consent_source\n+12125550101,no\n", now)
        (prospect_id,) = session.scalars(select(Prospect.id))
        assert not isinstance(decide(facts.gather(session, [prospect_id])[prospect_id], now), Allowed)
    db.engine(database).dispose()
    db.forget()
    command.downgrade(config(database), "histories")
    upgrade(database)
    with db.transaction(database) as session:
        assert not isinstance(decide(facts.gather(session, [prospect_id])[prospect_id], now), Allowed)


def test_intents_of_two_campaigns_and_a_list_of_stops_do_not_deadlock(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        spring, autumn = (factories.campaign(session, now, name=name) for name in ("spring", "autumn"))
        first, second = sorted((spring, autumn), key=lambda campaign: campaign.id)
        low, high = (factories.prospect(session, campaign, now) for campaign in (second, first))
        ids = [factories.call(session, each, now).id for each in (low, high)]
        stops = [Stop(session.get_one(Person, each.person_id).number, "mobile", None, None) for each in (low, high)]
    problems: list[str] = []
    begun = threading.Event()

    def intend() -> None:
        begun.wait()
        try:
            with db.transaction(database) as session:
                calling.hold_still(session, ids, timing=TIMING)
        except OperationalError as problem:
            problems.append(f"intents: {problem.orig}")

    thread = threading.Thread(target=intend)
    thread.start()
    try:
        with db.transaction(database) as session:
            # As if the list were between its two people, which are locked in the order of their ids.
            session.execute(select(Person.id).where(Person.id == low.person_id).with_for_update(key_share=True))
            begun.set()
            time.sleep(0.5)
            suppressing.suppress_all(session, stops, campaign_id=None, reason="x", source="x", who="x", now=now)
    except OperationalError as problem:
        problems.append(f"list: {problem.orig}")
    thread.join(10)
    assert problems == []


def test_the_forecast_knows_how_many_calls_a_number_may_make_in_a_day(session: Session, now: datetime) -> None:
    factories.account(session, now, numbers=[{"id": "number-1", "per_day": 5}])
    campaign = factories.campaign(session, now)
    for _ in range(50):
        factories.prospect(session, campaign, now)
    about = about_campaigns(session, [campaign.id])[campaign.id]
    found = forecasting.forecast(
        about,
        forecasting.look_ahead(session, about, now=now),
        forecasting.terms(session, about, real=REAL, speed=1.0),
        now=now,
    )
    assert found is not None
    assert found.expected.finished_at > now + timedelta(days=9)  # five a day
