"""A running campaign is edited: what changes for whom is known before, and holds for every call not placed yet."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.models import Call, PhoneNumber
from campaigns.pipeline import defining, editing, scheduling
from campaigns.pipeline.editing import Edit, Effects
from campaigns.rules.call_state import CallState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.placing import REAL, claim, prepare


def edited(session: Session, now: datetime, **changes: Any) -> Edit:
    definition = CampaignDefinition.model_validate(factories.CAMPAIGN | changes)
    edit = editing.compare(session, definition, now=now)
    assert edit is not None
    return edit


def effects(session: Session, edit: Edit, now: datetime, *, limit: int = 100) -> Effects:
    found = Effects()
    after_id: int | None = 0
    while after_id is not None:
        after_id = editing.weigh(session, edit, found, after_id=after_id, limit=limit, now=now)
    return found


def apply(session: Session, now: datetime, **changes: Any) -> None:
    definition = CampaignDefinition.model_validate(factories.CAMPAIGN | changes)
    applied = defining.apply_campaign(session, definition, who="ada", now=now)
    scheduling.reschedule(session, applied.id, after_id=0, limit=100, now=now)


def test_a_campaign_that_is_not_there_is_not_compared(session: Session, now: datetime) -> None:
    definition = CampaignDefinition.model_validate(factories.CAMPAIGN)
    assert editing.compare(session, definition, now=now) is None


def test_for_how_many_people_something_changes_is_what_then_happens(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, retry={"max_attempts": 3})
    east = factories.prospect(session, campaign, now)
    west = factories.prospect(session, campaign, now, states=["US-CA"], zones=["America/Los_Angeles"])
    tried = factories.prospect(session, campaign, now, attempts=2, calls=2)
    nowhere = factories.prospect(session, campaign, now, zones=[])
    for person in (east, west, tried, nowhere):
        person.state = ProspectState.WAITING
    scheduling.reschedule(session, campaign.id, after_id=0, limit=100, now=now)
    assert nowhere.state is ProspectState.HELD
    going_on = factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.RINGING)

    terms: dict[str, Any] = {"windows": "Mon-Sun 12:00-20:00", "retry": {"max_attempts": 2}}
    edit = edited(session, now, **terms)
    assert {each.key for each in edit.changes} >= {"windows", "retry.max_attempts"}
    assert edit.live_calls == 1
    before = {person.id: (person.state, person.due_at) for person in (east, west, tried, nowhere)}
    found = effects(session, edit, now, limit=3)
    assert {person.id: (person.state, person.due_at) for person in (east, west, tried, nowhere)} == before
    apply(session, now, **terms)
    assert (east.state, east.due_at) == (ProspectState.WAITING, now + timedelta(hours=2))
    assert (west.state, west.due_at) == (ProspectState.WAITING, now + timedelta(hours=5))
    assert tried.state is ProspectState.EXHAUSTED
    exhausted = {(ProspectState.EXHAUSTED, "no_attempts_left"): 1}
    assert found == Effects(people=4, later=2, becomes=Counter(exhausted))
    assert going_on.state is CallState.RINGING


def test_narrower_windows_hold_for_a_call_that_is_claimed_already(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now)
    call = factories.call(session, factories.prospect(session, campaign, now), now)
    apply(session, now, windows="Mon-Sun 12:00-20:00")  # it is ten in New York
    assert prepare(session, call.id, now) is None
    assert call.state is CallState.NOT_PLACED
    who = session.get_one(factories.Prospect, call.prospect_id)
    assert (who.state, who.due_at, who.calls) == (ProspectState.WAITING, now + timedelta(hours=2), 0)


def test_a_number_that_was_taken_out_makes_no_further_call(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, phone_number_ids=["old", "new"])
    ids = {row.provider_id: row.id for row in session.execute(select(PhoneNumber.provider_id, PhoneNumber.id))}
    kept, removed = (
        factories.call(session, factories.prospect(session, campaign, now), now, phone_number_id=ids[name])
        for name in ("new", "old")
    )
    apply(session, now, phone_number_ids=["new"])
    assert prepare(session, removed.id, now) is None
    who = session.get_one(factories.Prospect, removed.prospect_id)
    assert (removed.state, who.state, who.due_at, who.calls) == (CallState.NOT_PLACED, ProspectState.WAITING, now, 0)
    assert who.state_why == "number_removed: its caller number was taken out of the campaign"
    assert prepare(session, kept.id, now) is not None
    (again,) = claim(session, campaign.account_id, now, real=REAL)
    assert session.get_one(Call, again).phone_number_id == ids["new"]


def test_whoever_was_held_is_called_after_all_where_the_edit_permits_it(session: Session, now: datetime) -> None:
    later = "Mon-Sun 11:00-20:00"
    campaign = factories.campaign(session, now, windows="Mon-Sun 02:00-03:00")  # which the law never meets
    factories.prospect(session, campaign, now)
    scheduling.reschedule(session, campaign.id, after_id=0, limit=100, now=now)
    found = effects(session, edited(session, now, windows=later), now)
    assert (found.people, found.waiting, found.later, found.earlier, dict(found.becomes)) == (1, 1, 0, 0, {})


def test_where_only_the_pace_or_the_money_changes_nobody_is_looked_at(session: Session, now: datetime) -> None:
    factories.campaign(session, now)
    prices = {"prices": {"platform": 0.1}, "budget": {"total": 100.0}}
    assert not edited(session, now, weight=4, max_concurrency=3, **prices).touches_people
    assert edited(session, now, windows="Mon-Fri 09:00-20:00").touches_people
    assert edited(session, now, ends_at=now + timedelta(days=1)).touches_people


def test_an_end_before_the_next_opening_lets_people_expire(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, windows="Mon-Sun 12:00-20:00")
    who = factories.prospect(session, campaign, now)
    scheduling.reschedule(session, campaign.id, after_id=0, limit=100, now=now)
    terms: dict[str, Any] = {"windows": "Mon-Sun 12:00-20:00", "ends_at": now + timedelta(hours=1)}
    assert dict(effects(session, edited(session, now, **terms), now).becomes) == {
        (ProspectState.EXPIRED, "campaign_over"): 1
    }
    apply(session, now, **terms)
    assert who.state is ProspectState.EXPIRED
