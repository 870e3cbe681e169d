"""`outbound rules`: what applies to a number, and own rules by a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select

from campaigns import db
from campaigns.models import Prospect
from campaigns.rules.prospect_state import ProspectState
from tests import factories
from tests.cli.conftest import CAMPAIGN, Outbound

FILE = """
[US-TX]
hours = "Mon-Sat 10:00-20:00"
closed = [2026-06-19]

[NL]
hours = "Mon-Fri 09:00-17:00"
consent = "express"
parent = "EU"
why = "counsel's opinion of 2 November"
"""


def test_a_file_changes_the_rules_the_list_and_who_waits(outbound: Outbound, database: str) -> None:
    now = datetime.now(UTC)
    with db.transaction(database) as session:
        campaign = factories.campaign(session, now)
        texan = factories.prospect(session, campaign, now, states=["US-TX"], zones=["America/Chicago"]).id
        held = factories.prospect(session, campaign, now, country="NL", states=[], zones=["Europe/Amsterdam"])
        held.state, held.due_at, held.state_why = ProspectState.HELD, None, "no_rule: unlisted country"
        dutch = held.id
    outbound.write("rules.toml", FILE)
    said = outbound("rules", "apply", "rules.toml")
    assert said.out.splitlines() == ["rules of NL changed", "rules of US-TX changed"]
    assert said.err == "due times of 1 campaigns were worked out anew\n"
    assert {row["changed"] for row in json.loads(outbound("rules", "apply", "rules.toml", "--json").out)} == {False}
    with db.transaction(database) as session:
        people = {each.id: each for each in session.scalars(select(Prospect))}
        assert people[dutch].state is ProspectState.WAITING
        due = people[texan].due_at
        assert due is not None
        hour = due.astimezone(ZoneInfo("America/Chicago")).hour
        assert 10 <= hour < 20
    rows = {row["code"]: row for row in outbound("rules", "list", "--json").json()}
    assert rows["US-TX"]["hours"] == "Mon-Sat 10:00-20:00"
    assert rows["US-TX"]["basis"] == "operator"
    assert rows["NL"]["own"]["why"] == "counsel's opinion of 2 November"
    assert rows["US-OK"]["own"] is None
    assert "counsel's opinion" in outbound("rules", "list").out
    removed = outbound("rules", "remove", "NL", "--why", "opened by mistake")
    assert removed.out == "rules of NL are as they are shipped\n"
    with db.transaction(database) as session:
        assert session.get_one(Prospect, dutch).state is ProspectState.HELD
    assert outbound("rules", "remove", "NL", "--why", "again").wrong().startswith("the rules of NL are as they are")


def test_what_is_looser_without_a_reason_is_refused_and_changes_nothing(outbound: Outbound) -> None:
    outbound.write("rules.toml", '[US-TX]\nhours = "daily 08:00-22:00"\n')
    assert outbound("rules", "apply", "rules.toml").wrong() == (
        "rules.toml: US-TX: hours Mon-Sun 08:00-22:00 go beyond Mon-Sat 09:00-21:00; Sun 12:00-21:00: that is looser "
        'than the rule, so add why = "..." with the reason; it is kept'
    )
    assert all(row["own"] is None for row in outbound("rules", "list", "--json").json())


def test_a_number_shows_all_that_applies_to_it(outbound: Outbound) -> None:
    shown = outbound("rules", "show", "+12155550142", "--json").json()
    assert [each["code"] for each in shown["jurisdictions"]] == ["US", "US-PA"]
    assert shown["consent"] == [{"level": "written", "in": "US"}]
    assert len(shown["jurisdictions"][1]["next_holidays"]) == 3
    assert shown["jurisdictions"][0]["caps"][1] == "7 calls in 168 hours (debt collection), per debt"
    assert [each["zone"] for each in shown["clocks"]] == ["America/New_York"]
    opening = datetime.fromisoformat(shown["next_opening"])
    assert opening == datetime.fromisoformat(shown["clocks"][0]["next_opening"])
    assert opening < datetime.now(UTC) + timedelta(days=7)
    text = outbound("rules", "show", "(215) 555-0142", "--region", "US").out
    assert "next call possible by all of them" in text
    assert "US-PA by https://" in text


def test_an_address_binds_beside_the_number(outbound: Outbound) -> None:
    shown = outbound("rules", "show", "+12155550142", "--state", "Georgia", "--json").json()
    assert (shown["states"], shown["federal_only"]) == (["US-GA", "US-PA"], False)
    shown = outbound("rules", "show", "+14045550142", "--zone", "America/Chicago", "--json").json()
    assert (shown["states"], shown["federal_only"], shown["zones"]) == (["US-GA"], True, ["America/Chicago"])
    assert "federal only" in outbound("rules", "show", "+14045550142").out
    assert "recommended only" in outbound("rules", "show", "+4930901820").out


def test_who_may_not_be_called_is_told_why(outbound: Outbound) -> None:
    for phone, why in (
        ("+31205550142", "unlisted country NL: no calling rules are known"),
        ("+18005550142", "unknown country"),
        ("+12065550142", "US-WA forbids sales calls by artificial voice, or may"),
    ):
        shown = outbound("rules", "show", phone, "--json").json()
        assert (shown["refused"], shown["next_opening"]) == (why, None)
        assert f"not called: {why}" in outbound("rules", "show", phone).out


def test_a_campaign_adds_its_own_hours_and_dates(outbound: Outbound) -> None:
    outbound.write("vapi.toml", 'name = "main"\nbase_url = "http://127.0.0.1:9"\nkey_env = "VAPI_API_KEY"\n')
    outbound("accounts", "apply", "vapi.toml")
    outbound.write("spring.toml", CAMPAIGN.replace("[consent]", 'fallback.zones = ["America/Denver"]\n[consent]'))
    assert outbound("campaign", "apply", "spring.toml").code == 0
    shown = outbound("rules", "show", "+18005550142", "--campaign", "spring", "--json").json()
    assert shown["zones"] == ["America/Denver"]
    assert shown["refused"] == "unknown country"


def test_a_typing_error_is_named(outbound: Outbound) -> None:
    assert outbound("rules", "show", "555").wrong().startswith("that is not a number with its country code")
    assert outbound("rules", "show", "+12155550142", "--state", "Atlantis").wrong() == (
        "'Atlantis' is no state of US: write its name or code, such as TX"
    )
    assert "no time zone 'Gotham'" in outbound("rules", "show", "+12155550142", "--zone", "Gotham").wrong()
