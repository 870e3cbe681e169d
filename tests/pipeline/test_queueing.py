"""A stop waits for what was open before it, and never for what comes after it, however much that is."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.models import Account, Campaign
from campaigns.pipeline import halting, scheduling
from campaigns.rules.campaign_state import CampaignState, Command
from tests import factories
from tests.pipeline.lists import begin_phones, store_phones
from tests.pipeline.placing import prepare
from tests.pipeline.test_breaking import MINUTE, campaign_with, fails, pauses
from tests.pipeline.waiting import alone, held_up


def stop(session: Session, how: str, now: datetime) -> None:
    match how:
        case "pause":
            scheduling.command(session, "spring", Command.PAUSE, who="test", now=now)
        case "freeze":
            scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
        case "refused key":
            halting.stop_account(session, session.scalars(select(Account.id)).one(), "its key was refused", now=now)
        case _:
            assert pauses(session, session.scalars(select(Campaign)).one(), now)


@pytest.mark.parametrize("how", ["pause", "freeze", "refused key", "too many failures"])
def test_a_stop_comes_before_the_intents_that_come_after_it(database: str, now: datetime, how: str) -> None:
    with db.transaction(database) as session:
        campaign = campaign_with(session, now)
        fails(session, campaign, now - MINUTE)
        first, second = (factories.call(session, factories.prospect(session, campaign, now), now).id for _ in range(2))
    with db.transaction(database) as open_before:
        assert prepare(open_before, first, now) is not None
        with (
            held_up(database, partial(alone, database, partial(stop, how=how, now=now))) as stopped,
            held_up(database, partial(alone, database, partial(prepare, call_id=second, now=now))) as prepared,
        ):
            open_before.commit()
            stopped.result()
            assert prepared.result() is None  # it finds that all was stopped


@pytest.mark.parametrize(("table", "change"), [("campaigns", "state = 'paused'"), ("accounts", "frozen_at = now()")])
def test_a_stop_by_a_hand_that_knows_no_queue_waits_for_an_open_intent_all_the_same(
    database: str, now: datetime, table: str, change: str
) -> None:
    with db.transaction(database) as session:
        call_id = factories.call(session, factories.prospect(session, factories.campaign(session, now), now), now).id

    def write(session: Session) -> None:
        session.execute(text(f"UPDATE {table} SET {change}"))  # noqa: S608 - our own words

    with db.transaction(database) as open_before:
        assert prepare(open_before, call_id, now) is not None
        with held_up(database, partial(alone, database, write)) as stopped:
            open_before.commit()
        stopped.result()


def test_a_pause_comes_between_the_lots_of_lists_that_are_imported_at_once(database: str, now: datetime) -> None:
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        imports = [begin_phones(session, campaign, name, now) for name in "ab"]

    def store(turn: int, session: Session) -> CampaignState:
        store_phones(session, imports[turn], f"+1212555010{turn}", now=now)
        return session.get_one(Campaign, campaign.id).state

    with db.transaction(database) as open_before:
        assert store(0, open_before) is CampaignState.RUNNING
        with (
            held_up(database, partial(alone, database, partial(stop, how="pause", now=now))) as paused,
            held_up(database, partial(alone, database, partial(store, 1))) as stored,
        ):
            open_before.commit()
            paused.result()
            assert stored.result() is CampaignState.PAUSED
