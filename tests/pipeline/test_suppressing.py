"""Whoever asks not to be called is not called, and everybody else is."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.models import Campaign, Change, Person, Prospect
from campaigns.pipeline import suppressing
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.pipeline.lists import assert_tallies_equal_rows, bring
from tests.pipeline.placing import claim

NUMBER = "+12125550142"


@pytest.fixture
def campaigns(session: Session, now: datetime) -> list[Campaign]:
    """Two that know the same person, and each another one."""
    found = [factories.campaign(session, now, name=name) for name in ("spring", "autumn")]
    for campaign in found:
        factories.prospect(session, campaign, now, e164=NUMBER)
        factories.prospect(session, campaign, now)
    session.flush()
    return found


def suppress(session: Session, now: datetime, campaign: Campaign | None = None) -> bool:
    where = None if campaign is None else campaign.id
    _, added = suppressing.suppress(session, NUMBER, campaign_id=where, reason="asked", who="test", now=now)
    session.flush()
    return added


def stand(session: Session) -> list[ProspectState]:
    query = select(Prospect.state).join(Person, Person.id == Prospect.person_id)
    return list(session.scalars(query.where(Person.number == NUMBER).order_by(Prospect.id)))


def test_whoever_waits_is_done_in_every_campaign_and_nobody_else_is(
    session: Session, campaigns: list[Campaign], now: datetime
) -> None:
    assert suppress(session, now)
    assert stand(session) == [ProspectState.SUPPRESSED] * 2
    for campaign in campaigns:
        assert_tallies_equal_rows(session, campaign)
    assert len(claim(session, campaigns[0].account_id, now)) == 2
    assert not suppress(session, now)  # said twice, it stands once
    assert [(each.phone, each.campaign) for each in suppressing.entries(session, campaign_id=None, limit=9)] == [
        (NUMBER, None)
    ]
    change = session.scalars(select(Change).where(Change.what == "suppress")).one()
    assert (change.who, change.why) == ("test", "asked")
    assert NUMBER not in change.subject


def test_in_one_campaign_it_changes_nothing_in_another(
    session: Session, campaigns: list[Campaign], now: datetime
) -> None:
    spring, autumn = campaigns
    assert suppress(session, now, spring)
    assert stand(session) == [ProspectState.SUPPRESSED, ProspectState.WAITING]
    listed = {
        campaign.name: len(suppressing.entries(session, campaign_id=campaign.id, limit=9)) for campaign in campaigns
    }
    assert listed == {"spring": 1, "autumn": 0}
    assert suppress(session, now)  # and then everywhere
    assert stand(session) == [ProspectState.SUPPRESSED] * 2
    assert len(suppressing.entries(session, campaign_id=autumn.id, limit=9)) == 1


def test_a_call_that_goes_on_is_the_last(session: Session, now: datetime) -> None:
    campaign = factories.campaign(session, now, name="winter")
    someone = factories.prospect(session, campaign, now, e164=NUMBER)
    factories.call(session, someone, now, state=CallState.IN_PROGRESS)
    suppress(session, now)
    assert stand(session) == [ProspectState.IN_CALL]


def test_a_number_that_nobody_imported_yet_is_kept_for_the_list_that_brings_it(session: Session, now: datetime) -> None:
    suppress(session, now)
    campaign = factories.campaign(session, now)
    bring(session, campaign, f"Phone\n{NUMBER}\n".encode(), now)
    assert stand(session) == [ProspectState.SUPPRESSED]


def test_after_it_is_lifted_new_lists_may_bring_the_number(
    session: Session, campaigns: list[Campaign], now: datetime
) -> None:
    suppress(session, now)
    for campaign in (campaigns[0].id, None):
        how = {"campaign_id": campaign, "who": "test", "why": "asked us to call", "now": now}
        if campaign is None:
            suppressing.lift(session, NUMBER, **how)
        with pytest.raises(NotAllowed, match="not on this do-not-call list"):
            suppressing.lift(session, NUMBER, **how)
    assert stand(session) == [ProspectState.SUPPRESSED] * 2  # what is done stays done
    bring(session, factories.campaign(session, now, name="winter"), f"Phone\n{NUMBER}\n".encode(), now)
    assert stand(session)[-1] is ProspectState.WAITING
    with pytest.raises(NotAllowed):
        suppressing.lift(session, "+12125550199", campaign_id=None, who="test", why="never heard of", now=now)
