"""The rows of the calling rules, and which of them bind a call."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.errors import InvalidDefinition, InvalidInput
from campaigns.rules.calling_rules import Rulebook, applicable, lookup, zoned_windows
from campaigns.rules.calling_rules.rows import read_row, shipped
from campaigns.rules.windows import CallingWindow, next_opening

# A second transcription, by hand: Monday to Friday, Saturday, Sunday, as "from-to" in hours, "-" for none. These are
# the hours that bind an artificial voice.
HOURS = """
US     8-21         8-21   8-21
US-AL  8-20         8-20   -
US-CA  8-21         8-21   8-21
US-CT  9-20         9-20   9-20
US-FL  8-20         8-20   8-20
US-IL  9-21         9-21   9-21
US-KY  10-21        10-21  10-21
US-LA  8-20         8-20   -
US-MA  8-20         8-20   8-20
US-MD  8-20         8-20   8-20
US-ME  8-21         8-21   8-21
US-MI  9-21         9-21   9-21
US-MN  9-21         9-21   9-21
US-MS  8-20         8-20   -
US-NE  8-21         8-21   13-21
US-NV  9-20         9-20   9-20
US-NJ  8-21         8-21   8-21
US-NM  9-21         9-21   9-21
US-OK  9-20         9-20   9-20
US-PA  8-21         8-21   8-21
US-RI  9-18         10-17  -
US-SD  9-21         -      -
US-TX  9-21         9-21   12-21
US-UT  8-21         8-21   -
US-WA  8-20         8-20   8-20
US-WY  8-21         8-21   8-21
CA     9-21:30      10-18  10-18
GB     8-21         9-21   9-21
EU     9-20         -      -
DE     9-20         -      -
FR     10-13,14-20  -      -
ES     9-21         -      -
IT     9-20         10-19  -
PT     9-22         -      -
AU     9-20         9-17   -
NZ     8-21         8-21   -
IN     9-21         9-21   9-21
BR     9-21         10-16  -
SG     9-20         -      -
JP     9-20         -      -
"""
RECOMMENDED = {"EU", "DE", "SG", "JP"}
WRITTEN = {"US", "US-CT", "US-FL", "US-MD", "US-OK"}
EXPRESS = {"US-CA", "US-KY", "US-MA", "US-MS", "US-RI", "US-UT", "CA", "GB", "EU", "DE", "FR", "ES", "IT"}
BLOCKED = {"US-WA", "US-WY"}
PRESUMED = {"US-CT", "US-FL", "US-OK"}
HOLIDAYS = {
    "banned": {"US-AL", "US-LA", "US-PA", "US-RI", "US-UT", "FR", "ES", "IT", "AU", "NZ", "BR"},
    "restricted": {"US-NE", "CA"},
    "discouraged": {"GB", "DE", "PT"},
}
CAPS: dict[str, list[tuple[int, int, str, str | None]]] = {  # calls, hours (0 for good), which calls, after what
    "US": [(3, 720, "without_consent", None), (7, 168, "debt_collection", None)],
    "US-FL": [(3, 24, "all", None)],
    "US-MD": [(3, 24, "all", None)],
    "US-OK": [(3, 24, "all", None)],
    "US-ME": [(1, 8, "artificial_voice", None)],
    "US-NV": [(0, 0, "artificial_voice", "hang_up")],
    "GB": [(0, 72, "all", "abandoned_call")],
    "FR": [(4, 720, "all", None), (0, 1440, "all", "refusal")],
    "BR": [(2, 24, "all", None)],
}
PRIMARY = {"US-FL", "US-MA", "US-MS", "US-NJ", "US-RI", "US-SD", "US-UT", "US-WA", "US-WY", "FR", "AU"}
UNVERIFIED = {"EU", "NZ", "JP"}

LINES = [line.split() for line in HOURS.strip().splitlines()]
CODES = [line[0] for line in LINES]


def window(weekday: str, saturday: str, sunday: str) -> CallingWindow:
    def clock(hour: str) -> str:
        return f"{int(hour.partition(':')[0]):02}:{hour.partition(':')[2] or '00'}"

    def hours(spans: str) -> list[str]:
        return [] if spans == "-" else ["-".join(map(clock, span.split("-"))) for span in spans.split(",")]

    return CallingWindow.parse({"Mon-Fri": hours(weekday), "Sat": hours(saturday), "Sun": hours(sunday)})


def test_exactly_these_forty_places_are_listed() -> None:
    assert set(shipped()) == set(CODES)
    assert len(CODES) == 40


@pytest.mark.parametrize(("code", "weekday", "saturday", "sunday"), LINES, ids=CODES)
def test_every_row_says_what_the_second_transcription_says(code: str, weekday: str, saturday: str, sunday: str) -> None:
    row = lookup(code)
    assert row is not None
    assert row.window == window(weekday, saturday, sunday)
    assert row.basis == ("recommended" if code in RECOMMENDED else "statute")
    assert row.consent == ("written" if code in WRITTEN else "express" if code in EXPRESS else "none")
    otherwise = {"US": "express", "US-CT": "none"}
    assert row.consent_otherwise == otherwise.get(code, row.consent)
    assert row.consent_valid == (timedelta(days=730) if code == "ES" else None)
    assert row.artificial_voice_blocked == (code in BLOCKED)
    assert row.area_code_presumes_residence == (code in PRESUMED)
    policies = [policy for policy, codes in HOLIDAYS.items() if code in codes] or ["allowed"]
    assert [row.holidays.policy] == policies
    assert (row.holidays.calendar is None) == (row.holidays.policy == "allowed")
    caps = [(cap.calls, cap.period or timedelta(0), cap.counts, cap.after) for cap in row.caps]
    assert caps == [(calls, timedelta(hours=h), counts, after) for calls, h, counts, after in CAPS.get(code, [])]
    assert row.verification == ("primary" if code in PRIMARY else "unverified" if code in UNVERIFIED else "secondary")
    parent = "US" if code.startswith("US-") else "EU" if code in {"DE", "FR", "ES", "IT", "PT"} else None
    assert row.parent == parent
    zone = row.zone.key if row.zone else None
    assert zone == ("America/Chicago" if code == "US-MS" else None)
    assert row.force == {
        "GB": "industry_code",
        "NZ": "industry_code",
        "IT": "voluntary_code",
        "BR": "voluntary_code",
    }.get(code, "law")
    assert row.sources
    assert all(source.startswith(("http://", "https://")) for source in row.sources)


def test_hours_that_remain_on_and_before_holidays_are_kept() -> None:
    nebraska, italy = lookup("US-NE"), lookup("IT")
    assert nebraska is not None
    assert nebraska.holidays.hours == ((13 * 60, 21 * 60),)
    assert italy is not None
    assert italy.holidays.eve_hours == ((10 * 60, 19 * 60),)
    regional = {code for code in CODES if (row := lookup(code)) and row.holidays.regional}
    assert regional == {"DE", "ES", "AU", "CA", "GB", "NZ"}


# --- which rows apply ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "states", "codes", "federal_only"),
    [
        ("US", ["US-TX"], ["US", "US-TX"], False),
        ("US", ["US-TX", "US-OK"], ["US", "US-OK", "US-TX"], False),
        ("US", ["US-GA"], ["US"], True),
        ("US", ["US-GA", "US-TX"], ["US", "US-TX"], False),
        ("US", ["US-PR"], ["US"], True),
        ("US", [], ["US"], True),
        ("CA", ["CA-ON"], ["CA"], False),
        ("CA", ["US-TX"], ["CA", "US", "US-TX"], False),
        ("FR", [], ["EU", "FR"], False),
        ("GB", [], ["GB"], False),
    ],
)
def test_rules_stack_from_the_country_down(
    country: str,
    states: list[str],
    codes: list[str],
    federal_only: bool,  # noqa: FBT001 - a column of the table
) -> None:
    found = applicable(country, states)
    assert [row.code for row in found.jurisdictions] == codes
    assert found.federal_only == federal_only
    assert found.refusal is None


@pytest.mark.parametrize(
    ("country", "states", "reason"),
    [
        (None, [], "unknown country"),
        (None, ["US-TX"], "unknown country"),
        ("NL", [], "unlisted country NL"),
        ("GG", [], "unlisted country GG"),
        ("US", ["MX-JAL"], "unlisted country MX"),
    ],
)
def test_an_unknown_or_unlisted_place_is_refused_with_the_reason(
    country: str | None, states: list[str], reason: str
) -> None:
    found = applicable(country, states)
    assert found.refusal is not None
    assert found.refusal.startswith(reason)
    assert found.jurisdictions == ()
    assert zoned_windows(found, ["America/New_York"]) == ()


def test_a_refusal_opens_no_window_whatever_rows_come_with_it() -> None:
    refused = replace(applicable("US", []), refusal="a stop ordered by the operator")
    assert zoned_windows(refused, ["America/New_York"]) == ()


ROW: dict[str, Any] = {
    "name": "Atlantis",
    "force": "law",
    "consent": "none",
    "verification": "primary",
    "sources": ["https://x.test"],
}


def test_a_listed_place_without_any_hours_is_refused() -> None:
    rows = {"XA": ROW, "XB": ROW | {"hours": "daily 09:00-20:00"}, "XB-1": ROW | {"parent": "XB"}}
    book = Rulebook({code: read_row(code, row) for code, row in rows.items()})
    assert book.applicable("XA", []).refusal == "no window known for XA"
    silent_state = book.applicable("XB", ["XB-1"])
    assert silent_state.refusal is None
    assert [row.basis for row in silent_state.jurisdictions] == ["statute", "none"]


# --- hours in zones --------------------------------------------------------------------------------------------------


def named(country: str, states: list[str], zones: list[str]) -> set[tuple[str, str]]:
    return {(rule.window.describe(), rule.zone.key) for rule in zoned_windows(applicable(country, states), zones)}


def test_every_rule_holds_in_every_zone_where_the_person_may_be() -> None:
    assert named("US", ["US-TX"], ["America/Chicago", "America/Denver"]) == {
        (hours, zone)
        for hours in ("Mon-Sun 08:00-21:00", "Mon-Sat 09:00-21:00; Sun 12:00-21:00")
        for zone in ("America/Chicago", "America/Denver")
    }


def test_a_rule_that_states_its_hours_in_a_zone_holds_there_too() -> None:
    assert named("US", ["US-MS"], ["America/New_York"]) == {
        ("Mon-Sun 08:00-21:00", "America/New_York"),
        ("Mon-Sat 08:00-20:00", "America/New_York"),
        ("Mon-Sat 08:00-20:00", "America/Chicago"),
    }


def test_a_recommended_window_yields_to_a_members_own_rule() -> None:
    assert named("IT", [], ["Europe/Rome"]) == {("Mon-Fri 09:00-20:00; Sat 10:00-19:00", "Europe/Rome")}
    assert named("DE", [], ["Europe/Berlin"]) == {("Mon-Fri 09:00-20:00", "Europe/Berlin")}


def test_an_unknown_zone_gives_no_hours_at_all() -> None:
    assert zoned_windows(applicable("US", ["US-MS"]), []) == ()
    with pytest.raises(InvalidInput, match="Gotham"):
        zoned_windows(applicable("US", []), ["America/Gotham"])


def test_a_texan_on_a_split_area_code_is_called_when_both_clocks_allow_it() -> None:
    rules = zoned_windows(applicable("US", ["US-TX"]), ["America/Chicago", "America/Denver"])
    sunday = datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert next_opening(rules, sunday, closing=timedelta(minutes=2)) == datetime(2026, 11, 22, 19, tzinfo=UTC)


# --- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hours": "Mon 9-5"}, "calling rules XA: hours '9-5' cannot be read"),
        ({"consent": "oral"}, "'oral' is not one of none, express, written"),
        ({"force": "custom"}, "'custom' is not one of law"),
        ({"verification": "hearsay"}, "not one of primary"),
        ({"artificial_voice": "maybe"}, "not one of allowed, blocked"),
        ({"hour": "daily 09:00-20:00"}, "unknown key hour"),
        ({"zone": "America/Gotham"}, "no time zone"),
        ({"sources": []}, "no sources"),
        ({"holidays": {"policy": "banned"}}, "there is no calendar"),
        ({"holidays": {"policy": "sometimes"}}, "not one of allowed"),
        ({"caps": [{"calls": 3, "counts": "all"}]}, "needs hours or days"),
        ({"caps": [{"calls": 3, "days": 1}]}, "counts is missing"),
        ({"caps": [{"calls": 3, "days": 1, "counts": "some"}]}, "not one of all"),
    ],
)
def test_a_row_that_cannot_be_read_names_itself_and_the_fault(change: dict[str, Any], complaint: str) -> None:
    assert read_row("XA", ROW).window is None
    with pytest.raises(InvalidDefinition, match=complaint) as caught:
        read_row("XA", ROW | change)
    assert "XA" in str(caught.value)
