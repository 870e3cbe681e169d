"""`outbound calls review`: what waits for a person, and the person's word for it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest

from campaigns import db
from campaigns.models import Call
from campaigns.rules.call_state import CallState
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.cli.conftest import Outbound

LOST = UUID("5f2c9a1e-6f0d-4c55-9a86-2f1f6a0f7c11")
TWICE = UUID("a0000000-0000-4000-8000-000000000001")
WHY = "the provider was asked and does not know it"
INCIDENT = "the provider reports a call that was taken for not placed: the person may have been rung twice"

BUSY = ("--as", "busy", "--why", "x")
UNDECIDED = "decide what became of it, which also answers an incident"


@pytest.fixture
def waiting(outbound: Outbound, database: str, now: datetime) -> Outbound:
    """A call in review and, an hour later, one with an incident."""
    with db.transaction(database) as session:
        spring, winter = factories.campaign(session, now), factories.campaign(session, now, name="winter")
        lost = factories.prospect(session, spring, now, e164="+12125550142", state=ProspectState.REVIEW)
        factories.call(session, lost, now, id=LOST, state=CallState.REVIEW, state_why=WHY, check_at=None)
        twice = factories.prospect(session, winter, now, e164="+12125550143", state=ProspectState.REFUSED)
        values = {"counted": False, "incident": INCIDENT, "check_at": None}
        factories.call(session, twice, now, id=TWICE, state=CallState.NOT_PLACED, **values)
    return outbound


def test_what_waits_is_shown_with_what_can_be_said_of_it(waiting: Outbound) -> None:
    lost, twice = waiting("calls", "review", "--json").json()
    expected = {"id": str(LOST), "campaign": "spring", "phone": "+12125550142", "state": "review", "why": WHY}
    assert {name: lost[name] for name in expected} == expected
    assert (lost["since"], lost["provider_said"], lost["provider_id"]) == ("2027-03-02T15:00:00+00:00", [], None)
    assert lost["choices"] == ["not-placed", "answered", "voicemail", "no-answer", "busy", "unknown"]
    assert (twice["id"], twice["incident"], twice["choices"]) == (str(TWICE), INCIDENT, ["seen"])
    shown = waiting("calls", "review")
    assert (shown.code, shown.err) == (0, "")
    for text in (str(LOST), "+12125550142", WHY, "nothing", "not-placed | answered", INCIDENT, "seen"):
        assert text in shown.out
    assert [each["id"] for each in waiting("calls", "review", "--campaign", "winter", "--json").json()] == [str(TWICE)]
    assert INCIDENT in waiting("calls", "list").out


def test_status_is_clean_again_once_everything_is_decided(waiting: Outbound) -> None:
    troubled = waiting("status")
    assert troubled.code == 1
    assert troubled.out.count("`outbound calls review`") == 2
    done = waiting("calls", "review", "5f2c", "--as", "not-placed", "--why", "not in the call log")
    line = f"call {LOST} is not_placed; its person is waiting: the call before was decided to be not placed\n"
    assert (done.code, done.out, done.err) == (0, line, "")
    seen = waiting("calls", "review", str(TWICE), "--as", "seen", "--why", "called them to say sorry", "--json").json()
    assert (seen["call"], seen["as"], seen["state"], seen["person"]) == (str(TWICE), "seen", "not_placed", "refused")
    assert waiting("status").out.startswith("nothing runs: ")  # and nothing else
    assert waiting("calls", "review").out == "no call waits for a decision\n"
    story = waiting("prospects", "trace", "+12125550142", "--json").json()
    (told,) = [moment for moment in story if moment["what"].startswith("decide by ")]
    assert told["detail"] == "not-placed: not in the call log"


def test_a_decision_that_was_made_before_is_refused_in_one_line(waiting: Outbound, database: str) -> None:
    assert waiting("calls", "review", str(LOST), "--as", "answered", "--why", "heard it").code == 0
    again = waiting("calls", "review", str(LOST), "--as", "not-placed", "--why", "not there").wrong()
    assert again.startswith(f"call {LOST} is ended, not in review: ")
    assert " decided answered at " in again
    with db.transaction(database) as session:
        assert session.get_one(Call, LOST).state is CallState.ENDED


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--as", "busy"], "say which call: `outbound calls review` shows their ids"),
        (["--why", "x"], "say which call: `outbound calls review` shows their ids"),
        (
            ["5f2c"],
            "say what became of it with --as, one of not-placed, answered, voicemail, no-answer, busy, unknown, seen",
        ),
        (["5f2c", "--as", "busy"], "say with --why how you know"),
        (["5f2c", "--as", "busy", "--why", " "], "say with --why how you know"),
        (["ffff", *BUSY], "no call has an id that begins so: `outbound calls list` shows those there are"),
        (["a000", *BUSY], f"call {TWICE} is not_placed, not in review"),
        (["5f2c", "--as", "seen", "--why", "x"], f"call {LOST} is in review: {UNDECIDED}"),
        (["--campaign", "autumn"], "campaign 'autumn' does not exist: `outbound campaign list` shows those that do"),
    ],
)
def test_what_cannot_be_decided_is_said_in_one_line(waiting: Outbound, arguments: list[str], line: str) -> None:
    assert waiting("calls", "review", *arguments).wrong() == line
