"""Whom a campaign would call, skip and hold: what everybody is told alone, counted for all of them at once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.facts import about_campaigns, gather, gather_alike
from campaigns.models import Account, Campaign, Consent, Pace, Person, Prospect
from campaigns.pipeline import defining, forecasting, scheduling, suppressing, warning
from campaigns.pipeline.forecasting import Forecast, Left, Outlook
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.eligibility import Refused, when_due
from campaigns.rules.prospect_state import FINAL, ProspectState
from tests import factories

PLACES = [
    {"country": "US", "states": ["US-NY"], "zones": ["America/New_York"]},
    {"country": "US", "states": ["US-FL"], "zones": ["America/New_York", "America/Chicago"]},
    {"country": "DE", "states": [], "zones": ["Europe/Berlin"]},
    {"country": None, "states": [], "zones": []},
    {"country": "ZW", "states": [], "zones": ["Africa/Harare"]},
]


def ahead(session: Session, campaign: Campaign, now: datetime) -> Outlook:
    return forecasting.look_ahead(session, about_campaigns(session, [campaign.id])[campaign.id], now=now)


def reasons(left: tuple[Left, ...]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in left:
        found[each.reason] += each.count
    return dict(found)


@pytest.mark.parametrize("declared", [True, False])
def test_a_crowd_is_decided_about_as_each_of_them_would_be(session: Session, now: datetime, declared: bool) -> None:  # noqa: FBT001 - a parameter of the test
    consent = {} if declared else {"consent": None}
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT, **consent)
    random = Random(7)  # noqa: S311 - no secret
    states = [ProspectState.WAITING] * 6 + [ProspectState.HELD, ProspectState.COMPLETED, ProspectState.SUPPRESSED]
    for _ in range(120):
        state = random.choice(states)
        person = factories.prospect(
            session,
            campaign,
            now,
            state=state,
            attempts=random.choice([0, 0, 0, 2, 3]),
            calls=random.choice([3, 8]),
            not_before=random.choice([None, now - timedelta(hours=1), now + timedelta(seconds=90)]),
            **random.choice(PLACES),
        )
        if random.random() < 0.2:
            number = session.get_one(Person, person.person_id).number
            suppressing.suppress(session, number, campaign_id=None, reason="asked", who="test", now=now)
        if random.random() < 0.3:
            session.add(Consent(person_id=person.person_id, source="form", created_at=now))
    session.flush()
    people = session.scalars(select(Prospect).where(Prospect.campaign_id == campaign.id)).all()
    alone: Counter[str] = Counter()
    known = gather(session, [person.id for person in people])
    for person in people:
        if person.state in FINAL:
            alone[f"skip {person.state}"] += 1
            continue
        match when_due(known[person.id], now):
            case Refused(reason=reason, becomes=becomes):
                alone[f"{'hold' if becomes is ProspectState.HELD else 'skip'} {reason}"] += 1
            case _:
                alone["call"] += 1
    found = ahead(session, campaign, now)
    together = {f"skip {reason}": count for reason, count in reasons(found.skip).items()}
    together |= {f"hold {reason}": count for reason, count in reasons(found.hold).items()}
    assert together | {"call": found.call} == dict(alone)
    assert found.people == len(people) == sum(alone.values())
    assert sum(crowd.count for crowd in found.crowds) == found.call
    assert set(found.places) <= {"US", "US-NY", "US-FL", "EU", "DE"}


def test_a_look_ahead_changes_nothing(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT)
    held = factories.prospect(session, campaign, now, country=None, states=[], zones=[])
    found = ahead(session, campaign, now)
    assert (found.call, reasons(found.hold)) == (0, {"unknown_zone": 1})
    assert not session.dirty
    assert (held.state, held.due_at) == (ProspectState.WAITING, now - timedelta(minutes=1))


def test_examples_are_few_and_real(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT)
    people = [factories.prospect(session, campaign, now, **PLACES[3 + turn % 2]) for turn in range(20)]
    numbers = {session.get_one(Person, person.person_id).number for person in people}
    unknown, unlisted = ahead(session, campaign, now).hold
    assert {unknown.say, unlisted.say} == {
        "the time zone is not known",
        "unlisted country ZW: no calling rules are known",
    }
    for left in (unknown, unlisted):
        assert left.count == 10
        assert 1 < len(left.examples) <= forecasting.EXAMPLES
        assert set(left.examples) <= numbers


def test_a_frozen_or_paused_campaign_is_looked_at_as_if_it_ran(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.PAUSED)
    factories.prospect(session, campaign, now)
    scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
    assert ahead(session, campaign, now).call == 1


def test_people_of_whom_the_same_is_known_are_one_group(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT)
    for turn in range(30):
        factories.prospect(session, campaign, now, not_before=now - timedelta(seconds=turn))
    facts = about_campaigns(session, [campaign.id])[campaign.id]
    (only,) = gather_alike(session, facts, now=now)
    assert only.count == 30


def test_those_who_lack_a_variable_are_counted_with_examples(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, variables={"company": "Northwind"})
    factories.prospect(session, campaign, now, variables={"plan": "Gold", "first_name": "Dana"})
    empty = factories.prospect(session, campaign, now, variables={"plan": "", "first_name": "Omar"}, language="pt-BR")
    none = factories.prospect(session, campaign, now, variables={"first_name": None, "plan": 3})
    factories.prospect(session, campaign, now, state=ProspectState.COMPLETED, variables={})
    facts = about_campaigns(session, [campaign.id])[campaign.id]
    numbers = {each: session.get_one(Person, each.person_id).number for each in (empty, none)}
    found = forecasting.gaps(session, facts, ["plan", "first_name", "company", "language"])
    assert [(gap.name, gap.count) for gap in found] == [("first_name", 1), ("language", 2), ("plan", 1)]
    assert {gap.name: gap.examples for gap in found if gap.count == 1} == {
        "first_name": (numbers[none],),
        "plan": (numbers[empty],),
    }
    assert forecasting.gaps(session, facts, ["company"]) == []


def test_lines_and_pace_are_shared_by_weight_and_capped(session: Session, now: datetime) -> None:
    factories.account(session, now, concurrency=20, reserve=2, calls_per_second=4.0, number_concurrency=3)
    spring = factories.campaign(session, now, state=CampaignState.DRAFT, weight=2, phone_number_ids=["a", "b", "c"])
    factories.campaign(session, now, name="autumn")
    factories.campaign(session, now, name="winter", state=CampaignState.PAUSED)

    def means(**changes: object) -> tuple[int, float]:
        definition = CampaignDefinition.model_validate(spring.definition | changes)
        defining.apply_campaign(session, definition, who="test", now=now)
        facts = about_campaigns(session, [spring.id])[spring.id]
        found = forecasting.terms(session, facts, real=now, speed=2.0)
        assert found.shared_with == {"autumn": 1}
        return found.means.lines, found.means.calls_per_second

    assert means() == (9, pytest.approx(4 / 2 * 2 / 3))  # three numbers with three lines each
    assert means(phone_number_ids=["a", "b", "c", "d", "e"]) == (12, pytest.approx(4 / 3))  # two thirds of 18
    assert means(max_concurrency=5)[0] == 5
    pace = session.get_one(Pace, spring.account_id)
    pace.granted, pace.granted_at = 5, now
    assert means(max_concurrency=None)[0] == 2  # of the three that the provider leaves us


def test_a_forecast_has_a_range_around_what_is_expected(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT)
    for _ in range(40):
        factories.prospect(session, campaign, now)
    facts = about_campaigns(session, [campaign.id])[campaign.id]
    outlook = forecasting.look_ahead(session, facts, now=now)
    terms = forecasting.terms(session, facts, real=now, speed=1.0)
    found = forecasting.forecast(facts, outlook, terms, now=now)
    assert isinstance(found, Forecast)
    assert found.finished_at[0] <= found.expected.finished_at <= found.finished_at[1]
    assert found.minutes[0] < found.expected.minutes < found.minutes[1]
    assert found == forecasting.forecast(facts, outlook, terms, now=now)


def test_nobody_to_call_has_no_forecast(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, state=CampaignState.DRAFT)
    facts = about_campaigns(session, [campaign.id])[campaign.id]
    terms = forecasting.terms(session, facts, real=now, speed=1.0)
    assert forecasting.forecast(facts, ahead(session, campaign, now), terms, now=now) is None


def test_workers_that_gave_no_sign_of_life_lately_are_asleep(session: Session, now: datetime) -> None:
    assert forecasting.asleep(session, warning.PERIODIC, real=now) == sorted(warning.PERIODIC)
    for task in warning.PERIODIC:
        warning.beat(session, task, real=now - timedelta(minutes=2 if task == "upkeep.ask" else 0))
    assert forecasting.asleep(session, warning.PERIODIC, real=now) == ["upkeep.ask"]
    assert session.scalars(select(Account)).all() == []
