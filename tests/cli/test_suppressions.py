"""`outbound suppressions`: one line stops the calls to one number."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
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
    assert removed.out.startswith(f"{NUMBER} may be called again in every campaign once a list brings them anew")
    assert outbound("suppressions", "remove", NUMBER, "--why", "again").wrong() == (
        "that number is not on this do-not-call list: `outbound suppressions list` shows who is"
    )


def test_a_typing_error_suppresses_nobody(outbound: Outbound, live: UUID) -> None:
    assert outbound("suppressions", "add", "555-0142").wrong().startswith("that is not a number with its country code")
    said = outbound("suppressions", "add", NUMBER, "--campaign", "sprint").wrong()
    assert said == "campaign 'sprint' does not exist: `outbound campaign list` shows those that do"
    assert outbound("suppressions", "list", "--json").json() == []


def test_a_list_is_previewed_imported_and_what_cannot_be_used_is_written(
    outbound: Outbound, live: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "dnc.csv"
    file.write_text("Mobile,Why\n212-555-0142,by letter\n+1 212 555 0198,\n12345,\n212-555-0142,twice\n")
    preview = outbound("suppressions", "import", str(file), "--region", "US", "--preview", "--json").json()
    assert (preview["rows"], preview["numbers"], preview["rejected"]) == (4, 3, 1)
    assert preview["columns"] == {"phone": "Mobile", "reason": "Why"}
    assert outbound("suppressions", "list", "--json").json() == []
    done = outbound("suppressions", "import", str(file), "--region", "US", "--why", "state list")
    assert done.out.splitlines()[0] == (
        "4 rows: 2 are not called any more in any campaign, 1 were on that list already, 1 rejected"
    )
    assert done.out.splitlines()[-1] == f"still in flight: call {live} is in_progress"
    rejected = (tmp_path / "dnc.rejected.csv").read_text().splitlines()
    assert rejected[0] == "Mobile,Why,rejected_line,rejected_column,rejected_value,rejected_reason"
    assert rejected[1].startswith("12345,,4,Mobile,12345,")
    listed = outbound("suppressions", "list", "--json", "--limit", "1").json()
    more = outbound("suppressions", "list", "--json", "--before", str(listed[0]["id"])).json()
    assert {each["phone"]: each["reason"] for each in [*listed, *more]} == {
        NUMBER: "twice",
        "+12125550198": "state list",
    }
    again = outbound("suppressions", "import", str(file), "--region", "US", "--json").json()
    assert (again["added"], again["already_there"], again["rejected"]) == (0, 3, 1)
    assert again["in_flight"] == [{"call": str(live), "state": "in_progress"}]
    assert (
        outbound("suppressions", "import", str(file), "--column", "zone=Why").wrong().startswith("--column 'zone=Why'")
    )
