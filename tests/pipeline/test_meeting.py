"""Transactions that meet: whoever waits for another is never waited for by them."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.models import Account, Campaign, Home
from campaigns.pipeline import calling, defining, halting, ingesting, recovering, scheduling
from campaigns.rules.call_state import CallState
from campaigns.rules.definition import CampaignDefinition
from campaigns.vapi.records import Placed
from tests import factories
from tests.pipeline.placing import REAL, TIMING
from tests.pipeline.telling import report, store
from tests.pipeline.waiting import alone, held_up


def trouble(*done: Future[Any]) -> list[str]:
    """What the database said to those who failed."""
    return [str(problem.orig).splitlines()[0] for each in done if isinstance(problem := each.exception(), DBAPIError)]


def with_id(session: Session, campaign: Campaign, number: int) -> Campaign:
    session.execute(update(Campaign).where(Campaign.id == campaign.id).values(id=UUID(int=number)))
    session.expunge_all()
    return session.get_one(Campaign, UUID(int=number))


def test_a_freeze_a_campaign_that_is_applied_and_an_intent_do_not_wait_in_a_circle(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign's id is below its account's: of half of all campaigns it is."""
    with db.transaction(database) as session:
        campaign = with_id(session, factories.campaign(session, now), 1)
        call_id = factories.call(session, factories.prospect(session, campaign, now), now).id
    reached, go_on = threading.Event(), threading.Event()
    really = scheduling.lock_to_change

    def gate(session: Session, kind: Any, *which: Any) -> Any:
        if kind is Campaign:  # `campaign apply` shares its account's row by now
            reached.set()
            assert go_on.wait(60)
        return really(session, kind, *which)

    monkeypatch.setattr(defining, "lock_to_change", gate)
    definition = CampaignDefinition.model_validate(factories.CAMPAIGN | {"weight": 2})
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(
            alone, database, partial(defining.apply_campaign, definition=definition, who="test", now=now)
        )
        assert reached.wait(60)
        freeze = partial(scheduling.set_frozen, frozen=True, who="test", now=now, why=None)
        intend = partial(calling.hold_still, call_ids=[call_id], timing=TIMING)
        with (
            held_up(database, partial(alone, database, freeze)) as frozen,
            held_up(database, partial(alone, database, intend)) as intended,
        ):
            go_on.set()
    assert trouble(applied, frozen, intended) == []


def test_dialling_that_was_permitted_after_a_restore_is_not_frozen_again_by_a_tick_that_looked_before(
    database: str, now: datetime
) -> None:
    with db.transaction(database) as session:
        factories.account(session, now)
        halting.guard_home(session, now=now)
    with db.transaction(database) as session:
        session.execute(update(Home).values(database_id=1))  # restored
    assert alone(database, partial(halting.guard_home, now=now)) == ["main"]
    with db.transaction(database) as unfreezing:
        halting.accept_home(unfreezing, who="test", why=None, now=now)
        scheduling.set_frozen(unfreezing, frozen=False, who="test", now=now, why=None)
        unfreezing.flush()
        with held_up(database, partial(alone, database, partial(halting.guard_home, now=now))) as tick:
            unfreezing.commit()
    tick.result()
    with db.transaction(database) as session:
        assert session.scalars(select(Account.frozen_why)).one() is None


def test_calls_that_are_taken_in_do_not_deadlock_with_late_reports_of_the_same_person(
    database: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = factories.number()
    with db.transaction(database) as session:
        reports, people = [], []
        for name in ("a", "b"):
            campaign = factories.campaign(session, now, name=name)
            people.append(factories.prospect(session, campaign, now, e164=number))
            older = factories.call(session, people[-1], now, state=CallState.ENDED, provider_id=f"older-{name}")
            reports.append(store(session, older, report(older, "voicemail", now), now, provider_id=older.provider_id))
        session.flush()
        factories.call(session, people[0], now)  # claimed, and not sent
        account_id = session.scalars(select(Account.id)).one()
    placed = Placed(
        call_id=UUID(int=7),
        provider_id="lost",
        campaign="b",
        number=number,
        extension="",
        phone_number_id="number-1",
        created_at=now,
    )
    reached, go_on = threading.Event(), threading.Event()
    really = recovering._withdraw_unsent

    def gate(*given: Any, **more: Any) -> None:
        reached.set()
        assert go_on.wait(60)
        really(*given, **more)

    monkeypatch.setattr(recovering, "_withdraw_unsent", gate)
    take_in = partial(
        recovering.take_in, account_id=account_id, placed=placed, who="ada", now=now, real=REAL, timing=TIMING
    )
    apply = partial(ingesting.apply, event_ids=reports, now=now, real=REAL, timing=TIMING)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(alone, database, take_in)
        assert reached.wait(60)
        with held_up(database, partial(alone, database, apply)) as told:
            go_on.set()
    assert taken.result() is not recovering.TakenIn.NOBODY
    told.result()
