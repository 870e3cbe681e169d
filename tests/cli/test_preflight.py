"""`outbound campaign preflight`: what would not work is said before anybody is called."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import campaigns
from campaigns import db
from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound, execute
from tests.vapi.provider import Asked, Provider, answer

KEY = "key-of-the-tests"
PEOPLE = """phone,first_name,plan
+12125550101,Ana,Basic
(212) 555-0102,Bo,
+263 24 2123456,Tendai,Gold
12,Nobody,Basic
"""
RECORDS = {
    "/assistant/a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10": {
        "name": "Ada",
        "firstMessage": "Hello {{first_name}}, this is Ada.",
        "voicemailDetection": {"provider": "vapi"},
    },
    "/phone-number/number-1": {"provider": "twilio", "status": "active"},
    "/squad/team": {"name": "team", "members": [{"assistantId": "one"}]},
    "/assistant/one": {"model": {"toolIds": ["tool"]}, "voicemailDetection": {"provider": "vapi"}},
    "/tool/tool": {"type": "function", "function": {"name": "book_slot"}},
}


def reply(asked: Asked) -> bytes:
    if asked.headers["authorization"] != f"Bearer {KEY}":
        return answer(401, {"message": "Invalid Key."})
    record = RECORDS.get(asked.target)
    return answer(404) if record is None else answer(200, record)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(reply) as running:
        yield running


@pytest.fixture
def spring(outbound: Outbound, provider: Provider) -> Outbound:
    """A campaign that would work."""
    outbound.environment["VAPI_API_KEY"] = KEY
    outbound.write("a.toml", ACCOUNT.replace("http://127.0.0.1:9", provider.url))
    outbound.write("c.toml", CAMPAIGN)
    assert outbound("accounts", "apply", "a.toml").code == 0
    assert outbound("campaign", "apply", "c.toml").code == 0
    outbound.write("people.csv", PEOPLE)
    assert outbound("prospects", "import", "people.csv", "--campaign", "spring").code == 0
    provider.asked.clear()
    return outbound


def levels(said: Any) -> dict[str, str]:
    return {check["check"]: check["level"] for check in said["checks"]}


def test_a_campaign_that_would_work_is_asked_about_and_nobody_is_called(spring: Outbound, provider: Provider) -> None:
    found = spring("campaign", "preflight", "spring", "--json").json()
    assert (found["campaign"], found["passed"]) == ("spring", True)
    assert found["checks"] == [
        {
            "check": "webhooks",
            "level": "note",
            "say": "no public_url: the campaign runs by asking, and learns of each end minutes later",
        },
        {"check": "key", "level": "ok", "say": "VAPI_API_KEY is accepted"},
        {"check": "assistant a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10", "level": "ok", "say": "is there: Ada"},
        {"check": "phone number number-1", "level": "ok", "say": "is active, by twilio"},
        {
            "check": "says who calls",
            "level": "ok",
            "say": "seems so; asked for by US (47 CFR 64.1200(b)(1): at the beginning of the call; primary)",
        },
        {
            "check": "says how not to be called again",
            "level": "warning",
            "say": "the first message of assistant a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10 does not seem to: "
            "'Hello {{first_name}}, this is Ada.'; asked for by US (47 CFR 64.1200(b)(3): by voice or key, "
            "within 2 s of saying who calls; primary)",
        },
        {
            "check": "says that the call is recorded",
            "level": "note",
            "say": "the calls are recorded: say so, unless one party's consent is known to suffice wherever they go",
        },
        {"check": "people", "level": "ok", "say": "2 of 3 would be called"},
        {
            "check": "people held",
            "level": "warning",
            "say": "1 would not be called until something is mended: the reasons are listed with the people",
        },
        {
            "check": "rejected rows",
            "level": "note",
            "say": "1 rows of the lists could not be used: `outbound prospects imports` shows of which",
        },
        {
            "check": "workers",
            "level": "warning",
            "say": "none runs, so nobody would be called: start `outbound up`",
        },
    ]
    assert {asked.method for asked in provider.asked} == {"GET"}
    shown = spring("campaign", "preflight", "spring")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0].rstrip() == "Preflight of spring: would work, with 3 to look at"


def test_people_hours_and_requests_are_said(spring: Outbound, counts: Callable[[], dict[str, int]]) -> None:
    before = counts()
    found = spring("campaign", "preflight", "spring", "--json").json()
    assert found["people"] == {
        "total": 3,
        "call": 2,
        "skip": [],
        "hold": [
            {
                "reason": "no_rule",
                "say": "unlisted country ZW: no calling rules are known",
                "people": 1,
                "examples": ["+263242123456"],
            }
        ],
        "in_review": 0,
        "rejected_rows": 1,
    }
    (zone,) = found["forecast"]["zones"]
    assert zone["zones"] == ["America/New_York"]
    first, last = (datetime.fromisoformat(zone[name]) for name in ("first_call", "last_call"))
    finished = {name: datetime.fromisoformat(at) for name, at in found["forecast"]["finished_at"].items()}
    assert datetime.fromisoformat(found["at"]) <= first <= last < finished["expected"]
    assert finished["least"] <= finished["expected"] <= finished["most"]
    assert found["forecast"]["cost"] is None
    (request,) = found["requests"]
    assert request["name"] == "00000000-0000-0000-0000-000000000000"
    assert request["customer"]["number"] in {"+12125550101", "+12125550102"}
    assert request["assistantOverrides"]["variableValues"]["first_name"] in {"Ana", "Bo"}
    assert counts() == before
    shown = spring("campaign", "preflight", "spring").out
    for said in ("no_rule: unlisted country ZW", "America/New_York", "last call over", '"phoneNumberId": "number-1"'):
        assert said in shown


def test_costs_are_said_in_dollars_and_held_against_the_budget(spring: Outbound) -> None:
    money = "[prices]\nplatform = 0.05\nvoice = 60\n[budget]\ntotal = 61.0\nper_day = 61.0\n"
    spring.write(
        "c.toml",
        'max_duration = "1m"\n'
        + CAMPAIGN
        + money
        + "[expected]\nanswered = 1\nno_answer = 0\nvoicemail = 0\nbusy = 0\nfailed = 0\n",
    )
    assert spring("campaign", "apply", "c.toml").code == 0
    found = spring("campaign", "preflight", "spring", "--json").json()
    cost = found["forecast"]["cost"]
    assert 0 < cost["least"] <= cost["expected"] <= cost["most"]
    assert cost["expected"] == pytest.approx(found["forecast"]["minutes"]["expected"] * 60.05, rel=0.1)
    said = {check["check"]: check for check in found["checks"]}
    assert "the budget of 61.00 USD would be spent by about" in said["budget"]["say"]
    assert said["daily budget"]["level"] == "warning"
    shown = spring("campaign", "preflight", "spring").out
    assert f"{cost['expected']:,.2f} USD" in shown


def test_an_assistant_that_says_more_than_the_list_knows_is_told(spring: Outbound, provider: Provider) -> None:
    record = {"name": "Ada", "firstMessage": "Hello {{first_name}}, this is about {{plan}} and {{colour}}."}
    provider.reply = lambda asked: answer(200, record) if "/assistant/" in asked.target else reply(asked)
    found = spring("campaign", "preflight", "spring", "--json")
    assert found.code == 1
    said = {check["check"]: check for check in json.loads(found.out)["checks"]}
    assert said["variable colour"]["level"] == "error"
    assert said["variable colour"]["say"].startswith("everybody lacks the variable that the assistant says, such as +")
    assert said["variable plan"]["level"] == "warning"
    lacks = "the variable that the assistant says, such as +12125550102: give a default"
    assert said["variable plan"]["say"].startswith(f"1 of them lack {lacks}")
    assert "variable first_name" not in said


def test_a_frozen_account_is_said_and_a_stopped_one_would_not_work(spring: Outbound, database: str) -> None:
    spring("freeze")
    assert levels(spring("campaign", "preflight", "spring", "--json").json())["account main"] == "warning"
    spring("unfreeze")
    execute(database, "UPDATE accounts SET stop_reason = 'the key is refused'")
    found = spring("campaign", "preflight", "spring", "--json")
    assert found.code == 1
    assert "is stopped: the key is refused" in found.out


@pytest.mark.parametrize("width", [80, 120])
def test_a_preflight_fits_into_a_terminal(spring: Outbound, width: int) -> None:
    shown = in_terminal(spring, width, "campaign", "preflight", "spring")
    tables = [line for line in shown.splitlines() if line.startswith(("│", "┃"))]
    assert tables
    assert max(len(line) for line in tables) <= width


def in_terminal(outbound: Outbound, width: int, *arguments: str) -> str:
    """What a command says to a terminal of that width."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, width))
    process = subprocess.Popen(
        [sys.executable, "-m", "campaigns.cli.outbound", *arguments],
        cwd=outbound.directory,
        env={**outbound.environment, "TERM": "dumb", "PYTHONPATH": str(Path(campaigns.__file__).parents[1])},
        stdout=theirs,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # how a terminal says that nobody is there any more
        while piece := os.read(ours, 65_536):
            said += piece
    os.close(ours)
    assert process.wait(60) == 0
    return said.decode().replace("\r", "")


# --- start -----------------------------------------------------------------------------------------------------------


def test_a_start_says_what_to_look_at_and_starts(spring: Outbound) -> None:
    started = spring("campaign", "start", "spring")
    assert (started.code, started.out) == (0, "campaign spring is running\n")
    said = started.err.splitlines()
    assert [line.split(": ")[:2] for line in said] == [
        ["warning", "says how not to be called again"],
        ["warning", "people held"],
        ["warning", "workers"],
    ]
    again = spring("campaign", "start", "spring").wrong()  # it runs: nothing is to be looked at any more
    assert again == "campaign spring is running: `outbound campaign show spring` says whether it calls"


def test_a_start_that_would_not_work_is_refused_and_changes_nothing(
    spring: Outbound, provider: Provider, counts: Callable[[], dict[str, int]]
) -> None:
    provider.reply = lambda _: answer(404)
    before = counts()
    refused = spring("campaign", "start", "spring", "--json")
    assert (refused.code, refused.out) == (1, "")
    *why, last = refused.err.splitlines()
    nowhere = "does not exist in this account: copy its id from Vapi's dashboard"
    assistant = "assistant a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10"
    assert why[:2] == [f"error: {assistant}: {nowhere}", f"error: phone number number-1: {nowhere}"]
    assert last == (
        "outbound: campaign spring is not started: mend this, or insist with "
        '`outbound campaign start spring --no-preflight --why "..."`'
    )
    assert counts() == before
    assert spring("campaign", "show", "spring", "--json").json()["state"] == "draft"


def test_a_start_can_be_insisted_on_with_a_reason_that_is_kept(spring: Outbound, database: str) -> None:
    spring.write("a.toml", ACCOUNT)  # nobody listens at port 9
    spring("accounts", "apply", "a.toml")
    assert "nothing can be learned from http://127.0.0.1:9 now" in spring("campaign", "start", "spring").err
    bare = spring("campaign", "start", "spring", "--no-preflight").wrong()
    assert bare == '--no-preflight: say why with --why "...": it is kept in the audit'
    insisted = spring("campaign", "start", "spring", "--no-preflight", "--why", "Vapi is away for an hour")
    assert (insisted.code, insisted.out, insisted.err) == (0, "campaign spring is running\n", "")
    with db.engine(database).connect() as connection:
        (kept,) = connection.execute(text("SELECT why FROM changes WHERE what = 'start'")).scalars()
    assert kept == "without a preflight: Vapi is away for an hour"


# --- the provider ----------------------------------------------------------------------------------------------------


def test_a_squad_is_asked_about_down_to_its_tools(spring: Outbound, provider: Provider) -> None:
    pushed = 'public_url = "http://127.0.0.1:8080"\n[[webhook]]\ntype = "bearer"\nsecret_env = ["HOOK"]\n'
    spring.write("a.toml", ACCOUNT.replace("http://127.0.0.1:9", provider.url) + pushed)
    assert spring("accounts", "apply", "a.toml", HOOK="hush").code == 0
    spring.write("c.toml", CAMPAIGN.replace("assistant_id = ", "# ").replace("windows", 'squad_id = "team"\nwindows'))
    assert spring("campaign", "apply", "c.toml").code == 0
    found = spring("campaign", "preflight", "spring")
    assert (found.code, found.err) == (1, "")
    assert found.out.splitlines()[0].rstrip() == "Preflight of spring: would not work"
    for said in ("secret HOOK", "squad team", "tools of assistant one", "book_slot: give each function tool"):
        assert said in found.out
    assert [asked.target for asked in provider.asked] == [
        *("/squad/team", "/assistant/one", "/tool/tool", "/phone-number/number-1"),
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, ["secret VAPI_API_KEY", "is not set here"]),
        ("another-key", ["is refused: the provider answered 401: Invalid Key.; put a private key into VAPI_API_KEY"]),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_said(spring: Outbound, key: str | None, said: list[str]) -> None:
    found = spring("campaign", "preflight", "spring", VAPI_API_KEY=key)
    assert (found.code, found.err) == (1, "")
    assert all(part in found.out for part in said)


def test_a_provider_that_is_not_there_is_said(spring: Outbound) -> None:
    spring.write("a.toml", ACCOUNT)  # nobody listens at port 9
    spring("accounts", "apply", "a.toml")
    found = spring("campaign", "preflight", "spring", "--json")
    assert (found.code, found.err) == (1, "")
    assert "the provider does not answer: ConnectError: nothing can be learned from http://127.0.0.1:9 now" in found.out


def test_a_provider_that_is_down_has_not_accepted_the_key(spring: Outbound, provider: Provider) -> None:
    provider.reply = lambda _: answer(503)
    found = spring("campaign", "preflight", "spring", "--json")
    assert (found.code, found.err) == (1, "")
    assert "is accepted" not in found.out
    assert "nothing can be learned from" in found.out


def test_a_campaign_that_does_not_exist_is_said_in_one_line(spring: Outbound) -> None:
    said = spring("campaign", "preflight", "sprint").wrong()
    assert said == "campaign 'sprint' does not exist: `outbound campaign list` shows those that do"
