"""Every command that changes something says in the audit who did what, and `outbound audit` tells it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from campaigns import clock, db
from campaigns.models import Change, Event
from campaigns.rules.call_state import CallState
from tests import factories
from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound
from tests.cli.test_help import LEAVES

LOST = UUID("6a2c9a1e-0000-4000-8000-000000000002")

CHANGING: dict[str, tuple[str, str]] = {
    # In this order: what the command says, and what the audit says of it.
    "accounts apply": ("vapi.toml", "apply account:main"),
    "campaign apply": ("spring.toml", "apply campaign:spring"),
    "prospects import": ("people.csv --campaign spring", "import campaign:spring"),
    "campaign start": ("spring --no-preflight --why insist", "start campaign:spring"),
    "campaign pause": ("spring --why script", "pause campaign:spring"),
    "campaign resume": ("spring --why mended", "resume campaign:spring"),
    "freeze": ("--why lunch", "freeze account:main"),
    "unfreeze": ("--why back", "unfreeze account:main"),
    "suppressions add": ("+12125550101 --why asked", "suppress person:"),
    "suppressions remove": ("+12125550101 --why letter", "lift suppression person:"),
    "suppressions import": ("dnc.csv --why state", "suppress person:"),
    "rules apply": ("rules.toml", "apply rule:US-TX"),
    "rules remove": ("US-TX --why shipped", "remove rule:US-TX"),
    "calls review": (f"{LOST} --as answered --why heard", f"decide call:{LOST}"),
    "events retry": ("--all", "event tried again event:"),
    "events dismiss": ("{event} --why old", "event dismissed event:"),
    "campaign cancel": ("spring --why over", "cancel campaign:spring"),
}
READING = {
    *("accounts list", "accounts show", "audit", "calls list", "campaign list", "campaign preflight", "campaign show"),
    *("events counts", "events list", "outcomes export", "prospects imports", "prospects list", "prospects rejected"),
    *("prospects trace", "rules list", "rules show", "status", "suppressions list"),
}
ELSEWHERE = {
    "calls hang-up",  # needs a provider: tests/cli/test_calls.py
    "calls reconcile",  # as well: tests/cli/test_reconcile.py
    *("up", "demo", "simulator", "db upgrade"),  # change nothing that anybody decided
}


def test_every_command_is_known_to_change_something_or_not() -> None:
    assert {" ".join(path) for path in LEAVES} == {*CHANGING, *READING, *ELSEWHERE}


@pytest.fixture
def changed(outbound: Outbound, database: str) -> dict[str, Change]:
    """What each command left in the audit."""
    outbound.write("vapi.toml", ACCOUNT)
    outbound.write("spring.toml", CAMPAIGN)
    outbound.write("people.csv", "phone\n+12125550101\n+12125550102\n")
    outbound.write("dnc.csv", "phone\n+12125550101\n")
    outbound.write("rules.toml", '[US-TX]\nhours = "Mon-Fri 10:00-18:00"\n')
    found: dict[str, Change] = {}
    last = 0
    for command, (arguments, _) in CHANGING.items():
        if command == "suppressions add":
            _calls_and_a_dead_event(database)
        with db.transaction(database) as session:
            event_id = session.scalars(select(Event.id)).first()
        if command == "events dismiss":
            with db.transaction(database) as session:
                session.get_one(Event, event_id).retry_at = None  # back in the dead letter
        outbound(*command.split(), *arguments.format(event=event_id).split())
        with db.transaction(database) as session:
            changes = session.scalars(select(Change).where(Change.id > last).order_by(Change.id)).all()
        assert len(changes) == 1, command
        found[command] = changes[0]
        last = changes[0].id
    return found


def _calls_and_a_dead_event(database: str) -> None:
    with db.transaction(database) as session:
        now = clock.read(session).now
        (spring,) = session.scalars(select(factories.Campaign)).all()
        call = factories.call(
            session, factories.prospect(session, spring, now, e164="+16465550100"), now, state=CallState.REVIEW, id=LOST
        )
        session.add(
            Event(account_id=call.account_id, learned="pushed", type="hang", dedupe_key="d", body={}, received_at=now)
        )


def test_each_of_them_says_who_what_before_after_and_why(changed: dict[str, Change], outbound: Outbound) -> None:
    for command, (arguments, says) in CHANGING.items():
        change = changed[command]
        assert f"{change.what} {change.subject}".startswith(says), command
        assert change.who, command
        assert change.before is not None or change.after is not None, command
        words = arguments.split()
        if "--why" in words:
            assert (change.why or "").endswith(words[words.index("--why") + 1]), command
    assert changed["freeze"].before == {"frozen": False, "because": None}
    assert changed["freeze"].after == {"frozen": True, "because": "lunch"}

    shown = outbound("audit", COLUMNS="80").out
    assert max(map(len, shown.splitlines())) <= 80
    assert f"{changed['freeze'].who}: freeze account main: because lunch, frozen false → true: lunch" in _unfolded(
        shown
    )
    assert "suppress +12125550101: asked" in _unfolded(shown)
    listed = outbound("audit", "--json").json()
    assert [each["what"] for each in listed] == [change.what for change in changed.values()]
    assert listed[4]["before"] == {"state": "running"}


def _unfolded(shown: str) -> str:
    return " ".join(shown.split())


def test_the_audit_is_told_of_one_campaign_and_from_a_moment_on(
    outbound: Outbound, database: str, now: datetime
) -> None:
    with db.transaction(database) as session:
        now = clock.read(session).now
        for name in ("spring", "summer"):
            campaign = factories.campaign(session, now - timedelta(days=3), name=name)
            call = factories.call(session, factories.prospect(session, campaign, now), now)
            session.add(Change(at=now - timedelta(hours=3), who="ada", what="decide", subject=f"call:{call.id}"))
            session.add(
                Change(at=now, who="bob", what="suppress", subject="person:1", after={"campaign": str(campaign.id)})
            )
        session.add(Change(at=now, who="eve", what="suppress", subject="person:2", after={"campaign": None}))

    def told(*arguments: str) -> list[tuple[str, str]]:
        return [(each["who"], each["what"]) for each in outbound("audit", "--json", *arguments).json()]

    assert told("--campaign", "spring") == [
        ("test", "apply"),
        ("test", "apply"),
        ("ada", "decide"),
        ("bob", "suppress"),
    ]
    assert told("--campaign", "spring", "--since", "1d") == [("ada", "decide"), ("bob", "suppress")]
    assert told("--since", "2h") == [("bob", "suppress"), ("bob", "suppress"), ("eve", "suppress")]
    assert told("--since", "2020-01-01", "--limit", "1") == [("eve", "suppress")]
    assert outbound("audit", "--since", "soon").wrong() == (
        "--since soon: write 30m, 8h, 1d, 2w, or a date such as 2026-03-02"
    )
