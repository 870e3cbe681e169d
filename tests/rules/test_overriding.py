"""An operator's own rules: stricter freely, looser only with the reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from campaigns.errors import InvalidDefinition
from campaigns.rules.calling_rules import SHIPPED, Rulebook, lookup
from campaigns.rules.calling_rules.overriding import looser, overridden, read_overrides, rulebook
from campaigns.rules.calling_rules.rows import shipped
from campaigns.rules.place import RULES_ALONE, place
from campaigns.rules.windows import next_opening

CLOSING = timedelta(minutes=2)
REFUSED = {"calls": 0, "counts": "all", "after": "refusal"}  # for good


def book(**rows: dict[str, Any]) -> Rulebook:
    return rulebook(orjson.dumps({code.replace("_", "-"): row for code, row in rows.items()}).decode())


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("US-TX", {"hours": "Mon-Fri 10:00-18:00"}),
        ("US-TX", {"hours": "Mon-Sat 09:00-21:00; Sun 12:00-21:00"}),  # as it is shipped
        ("US-TX", {"closed": ["2026-06-19", "2026-12-24..2027-01-01"]}),
        ("US-TX", {"closed": [date(2026, 6, 19)]}),
        ("US-TX", {"consent": "written", "artificial_voice": "blocked", "consent_valid_days": 365}),
        ("US-TX", {"holidays": {"policy": "banned", "calendar": "US-TX"}}),
        ("US-TX", {"caps": [{"calls": 1, "days": 7, "counts": "all"}]}),
        ("US-TX", {"zone": "America/Chicago"}),
        ("US-NE", {"holidays": {"policy": "banned"}}),
        ("US-NE", {"holidays": {"hours": "14:00-20:00"}}),
        ("IT", {"holidays": {"eve_hours": "11:00-13:00"}}),
        (
            "FR",
            {"caps": [{"calls": 2, "days": 30, "counts": "all"}, {"calls": 0, "counts": "all", "after": "refusal"}]},
        ),
        ("US-FL", {"caps": [{"calls": 3, "days": 2, "counts": "all"}]}),
        ("US-GA", {"hours": "Mon-Sat 07:00-22:00"}),  # beside the federal row it can only take away
        ("ES", {"consent_valid_days": 365}),
    ],
)
def test_what_is_stricter_needs_no_reason(code: str, row: dict[str, Any]) -> None:
    (stored,) = read_overrides({code: row}, source="f").values()
    assert orjson.loads(orjson.dumps(stored)) == stored
    assert looser(overridden(code, stored)) == []


@pytest.mark.parametrize(
    ("code", "row", "in_what"),
    [
        ("US-TX", {"hours": "Mon-Sat 09:00-21:01; Sun 12:00-21:00"}, "hours Mon-Sat 09:00-21:01"),
        ("US-TX", {"hours": "Mon-Sat 09:00-21:00; Sun 11:59-21:00"}, "go beyond"),
        ("US-IL", {"hours": "daily 08:00-21:00"}, "go beyond Mon-Sun 09:00-21:00"),  # of the automated hours
        ("DE", {"hours": "Mon-Sat 09:00-20:00"}, "go beyond"),
        ("US-FL", {"consent": "express"}, "consent express is less than written"),
        ("US", {"consent": "express"}, "consent express is less than written"),
        ("US", {"consent_otherwise": "none"}, "consent_otherwise none is less than express"),
        ("ES", {"consent_valid_days": 731}, "longer than 730 days"),
        ("US-WA", {"artificial_voice": "allowed"}, "artificial voices are not blocked"),
        ("US-MS", {"zone": "America/New_York"}, "by the clocks of America/Chicago"),
        ("US-PA", {"holidays": {"policy": "allowed"}}, "holidays leave all hours"),
        ("US-PA", {"holidays": {"policy": "restricted", "hours": "12:00-14:00"}}, "holidays leave 12:00-14:00"),
        ("US-NE", {"holidays": {"hours": "12:59-21:00"}}, "and not 13:00-21:00"),
        ("US-PA", {"holidays": {"calendar": "US-NY"}}, "not those of US-PA"),
        ("AU", {"holidays": {"regional": False}}, "not those of AU and its regions"),
        ("IT", {"holidays": {"eve_hours": "09:00-19:00"}}, "the day before a holiday"),
        ("US-PA", {"open": ["2026-11-27"]}, "2026-11-27 is open"),
        ("US-FL", {"caps": []}, "the cap of 3 calls"),
        ("US-FL", {"caps": [{"calls": 4, "hours": 24, "counts": "all"}]}, "the cap of 3 calls"),
        ("US-FL", {"caps": [{"calls": 3, "hours": 23, "counts": "all"}]}, "the cap of 3 calls"),
        ("US-FL", {"caps": [{"calls": 1, "hours": 24, "counts": "debt_collection"}]}, "the cap of 3 calls"),
        ("NL", {"hours": "Mon-Fri 09:00-17:00", "consent": "written"}, "not listed"),
    ],
)
def test_what_is_looser_needs_a_reason_and_keeps_it(code: str, row: dict[str, Any], in_what: str) -> None:
    for why in ({}, {"why": "  "}):
        with pytest.raises(InvalidDefinition) as caught:
            read_overrides({code: row | why}, source="f")
        assert str(caught.value).startswith(f"f: {code}: ")
        assert in_what in str(caught.value) or why
    (stored,) = read_overrides({code: row | {"why": "counsel said so"}}, source="f").values()
    assert stored["why"] == "counsel said so"


@pytest.mark.parametrize("code", sorted(shipped()))
def test_the_shipped_row_is_never_looser_than_itself(code: str) -> None:
    assert overridden(code, {}) == lookup(code)
    assert looser(overridden(code, {"note": "looked at"})) == []


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ({}, "holds no rows"),
        ({"Texas": {}}, "f: Texas: write a section whose name is a country or state"),
        ({"US-TX": 3}, "f: US-TX: write a section"),
        ({"US-TX": {"hour": "x"}}, "f: US-TX: no such key 'hour'; allowed here: artificial_voice, caps"),
        ({"US-TX": {"parent": "EU"}}, "no such key 'parent'"),
        ({"US-TX": {"hours": "Mon 9-5"}}, "use 24-hour times"),
        ({"US-TX": {"hours": 9}}, "f: US-TX: "),
        ({"US-TX": {"caps": 3}}, "f: US-TX: "),
        ({"US-TX": {"closed": "2026-06-19"}}, "closed: write a list of dates"),
        ({"US-TX": {"closed": ["19.6.2026"]}}, "'19.6.2026' is not a date"),
        ({"US-TX": {"closed": ["2026-06-19..2026-06-01"]}}, "ends before it begins"),
        ({"US-TX": {"holidays": {"policy": "banned"}}}, "there is no calendar"),
        ({"US-TX": {"holidays": {"policy": "banned", "calendar": "TX"}}}, "there is no calendar 'TX'"),
        ({"US-NE": {"holidays": {"hours": "20:00-02:00"}}}, "end by midnight"),
        ({"NL": {"hours": "Mon 09:00-10:00", "why": "x"}}, "consent must be given"),
        ({"NL": {"hours": "Mon 09:00-10:00", "consent": "none", "parent": "US", "why": "x"}}, 'parent may be "EU"'),
        ({"US-GA": {"parent": "EU"}}, 'parent may be "EU"'),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_what_is_wrong(rows: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_overrides(rows, source="f")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_own_rules_take_the_place_of_those_that_are_shipped() -> None:
    own = book(US_TX={"hours": "Mon-Fri 10:00-18:00", "closed": ["2026-12-03"]})
    rules = place(RULES_ALONE, own, "US", ("US-TX",), ("America/Chicago",)).windows
    at = datetime(2026, 12, 2, 23, 59, tzinfo=UTC)  # a Wednesday, 17:59
    assert next_opening(rules, at, closing=CLOSING) == datetime(2026, 12, 4, 16, tzinfo=UTC)
    assert own.lookup("US-OK") is SHIPPED.lookup("US-OK")
    assert SHIPPED.lookup("US-TX") != own.lookup("US-TX")


def test_a_country_is_opened_and_a_voice_allowed_by_the_operator_alone() -> None:
    dutch = ("NL", (), ("Europe/Amsterdam",))
    assert place(RULES_ALONE, SHIPPED, *dutch).applicable.refusal is not None
    opened = place(RULES_ALONE, book(NL={"hours": "Mon-Fri 09:00-17:00", "consent": "express", "parent": "EU"}), *dutch)
    assert opened.applicable.refusal is None
    assert [row.code for row in opened.applicable.jurisdictions] == ["EU", "NL"]
    assert {need.level for need in opened.consent_needs} == {"express"}
    seattle = ("US", ("US-WA",), ("America/Los_Angeles",))
    assert place(RULES_ALONE, SHIPPED, *seattle).voice_blocked == "US-WA"
    assert place(RULES_ALONE, book(US_WA={"artificial_voice": "allowed"}), *seattle).voice_blocked is None


def test_a_state_that_is_not_listed_may_be_given_rules() -> None:
    found = place(RULES_ALONE, book(US_GA={"hours": "Mon-Sat 07:00-17:00"}), "US", ("US-GA",), ("America/New_York",))
    assert [row.code for row in found.applicable.jurisdictions] == ["US", "US-GA"]
    assert not found.applicable.federal_only
    at = datetime(2026, 12, 3, 12, tzinfo=UTC)  # 7:00; the federal rule opens an hour later
    assert next_opening(found.windows, at, closing=CLOSING) == datetime(2026, 12, 3, 13, tzinfo=UTC)


def test_own_dates_close_and_open_whatever_the_calendar_says() -> None:
    own = book(US_PA={"closed": ["2026-12-02"], "open": ["2026-11-27"]}, US_TX={"closed": ["2026-12-02"]})
    for state, zone, hour in (("US-PA", "America/New_York", 13), ("US-TX", "America/Chicago", 15)):
        rules = place(RULES_ALONE, own, "US", (state,), (zone,)).windows
        at = datetime(2026, 12, 2, 7, tzinfo=UTC)
        assert next_opening(rules, at, closing=CLOSING) == datetime(2026, 12, 3, hour, tzinfo=UTC)
    rules = place(RULES_ALONE, own, "US", ("US-PA",), ("America/New_York",)).windows
    thanksgiving = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert next_opening(rules, thanksgiving, closing=CLOSING) == datetime(2026, 11, 27, 13, tzinfo=UTC)


def test_the_same_rows_are_the_same_book() -> None:
    assert rulebook(None) is rulebook("") is SHIPPED
    assert book(US_TX={"note": "x"}) is book(US_TX={"note": "x"})


@pytest.mark.parametrize(
    ("code", "says"), [("UK", "no country has the code UK: the United Kingdom is GB"), ("ZZ", "ZZ")]
)
def test_a_row_of_no_country_is_refused(code: str, says: str) -> None:
    with pytest.raises(InvalidDefinition, match=says):
        read_overrides({code: {"hours": "Mon-Fri 09:00-18:00", "consent": "express", "why": "counsel"}}, source="f")
