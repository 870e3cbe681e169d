"""`outbound suppressions`: one line stops the calls to one number."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest

from campaigns import db
from campaigns.rules.call_state import CallState
from tests import factories
from tests.cli.conftest import Outbound

NUMBER = "+12125550142"


@pytest.fixture
def live(outbound: Outbound, database: str, now: datetime) -> UUID:
    """A call to the number that goes on."""
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        someone = factories.prospect(session, campaign, now, e164=NUMBER)
        other = factories.prospect(session, campaign, now)
        factories.call(session, other, now, state=CallState.IN_PROGRESS)
        return factories.call(session, someone, now, state=CallState.IN_PROGRESS).id


def test_a_number_is_added_listed_and_removed_by_one_line_each(outbound: Outbound, live: UUID) -> None:
    added = outbound("suppressions", "add", "+1 (212) 555-0142", "--why", "said so")
    assert (added.code, added.err) == (0, "")
    assert added.out.splitlines() == [
        f"{NUMBER} is not called any more in any campaign",
        f"still in flight: call {live} is in_progress",
    ]
    again = outbound("suppressions", "add", NUMBER, "--json").json()
    assert again["added"] is False
    assert again["in_flight"] == [{"call": str(live), "state": "in_progress"}]
    only = outbound("suppressions", "add", NUMBER, "--campaign", "spring")
    assert only.out.startswith(f"{NUMBER} is not called any more in campaign spring\n")
    listed = outbound("suppressions", "list", "--campaign", "spring", "--json").json()
    assert [(each["phone"], each["campaign"]) for each in listed] == [(NUMBER, "spring"), (NUMBER, None)]
    assert "said so" in outbound("suppressions", "list").out
    removed = outbound("suppressions", "remove", NUMBER, "--why", "asked us to call")
    assert removed.out == f"{NUMBER} may be called again in other campaigns\n"
    assert outbound("suppressions", "remove", NUMBER, "--why", "again").wrong() == (
        "that number is not on this do-not-call list: `outbound suppressions list` shows who is"
    )


def test_a_typing_error_suppresses_nobody(outbound: Outbound, live: UUID) -> None:
    assert outbound("suppressions", "add", "555-0142").wrong().startswith("that is not a number with its country code")
    said = outbound("suppressions", "add", NUMBER, "--campaign", "sprint").wrong()
    assert said == "campaign 'sprint' does not exist: `outbound campaign list` shows those that do"
    assert outbound("suppressions", "list", "--json").json() == []
