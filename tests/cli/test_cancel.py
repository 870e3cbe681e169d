"""`outbound campaign cancel --hang-up`: live calls are ended at the provider, and each result is said."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import select

from campaigns import db
from campaigns.models import Call, Campaign, Change
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.cli.conftest import Outbound
from tests.processes import eventually
from tests.simulator.conftest import KEY, Simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        running.set(outcomes={"answered": 1}, durations={"dial": [0, 0], "ring": [600, 600]}, concurrency=100)
        yield running


@pytest.fixture
def running(outbound: Outbound, database: str, simulator: Simulator, now: datetime) -> Outbound:
    """Two campaigns on one account, and somebody who waits in the first."""
    outbound.environment["VAPI_API_KEY"] = KEY
    with db.transaction(database) as session:
        factories.account(session, now, name="main", base_url=simulator.url)
        for name in ("spring", "winter"):
            factories.prospect(session, factories.campaign(session, now, name=name), now)
    return outbound


def call(
    database: str, now: datetime, *, state: CallState = CallState.RINGING, name: str = "spring", provider_id: str | None
) -> UUID:
    with db.transaction(database) as session:
        campaign = session.scalars(select(Campaign).where(Campaign.name == name)).one()
        someone = factories.prospect(session, campaign, now)
        return factories.call(session, someone, now, state=state, provider_id=provider_id).id


def audited(database: str) -> dict[str, str]:
    """Call → result, as the audit has them."""
    with db.transaction(database) as session:
        changes = session.scalars(select(Change).where(Change.what == "hang up")).all()
        return {change.subject.removeprefix("call:"): str((change.after or {})["result"]) for change in changes}


def test_every_live_call_of_the_campaign_is_ended_and_those_of_others_go_on(
    running: Outbound, database: str, simulator: Simulator, now: datetime
) -> None:
    placed = [simulator.place()["id"] for _ in range(10)]  # more than are ended side by side
    ours = [call(database, now, provider_id=provider_id) for provider_id in placed]
    unclear = call(database, now, state=CallState.UNKNOWN, provider_id=None)
    elsewhere = simulator.place()["id"]
    call(database, now, name="winter", provider_id=elsewhere)
    done = running("campaign", "cancel", "spring", "--hang-up", "--why", "wrong script", "--json").json()
    assert done["state"] == "cancelled"
    assert {each["call"]: each["result"] for each in done["hung_up"]} == {str(each): "ended" for each in ours}
    assert done["in_flight"] == [{"call": str(unclear), "state": "unknown"}]
    assert {simulator.get(provider_id)["status"] for provider_id in placed} == {"ended"}
    assert simulator.get(elsewhere)["status"] != "ended"
    assert audited(database) == {str(each): "ended" for each in ours}
    with db.transaction(database) as session:
        campaign = session.scalars(select(Campaign).where(Campaign.name == "spring")).one()
        assert (campaign.state, campaign.state_why) == (CampaignState.CANCELLED, "wrong script")
        states = session.scalars(
            select(factories.Prospect.state).where(factories.Prospect.campaign_id == campaign.id)
        ).all()
        assert ProspectState.WAITING not in states


def test_a_call_that_was_on_its_way_is_ended_too(
    running: Outbound, database: str, simulator: Simulator, now: datetime
) -> None:
    late = call(database, now, state=CallState.PLACING, provider_id=None)
    provider_id = simulator.place()["id"]

    def cancelled() -> bool:
        with db.transaction(database) as session:
            return session.scalar(select(Campaign.state).where(Campaign.name == "spring")) == CampaignState.CANCELLED

    with ThreadPoolExecutor(1) as pool:
        command = pool.submit(running, "campaign", "cancel", "spring", "--hang-up")
        eventually(cancelled, "the campaign is cancelled")
        with db.transaction(database) as session:
            row = session.get_one(Call, late)
            row.state, row.provider_id = CallState.QUEUED, provider_id
        done = command.result()
    assert (done.code, done.err) == (0, "")
    assert done.out == f"campaign spring is cancelled\ncall {late}: ended\n"
    assert simulator.get(provider_id)["status"] == "ended"


def test_what_could_not_be_ended_is_said_and_the_campaign_is_cancelled_all_the_same(
    running: Outbound, database: str, simulator: Simulator, now: datetime
) -> None:
    provider_id = simulator.place()["id"]
    alive = call(database, now, provider_id=provider_id)
    failed = running("campaign", "cancel", "spring", "--hang-up", VAPI_API_KEY=None)
    assert failed.code == 1
    assert failed.out.startswith(f"campaign spring is cancelled\ncall {alive}: not possible: ")
    assert "VAPI_API_KEY" in failed.out
    assert failed.err == "1 of 1 calls were not ended and run to their end: `outbound calls hang-up` tries one again\n"
    assert audited(database) == {str(alive): "not possible"}
    refused = running("campaign", "cancel", "spring", "--hang-up", VAPI_API_KEY="another")
    assert (refused.code, "the provider answered 401" in refused.out) == (1, True)
    again = running("campaign", "cancel", "spring", "--hang-up")  # it was cancelled before
    assert (again.code, again.out) == (0, f"campaign spring is cancelled\ncall {alive}: ended\n")


def test_a_campaign_without_live_calls_is_just_cancelled(running: Outbound) -> None:
    done = running("campaign", "cancel", "spring", "--hang-up", "--json").json()
    assert done == {"campaign": "spring", "state": "cancelled", "hung_up": [], "in_flight": []}


def test_a_campaign_that_cannot_be_cancelled_is_left_alone(running: Outbound, database: str) -> None:
    with db.transaction(database) as session:
        session.scalars(select(Campaign).where(Campaign.name == "spring")).one().state = CampaignState.COMPLETED
    said = running("campaign", "cancel", "spring", "--hang-up").wrong()
    assert said == "campaign spring is completed: it is over; give a new one another name"
