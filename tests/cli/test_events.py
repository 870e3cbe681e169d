"""`outbound events`: the dead letter and the counts, as people use them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from campaigns import db
from campaigns.models import Account, Event, MessageCount
from tests.cli.conftest import ACCOUNT, Outbound


@pytest.fixture
def dead(outbound: Outbound, database: str) -> list[int]:
    """The ids of three events in the dead letter."""
    assert outbound("accounts", "apply", outbound.write("vapi.toml", ACCOUNT)).code == 0
    now = datetime.now(UTC)
    with db.transaction(database) as session:
        account_id = session.scalars(select(Account.id)).one()
        found = [
            Event(
                account_id=account_id,
                learned="pushed",
                type="end-of-call-report",
                dedupe_key=key,
                provider_id=key,
                body={},
                received_at=now,
                effect="no such call",
            )
            for key in ("one", "two", "three")
        ]
        session.add_all(found)
        session.add(MessageCount(account_id=account_id, day=now.date(), type="hang", became="stored", count=3))
        session.flush()
        return [event.id for event in found]


def test_the_dead_letter_is_listed_retried_and_dismissed(outbound: Outbound, dead: list[int]) -> None:
    status = outbound("status")
    assert status.code == 1
    assert status.out.startswith("3 events in the dead letter")
    listed = outbound("events", "list", "--json").json()
    assert [(event["id"], event["provider_id"], event["why"]) for event in listed] == [
        (event_id, key, "no such call") for event_id, key in zip(dead, ("one", "two", "three"), strict=True)
    ]
    assert "end-of-call-report" in outbound("events", "list").out
    assert outbound("events", "dismiss", str(dead[0]), "--why", "not ours").out == f"event {dead[0]} is dismissed\n"
    assert outbound("events", "retry", str(dead[1])).out == f"event {dead[1]} will be applied once more\n"
    assert outbound("events", "retry", "--all", "--json").json() == {"retried": [dead[2]]}
    assert outbound("status").out.startswith("nothing runs: ")  # and nothing else


def test_the_counts_are_shown(outbound: Outbound, dead: list[int]) -> None:
    (row,) = outbound("events", "counts", "--json").json()
    assert (row["account"], row["type"], row["became"], row["count"]) == ("main", "hang", "stored", 3)
    assert "hang" in outbound("events", "counts", "--days", "1").out


def test_mistakes_are_named(outbound: Outbound, dead: list[int]) -> None:
    assert outbound("events", "retry").wrong() == "say which: the id of one event, or --all"
    assert outbound("events", "retry", "7", "--all").wrong() == "say which: the id of one event, or --all"
    assert outbound("events", "dismiss", "0", "--why", "x").wrong() == (
        "event 0 is not in the dead letter: `outbound events list` shows what is"
    )
    assert outbound("events", "dismiss", str(dead[0]), "--why", " ").wrong().startswith("--why is empty")
