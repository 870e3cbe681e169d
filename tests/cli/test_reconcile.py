"""After a restore: nothing dials, the provider tells which calls the ledger lost, and only then dialling goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from campaigns import clock, db
from campaigns.models import Account, Call, Campaign, Change, Home, Outcome, Person, Prospect
from campaigns.pipeline import halting, reporting, scheduling
from campaigns.rules.call_state import LIVE, CallState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.cli.conftest import Outbound
from tests.simulator.conftest import KEY, Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        running.set(outcomes={"answered": 1}, durations={"dial": [0, 0], "ring": [600, 600]}, concurrency=100)
        yield running


@pytest.fixture
def ledger(outbound: Outbound, database: str, simulator: Simulator) -> Outbound:
    """A campaign, and a ledger that remembers another server."""
    outbound.environment["VAPI_API_KEY"] = KEY
    with db.transaction(database) as session:
        now = clock.read(session).now
        factories.account(session, now, name="main", base_url=simulator.url)
        factories.campaign(session, now)
        halting.guard_home(session, now=now)
        session.get_one(Home, 1).system_id = "7"
    return outbound


def person(database: str, **changes: Any) -> tuple[str, int]:
    """Number and prospect of somebody who waits."""
    with db.transaction(database) as session:
        campaign = session.scalars(select(Campaign)).one()
        someone = factories.prospect(session, campaign, clock.read(session).now, **changes)
        return session.scalars(select(Person.number).where(Person.id == someone.person_id)).one(), someone.id


def claimed(database: str, prospect_id: int, *, ago: timedelta = timedelta(minutes=1)) -> UUID:
    with db.transaction(database) as session:
        now = clock.read(session).now
        return factories.call(session, session.get_one(Prospect, prospect_id), now - ago).id


def placed(simulator: Simulator, number: str, call_id: UUID | None = None, **customer: Any) -> tuple[UUID, str]:
    """A call of ours at the provider: our id and its own."""
    call_id = call_id or uuid4()
    overrides = {"metadata": {"call_id": str(call_id), "campaign": "spring"}}
    record = simulator.place(number, name=str(call_id), assistantOverrides=overrides, customer=customer)
    return call_id, record["id"]


def end(simulator: Simulator, provider_id: str) -> None:
    url = simulator.get(provider_id)["monitor"]["controlUrl"]
    assert simulator.client.post(url, json={"type": "end-call"}).is_success


def state(database: str, call_id: UUID) -> CallState:
    with db.transaction(database) as session:
        return session.get_one(Call, call_id).state


def exact(database: str) -> bool:
    with db.transaction(database) as session:
        campaign = session.scalars(select(Campaign)).one()
        progress = reporting.progress(session, campaign, now=clock.read(session).now)
        kept = {f"prospect:{name}": number for name, number in progress.prospects.items()}
        kept |= {f"outcome:{name}": number for name, number in progress.outcomes.items()}
        kept |= {"call:made": progress.calls} if progress.calls else {}
        return kept == {
            name: number for name, number in reporting.count_from_rows(session, campaign.id).items() if number
        }


def test_calls_that_the_ledger_lost_are_taken_in_and_their_people_held(
    ledger: Outbound, database: str, simulator: Simulator
) -> None:
    (first, sent), (second, lost), (third, over) = person(database), person(database), person(database)
    fourth, unsent = person(database, extension="12")
    known, _ = placed(simulator, first, claimed(database, sent))
    live, live_id = placed(simulator, second)
    done, done_id = placed(simulator, third)
    end(simulator, done_id)
    withdrawn = claimed(database, unsent)
    instead, _ = placed(simulator, fourth, extension="12")
    simulator.place()  # somebody else's

    assert ledger("calls", "reconcile", "--json").json() == {"known": 1, "taken_in": 3, "left_out": []}
    assert {state(database, call_id) for call_id in (known, live, instead)} <= LIVE
    assert (state(database, done), state(database, withdrawn)) == (CallState.ENDED, CallState.NOT_PLACED)
    with db.transaction(database) as session:
        call = session.get_one(Call, live)
        assert (call.provider_id, call.counted, call.prospect_id) == (live_id, True, lost)
        assert call.intent_at == call.claimed_at == datetime.fromisoformat(simulator.get(live_id)["createdAt"])
        audit = session.scalars(select(Change).where(Change.what == "take in")).all()
        assert {change.subject for change in audit} == {f"call:{each}" for each in (live, done, instead)}
        people = {each: session.get_one(Prospect, each) for each in (sent, lost, over, unsent)}
        assert {people[each].state for each in (sent, lost, unsent)} == {ProspectState.IN_CALL}
        assert [people[each].calls for each in people] == [1, 1, 1, 1]
        assert people[over].state in {ProspectState.SETTLING, ProspectState.WAITING, ProspectState.CANCELLED}
        assert session.get_one(Outcome, done).ended_reason is not None
    assert exact(database)
    again = ledger("calls", "reconcile")
    assert (again.code, again.out) == (0, "4 calls of ours are known, 0 taken in\n")
    from_where, what_next = again.err.splitlines()
    assert from_where.startswith("account main: 4 calls of ours since 20")
    assert what_next.endswith("then `outbound unfreeze --restored`")
    assert exact(database)


def test_what_cannot_be_taken_in_is_shown_until_it_can(ledger: Outbound, database: str, simulator: Simulator) -> None:
    number = simulator.new_number()
    stranger, provider_id = placed(simulator, number)
    held, prospect_id = person(database)
    with db.transaction(database) as session:
        now = clock.read(session).now
        review = factories.call(session, session.get_one(Prospect, prospect_id), now, state=CallState.REVIEW).id
    second, second_id = placed(simulator, held)
    failed = ledger("calls", "reconcile")
    assert failed.code == 1
    assert failed.out.startswith("0 calls of ours are known, 0 taken in\n")
    for text in (provider_id, "its campaign or its person is not in the ledger", second_id, "another call holds"):
        assert text in failed.out
    assert number not in failed.out
    since = failed.err.split("--since ")[1].strip()
    person(database, e164=number)
    assert ledger("calls", "review", str(review), "--as", "unknown", "--why", "another one followed").code == 0
    done = ledger("calls", "reconcile", "--since", since, "--json").json()
    assert done == {"known": 0, "taken_in": 2, "left_out": []}
    assert {state(database, stranger), state(database, second)} <= LIVE


def test_a_listing_that_does_not_come_takes_nothing_in(ledger: Outbound, database: str, simulator: Simulator) -> None:
    number, _ = person(database)
    placed(simulator, number)
    assert "the provider answered 401" in ledger("calls", "reconcile", VAPI_API_KEY="another").wrong()
    with db.transaction(database) as session:
        assert session.scalars(select(Call)).all() == []


def test_dialling_goes_on_only_when_somebody_says_that_the_restored_ledger_is_whole(
    ledger: Outbound, database: str
) -> None:
    said = ledger("unfreeze").wrong()
    assert said.startswith("the ledger is in another server than before: it was restored or failed over")
    assert "run `outbound calls reconcile`, look at `outbound calls review`, pause, cancel and suppress again" in said
    assert said.endswith("then say `outbound unfreeze --restored`")
    before = ledger("status")  # no worker has looked yet
    assert (before.code, "then say `outbound unfreeze --restored`" in before.out) == (1, True)
    with db.transaction(database) as session:
        halting.guard_home(session, now=clock.read(session).now)
    status = ledger("status")
    assert (status.code, status.out.count("the ledger is in another server")) == (1, 1)
    assert ledger("unfreeze", "--restored", "--why", "reconciled").out == "main: permitted to dial again\n"
    with db.transaction(database) as session:
        assert halting.moved(session) is None
        assert session.scalars(select(Account.frozen_at)).one() is None
        assert scheduling.find(session, "spring") is not None
    assert ledger("status").out.startswith("nothing runs: ")


def test_a_time_without_its_offset_is_refused(ledger: Outbound) -> None:
    assert ledger("calls", "reconcile", "--since", "2026-03-02T09:00:00").code == 2
    by_date = ledger("calls", "reconcile", "--since", "2026-03-02")
    assert (by_date.code, "calls of ours since 2026-03-02T00:00:00+00:00" in by_date.err) == (0, True)
