"""Stop means stop, between any two steps of a call that is being placed: what the provider hears is what counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.cli.in_flight import wait_for_sending
from campaigns.models import Call, Person, Prospect
from campaigns.pipeline import scheduling, suppressing
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import Command
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.prospect_state import ProspectState
from campaigns.vapi.client import Client
from tests import factories
from tests.pipeline.waiting import held_up
from tests.processes import eventually
from tests.workers.conftest import Silent
from workers import calls
from workers.calls import place_calls
from workers.dispatch import refill

STOPS = ["pause", "cancel", "freeze", "suppress"]
BECOMES = {"cancel": ProspectState.CANCELLED, "suppress": ProspectState.SUPPRESSED}


def claimed(url: str, provider: Silent, now: datetime) -> UUID:
    """A call whose slot has come, at the stand-in."""
    with db.transaction(url) as session:
        clock.rehearse(session, origin_at=now, speed=1)
        factories.account(session, now, base_url=provider.url)
        someone = factories.prospect(session, factories.campaign(session, now), now)
        real = clock.read(session).real
        return factories.call(session, someone, now, slot_at=real, check_at=real + timedelta(seconds=30)).id


def stop(session: Session, how: str, now: datetime) -> None:
    match how:
        case "pause" | "cancel":
            scheduling.command(session, "spring", Command(how), who="test", now=now)
        case "freeze":
            scheduling.set_frozen(session, frozen=True, who="test", now=now, why=None)
        case _:
            number = session.scalars(select(Person.number)).one()
            suppressing.suppress(session, number, campaign_id=None, reason="asked", who="test", now=now)
    session.flush()


def stands(url: str, call_id: UUID) -> tuple[CallState, ProspectState]:
    with db.transaction(url) as session:
        call = session.get_one(Call, call_id)
        return call.state, session.get_one(Prospect, call.prospect_id).state


@pytest.mark.parametrize("how", STOPS)
def test_a_stop_between_claim_and_intent_lets_no_request_leave(
    working_database: str, silent_provider: Silent, now: datetime, how: str
) -> None:
    call_id = claimed(working_database, silent_provider, now)
    with db.transaction(working_database) as stopping:
        stop(stopping, how, now)
        with held_up(working_database, lambda: place_calls(str(call_id))) as placed:
            stopping.commit()
    placed.result()
    place_calls(str(call_id))
    with db.transaction(working_database) as session:
        account_id = session.get_one(Call, call_id).account_id
    refill(str(account_id))
    assert silent_provider.asked == []
    assert stands(working_database, call_id) == (CallState.NOT_PLACED, BECOMES.get(how, ProspectState.WAITING))


class Gate:
    """Holds a worker between its intent and its request."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def wait_for(self, connect: Callable[[AccountDefinition], Client]) -> Callable[[AccountDefinition], Client]:
        def held(account: AccountDefinition) -> Client:
            self.reached.set()
            assert self.open.wait(60)
            return connect(account)

        return held


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found = Gate()
    monkeypatch.setattr(calls, "client", found.wait_for(calls.client))
    return found


def stop_and_wait(url: str, how: str, now: datetime) -> Sequence[tuple[UUID, CallState]]:
    """What the commands do: they return when every request has left or was given up."""
    with db.transaction(url) as session:
        stop(session, how, now)
    return wait_for_sending(url, None if how == "freeze" else "spring")


def in_its_middle(
    url: str, call_id: UUID, gate: Gate, pool: ThreadPoolExecutor, how: str, now: datetime
) -> tuple[Future[None], Future[Sequence[tuple[UUID, CallState]]]]:
    """A worker between intent and request, and a stop that came then."""
    placed = pool.submit(place_calls, str(call_id))
    assert gate.reached.wait(60)
    stopped = pool.submit(stop_and_wait, url, how, now)

    def is_stopped() -> bool:
        with db.transaction(url) as session:
            campaign = scheduling.find(session, "spring")
            account = session.get_one(factories.Account, campaign.account_id)
            return account.frozen_at is not None or str(campaign.state) in {"paused", "cancelled"}

    eventually(is_stopped, "the stop is committed")
    return placed, stopped


@pytest.mark.parametrize("how", ["pause", "cancel", "freeze"])
def test_a_stop_between_intent_and_request_returns_when_the_request_has_left_and_names_its_call(
    working_database: str, silent_provider: Silent, now: datetime, gate: Gate, how: str
) -> None:
    call_id = claimed(working_database, silent_provider, now)
    with ThreadPoolExecutor(2) as pool:
        placed, stopped = in_its_middle(working_database, call_id, gate, pool, how, now)
        assert not stopped.done()
        gate.open.set()
        assert stopped.result() == [(call_id, CallState.UNKNOWN)]  # the provider hung up on it
        assert len(silent_provider.asked) == 1
        placed.result()
    assert len(silent_provider.asked) == 1


def test_a_request_that_has_not_left_when_the_stop_returns_is_named_and_never_leaves(
    working_database: str, silent_provider: Silent, now: datetime, gate: Gate
) -> None:
    call_id = claimed(working_database, silent_provider, now)
    with ThreadPoolExecutor(2) as pool:
        placed, stopped = in_its_middle(working_database, call_id, gate, pool, "pause", now)
        assert stopped.result() == [(call_id, CallState.PLACING)]
        gate.open.set()
        placed.result()
    assert silent_provider.asked == []
    assert stands(working_database, call_id) == (CallState.NOT_PLACED, ProspectState.WAITING)
