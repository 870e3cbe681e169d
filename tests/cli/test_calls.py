"""`outbound calls`: which calls there are, and ending one that is live at a stand-in that really serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from campaigns import db
from campaigns.models import Call, Change, Prospect
from campaigns.rules.call_state import CallState
from tests import factories
from tests.cli.conftest import Outbound
from tests.simulator.conftest import KEY, Simulator

FIRST = UUID("5f2c9a1e-6f0d-4c55-9a86-2f1f6a0f7c11")
SECOND = UUID("5f2c9a1e-6f0d-4c55-9a86-2f1f6a0f7c12")
OTHER = UUID("a0000000-0000-4000-8000-000000000001")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        running.set(durations={"dial": [0, 0], "ring": [600, 600]})
        yield running


@dataclass
class World:
    """A ledger with three calls, the first of which the stand-in knows as live."""

    outbound: Outbound
    database: str
    provider_id: str

    def changes(self) -> list[tuple[str, str, dict[str, Any], dict[str, Any], str | None]]:
        with db.transaction(self.database) as session:
            rows = session.scalars(select(Change).where(Change.subject.startswith("call:")).order_by(Change.id))
            return [(row.what, row.subject, row.before or {}, row.after or {}, row.why) for row in rows]


@pytest.fixture
def world(outbound: Outbound, database: str, simulator: Simulator, now: datetime) -> World:
    provider_id = simulator.place()["id"]
    outbound.environment["VAPI_API_KEY"] = KEY
    with db.transaction(database) as session:
        factories.account(session, now, name="main", base_url=simulator.url)
        spring = factories.campaign(session, now)
        winter = factories.campaign(session, now, name="winter")

        def call(campaign: Any, call_id: UUID, minutes: int, **values: Any) -> None:
            someone = factories.prospect(session, campaign, now)
            factories.call(session, someone, now + timedelta(minutes=minutes), id=call_id, **values)

        call(spring, FIRST, 1, state=CallState.RINGING, provider_id=provider_id)
        call(spring, SECOND, 2, state=CallState.UNKNOWN)
        call(winter, OTHER, 3, state=CallState.ENDED, provider_id="over", ended_reason="customer-busy")
    return World(outbound, database, provider_id)


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        ("", [OTHER, SECOND, FIRST]),
        ("--campaign spring", [SECOND, FIRST]),
        ("--state ringing", [FIRST]),
        ("--campaign winter --state ringing", []),
        ("--live", [SECOND, FIRST]),
        ("--live --state unknown", [SECOND]),
        ("--live --state ended", []),
        ("--limit 2", [OTHER, SECOND]),
    ],
)
def test_calls_are_listed_the_latest_first(world: World, options: str, listed: list[UUID]) -> None:
    found = world.outbound("calls", "list", *options.split(), "--json").json()
    assert [call["id"] for call in found] == [str(each) for each in listed]


def test_a_listed_call_says_where_it_stands(world: World) -> None:
    over = world.outbound("calls", "list", "--campaign", "winter", "--json").json()[0]
    assert {name: over[name] for name in ("campaign", "caller", "state", "provider_id", "ended_reason")} == {
        "campaign": "winter",
        "caller": "number-1",
        "state": "ended",
        "provider_id": "over",
        "ended_reason": "customer-busy",
    }
    shown = world.outbound("calls", "list")
    assert (shown.code, shown.err) == (0, "")
    assert str(FIRST) in shown.out


def test_a_live_call_is_ended_at_the_provider_and_the_audit_says_by_whom(world: World, simulator: Simulator) -> None:
    done = world.outbound("calls", "hang-up", str(FIRST), "--why", "asked us to stop")
    assert (done.code, done.out, done.err) == (0, f"call {FIRST} is ended\n", "")
    assert simulator.get(world.provider_id)["status"] == "ended"
    with db.transaction(world.database) as session:
        assert session.get_one(Call, FIRST).state is CallState.RINGING  # its end comes as an event, as any other
        number = session.scalars(
            select(factories.Person.number).join(Prospect).join(Call).where(Call.id == FIRST)
        ).one()
    change = ("hang up", f"call:{FIRST}", {"state": "ringing"}, {"result": "ended", "detail": ""}, "asked us to stop")
    assert world.changes() == [change]
    story = world.outbound("prospects", "trace", number, "--json").json()
    (told,) = [moment for moment in story if moment["what"].startswith("hang up by ")]
    assert told["detail"] == "ended: asked us to stop"

    again = world.outbound("calls", "hang-up", str(FIRST), "--json").json()
    assert again == {"call": str(FIRST), "result": "already over"}


def test_a_call_that_cannot_be_ended_is_said_with_the_reason_and_kept(world: World, simulator: Simulator) -> None:
    with db.transaction(world.database) as session:
        account = session.scalars(select(factories.Account)).one()
        # By another name of this machine the stand-in's address is no longer the account's own.
        account.definition = {**account.definition, "base_url": simulator.url.replace("127.0.0.1", "localhost")}
        call = session.get_one(Call, FIRST)
        call.provider_id = world.provider_id
    said = world.outbound("calls", "hang-up", str(FIRST)).wrong()
    assert said.startswith(f"call {FIRST} was not ended: ")
    assert [after["result"] for _, _, _, after, _ in world.changes()] == ["not possible"]


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (
            "5f2c",
            "more than one call has an id that begins so: `outbound calls list` shows those there are",
        ),
        ("ffff", "no call has an id that begins so: `outbound calls list` shows those there are"),
        (
            "a00",
            "'a00' is not the id of a call, nor at least 4 digits of one: `outbound calls list` shows those there are",
        ),
        (
            "%%%%",
            "'%%%%' is not the id of a call, nor at least 4 digits of one: `outbound calls list` shows those there are",
        ),
        ("a000-0000", f"call {OTHER} is ended, not live: there is nothing to hang up"),
        (
            str(SECOND),
            f"call {SECOND} is unknown, not live: the provider has not said yet whether it was placed, ask again later",
        ),
    ],
)
def test_what_is_no_live_call_is_said_in_one_line(world: World, wanted: str, line: str) -> None:
    assert world.outbound("calls", "hang-up", wanted).wrong() == line
    assert world.changes() == []


def test_a_refused_key_is_said_in_one_line(world: World) -> None:
    said = world.outbound("calls", "hang-up", "5f2c9a1e6f0d4c559a862f1f6a0f7c11", VAPI_API_KEY="another").wrong()
    assert said.startswith("the provider answered 401: Invalid Key.")
    assert json.dumps(world.changes()) == "[]"


def test_a_reason_that_could_not_be_kept_ends_no_call(world: World, simulator: Simulator) -> None:
    said = world.outbound("calls", "hang-up", str(FIRST), "--why", "caf\udce9").wrong()  # Latin-1, as a shell passes it
    assert said == "caf\\udce9 holds bytes that are no UTF-8 text: write it in this terminal's letters"
    assert simulator.get(world.provider_id)["status"] != "ended"
