"""Who may be called at which minute, held against tables by hand and a checker that shares no code with the rules."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.facts import PersonalConsent
from campaigns.rules import eligibility
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.eligibility import Allowed, Facts, Reason, Refused, decide, when_due
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.windows import CallingWindow, ZonedWindow, next_opening
from tests.rules.deciding import running, someone

MINUTE = timedelta(minutes=1)

# The first and the last minute at which a call may be sent on Wednesday 9, Saturday 12 and Sunday 13 December 2026, and
# on Christmas Day, a Friday; "-" for none. Each by the clock that stands last.
PERMITTED = """
US     08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/New_York
US-AL  08:00-19:57  08:00-19:57  -            -            America/Chicago
US-CA  08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/Los_Angeles
US-CT  09:00-19:57  09:00-19:57  09:00-19:57  09:00-19:57  America/New_York
US-FL  08:00-19:57  08:00-19:57  08:00-19:57  08:00-19:57  America/New_York
US-GA  08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/New_York
US-IL  09:00-20:57  09:00-20:57  09:00-20:57  09:00-20:57  America/Chicago
US-KY  10:00-20:57  10:00-20:57  10:00-20:57  10:00-20:57  America/New_York
US-LA  08:00-19:57  08:00-19:57  -            -            America/Chicago
US-MA  08:00-19:57  08:00-19:57  08:00-19:57  08:00-19:57  America/New_York
US-MD  08:00-19:57  08:00-19:57  08:00-19:57  08:00-19:57  America/New_York
US-ME  08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/New_York
US-MI  09:00-20:57  09:00-20:57  09:00-20:57  09:00-20:57  America/Detroit
US-MN  09:00-20:57  09:00-20:57  09:00-20:57  09:00-20:57  America/Chicago
US-MS  08:00-19:57  08:00-19:57  -            08:00-19:57  America/Chicago
US-NE  08:00-20:57  08:00-20:57  13:00-20:57  13:00-20:57  America/Chicago
US-NV  09:00-19:57  09:00-19:57  09:00-19:57  09:00-19:57  America/Los_Angeles
US-NJ  08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/New_York
US-NM  09:00-20:57  09:00-20:57  09:00-20:57  09:00-20:57  America/Denver
US-OK  09:00-19:57  09:00-19:57  09:00-19:57  09:00-19:57  America/Chicago
US-PA  08:00-20:57  08:00-20:57  08:00-20:57  -            America/New_York
US-PR  08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/Puerto_Rico
US-RI  09:00-17:57  10:00-16:57  -            -            America/New_York
US-SD  09:00-20:57  -            -            09:00-20:57  America/Chicago
US-TX  09:00-20:57  09:00-20:57  12:00-20:57  09:00-20:57  America/Chicago
US-UT  08:00-20:57  08:00-20:57  -            -            America/Denver
US-WA  08:00-19:57  08:00-19:57  08:00-19:57  08:00-19:57  America/Los_Angeles
US-WY  08:00-20:57  08:00-20:57  08:00-20:57  08:00-20:57  America/Denver
CA     09:00-21:27  10:00-17:57  10:00-17:57  -            America/Toronto
CA-QC  09:00-21:27  10:00-17:57  10:00-17:57  -            America/Toronto
CA-NL  09:00-21:27  10:00-17:57  10:00-17:57  -            America/St_Johns
GB     08:00-20:57  09:00-20:57  09:00-20:57  -            Europe/London
DE     09:00-19:57  -            -            -            Europe/Berlin
FR     10:00-19:57  -            -            -            Europe/Paris
ES     09:00-20:57  -            -            -            Europe/Madrid
IT     09:00-19:57  10:00-18:57  -            -            Europe/Rome
PT     09:00-21:57  -            -            -            Europe/Lisbon
AU     09:00-19:57  09:00-16:57  -            -            Australia/Sydney
AU-SA  09:00-19:57  09:00-16:57  -            -            Australia/Adelaide
NZ     08:00-20:57  08:00-20:57  -            -            Pacific/Auckland
IN     09:00-20:57  09:00-20:57  09:00-20:57  09:00-20:57  Asia/Kolkata
BR     09:00-20:57  10:00-15:57  -            -            America/Sao_Paulo
SG     09:00-19:57  -            -            09:00-19:57  Asia/Singapore
JP     09:00-19:57  -            -            09:00-19:57  Asia/Tokyo
"""
LINES = [line.split() for line in PERMITTED.strip().splitlines()]
DAYS = (date(2026, 12, 9), date(2026, 12, 12), date(2026, 12, 13), date(2026, 12, 25))
LUNCH = {"FR": range(13 * 60 - 2, 14 * 60)}  # closed from 13:00, and nothing is sent in the last two minutes before


@pytest.mark.parametrize(("code", "hours", "zone"), [(line[0], line[1:5], line[5]) for line in LINES])
def test_the_first_and_the_last_minute_of_every_place(code: str, hours: list[str], zone: str) -> None:
    states = [code] if "-" in code else []
    person = someone(running(purpose="information"), code.partition("-")[0], states, [zone])
    for day, said in zip(DAYS, hours, strict=True):
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
        permitted = [minute for minute in range(24 * 60) if decide(person, midnight + minute * MINUTE) == Allowed()]
        if said == "-":
            assert permitted == [], day
            continue
        first, last = (int(clock[:2]) * 60 + int(clock[3:]) for clock in said.split("-"))
        assert permitted == [minute for minute in range(first, last + 1) if minute not in LUNCH.get(code, ())], day


# --- changes of the clocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "hours", "after", "due"),
    [
        # Spring forward in the Americas, Europe and the south: an hour that is skipped opens at the next that exists.
        ("America/New_York", "daily 02:15-06:00", "2027-03-14T01:30:00-05:00", "2027-03-14T03:00:00-04:00"),
        ("America/St_Johns", "daily 02:15-06:00", "2027-03-14T01:30:00-03:30", "2027-03-14T03:00:00-02:30"),
        ("America/Santiago", "daily 00:15-06:00", "2026-09-05T23:30:00-04:00", "2026-09-06T01:00:00-03:00"),
        ("Europe/Berlin", "daily 02:15-06:00", "2027-03-28T01:30:00+01:00", "2027-03-28T03:00:00+02:00"),
        ("Europe/London", "daily 01:15-06:00", "2027-03-28T00:30:00+00:00", "2027-03-28T02:00:00+01:00"),
        ("Australia/Sydney", "daily 02:15-06:00", "2026-10-04T01:30:00+10:00", "2026-10-04T03:00:00+11:00"),
        ("Australia/Lord_Howe", "daily 02:15-06:00", "2026-10-04T01:30:00+10:30", "2026-10-04T02:30:00+11:00"),
        ("Pacific/Auckland", "daily 02:15-06:00", "2026-09-27T01:30:00+12:00", "2026-09-27T03:00:00+13:00"),
        # Fall back: what comes twice is open twice, and 9 o'clock is 9 o'clock on the day after.
        ("America/New_York", "daily 01:00-01:30", "2026-11-01T01:29:00-04:00", "2026-11-01T01:00:00-05:00"),
        ("America/New_York", "daily 09:00-17:00", "2026-10-31T17:00:00-04:00", "2026-11-01T09:00:00-05:00"),
        ("Europe/Berlin", "daily 02:00-02:30", "2026-10-25T02:29:00+02:00", "2026-10-25T02:00:00+01:00"),
        ("Australia/Sydney", "daily 02:00-02:30", "2027-04-04T02:29:00+11:00", "2027-04-04T02:00:00+10:00"),
        ("Australia/Lord_Howe", "daily 01:30-01:50", "2027-04-04T01:49:00+11:00", "2027-04-04T01:30:00+10:30"),
        ("America/Santiago", "daily 23:00-23:30", "2027-04-03T23:29:00-03:00", "2027-04-03T23:00:00-04:00"),
        # A zone whose law changed: since 2022 there is no summer time in Mexico City, since 2019 none in São Paulo.
        ("America/Mexico_City", "daily 09:00-17:00", "2027-06-01T08:00:00-06:00", "2027-06-01T09:00:00-06:00"),
        ("America/Sao_Paulo", "daily 09:00-17:00", "2027-01-05T08:00:00-03:00", "2027-01-05T09:00:00-03:00"),
    ],
)
def test_hours_follow_the_clock_on_the_wall_when_it_is_changed(zone: str, hours: str, after: str, due: str) -> None:
    rules = (ZonedWindow(CallingWindow.parse(hours), ZoneInfo(zone)),)
    found = next_opening(rules, datetime.fromisoformat(after), closing=2 * MINUTE)
    assert found == datetime.fromisoformat(due)


def test_a_holiday_on_the_day_of_a_change_is_as_long_as_that_day() -> None:
    """The last Sunday of March 2027 is Easter in Europe, when the clocks go forward."""
    british = someone(running(), "GB", [], ["Europe/London"])
    good_friday = datetime(2027, 3, 26, 8, tzinfo=UTC)
    assert when_due(british, good_friday) == good_friday + timedelta(days=1, hours=1)  # Saturday, 9:00 GMT
    assert when_due(british, datetime(2027, 3, 27, 21, tzinfo=UTC)) == datetime(2027, 3, 28, 8, tzinfo=UTC)  # 9:00 BST
    assert when_due(british, datetime(2027, 3, 28, 20, tzinfo=UTC)) == datetime(2027, 3, 30, 7, tzinfo=UTC)


# --- a checker that knows the rules by another transcription ---------------------------------------------------------

# Hours of Monday to Friday, Saturday, Sunday; holidays: n(othing special), c(losed), afternoon; what a sale needs.
KNOWN: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]], str, int]] = {
    "US": ([(480, 1260)], [(480, 1260)], [(480, 1260)], "n", 2),
    "US-AL": ([(480, 1200)], [(480, 1200)], [], "c", 0),
    "US-FL": ([(480, 1200)], [(480, 1200)], [(480, 1200)], "n", 2),
    "US-NE": ([(480, 1260)], [(480, 1260)], [(780, 1260)], "afternoon", 0),
    "US-PA": ([(480, 1260)], [(480, 1260)], [(480, 1260)], "c", 0),
    "US-RI": ([(540, 1080)], [(600, 1020)], [], "c", 1),
    "US-SD": ([(540, 1260)], [], [], "n", 0),
    "US-TX": ([(540, 1260)], [(540, 1260)], [(720, 1260)], "n", 0),
    "US-UT": ([(480, 1260)], [(480, 1260)], [], "c", 1),
    "US-WA": ([(480, 1200)], [(480, 1200)], [(480, 1200)], "n", 0),
    "CA": ([(540, 1290)], [(600, 1080)], [(600, 1080)], "c", 1),
    "GB": ([(480, 1260)], [(540, 1260)], [(540, 1260)], "c", 1),
    "DE": ([(540, 1200)], [], [], "c", 1),
    "FR": ([(600, 780), (840, 1200)], [], [], "c", 1),
    "ES": ([(540, 1260)], [], [], "c", 1),
    "IT": ([(540, 1200)], [(600, 1140)], [], "c", 1),
    "AU": ([(540, 1200)], [(540, 1020)], [], "c", 0),
    "IN": ([(540, 1260)], [(540, 1260)], [(540, 1260)], "n", 0),
}
BESIDES = {  # what the library does not have, in the seasons that are asked about
    "US-PA": {date(2026, 11, 3), date(2027, 3, 26)},
    "US-RI": {date(2026, 11, 3)},
    "US-AL": {date(2027, 2, 9)},
}
PLACES: dict[str, tuple[list[str], list[str]]] = {  # states and clocks of a country
    "US": (
        ["US-AL", "US-FL", "US-NE", "US-PA", "US-RI", "US-SD", "US-TX", "US-UT", "US-WA", "US-GA"],
        ["America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "Pacific/Honolulu"],
    ),
    "CA": ([], ["America/Toronto", "America/St_Johns", "America/Vancouver"]),
    "GB": ([], ["Europe/London"]),
    "DE": ([], ["Europe/Berlin"]),
    "FR": ([], ["Europe/Paris"]),
    "ES": ([], ["Europe/Madrid", "Atlantic/Canary"]),
    "IT": ([], ["Europe/Rome"]),
    "AU": ([], ["Australia/Sydney", "Australia/Lord_Howe", "Australia/Adelaide", "Australia/Perth"]),
    "IN": ([], ["Asia/Kolkata"]),
}
LEVELS = {None: 0, "express": 1, "written": 2}


@cache
def days_off(code: str) -> frozenset[date]:
    country, _, region = code.partition("-")
    kept = [region or None] + ([] if region or code in {"FR", "IT", "IN", "US"} else list_regions(country))
    years = (2026, 2027)
    categories = ("public", "catholic") if code == "DE" else ("public",)
    found = {
        day
        for each in kept
        for day in holidays.country_holidays(country, subdiv=each, years=years, categories=categories)
    }
    return frozenset(found | BESIDES.get(code, set()))


def list_regions(country: str) -> list[str | None]:
    return [*holidays.country_holidays(country).subdivisions]


@dataclass(frozen=True)
class Case:
    """Somebody, a campaign and a moment."""

    country: str
    states: tuple[str, ...]
    zones: tuple[str, ...]
    hours: tuple[tuple[int, ...], ...]  # of the campaign: start and end of each weekday, in minutes
    blackout: tuple[date, ...]
    keeps: tuple[str, ...]
    sells: bool
    declared: str | None
    own: str | None
    at: datetime

    def open_at(self, moment: datetime) -> bool:
        """Whether every hour rule is open in that minute, wherever they may be."""
        return all(self._open_on_the_wall(moment.astimezone(ZoneInfo(zone))) for zone in self.zones)

    def _open_on_the_wall(self, wall: datetime) -> bool:
        minute, day = wall.hour * 60 + wall.minute, wall.date()
        start, end = self.hours[day.weekday()]
        if not start <= minute < end or day in self.blackout or any(day in days_off(code) for code in self.keeps):
            return False
        for code in {self.country, *self.states} & KNOWN.keys():
            weekday, saturday, sunday, off, _ = KNOWN[code]
            spans = (weekday, saturday, sunday)[max(0, day.weekday() - 4)]
            if not any(first <= minute < last for first, last in spans):
                return False
            if off != "n" and day in days_off(code) and (off == "c" or minute < 780):
                return False
            if code == "IT" and day + timedelta(days=1) in days_off(code) and not 600 <= minute < 1140:
                return False
        return True

    def permitted(self) -> bool:
        """Whether they may be called at all, whatever the hour."""
        level = LEVELS[self.own if self.own is not None else self.declared]
        for code in {self.country, *self.states} & KNOWN.keys():
            needed = KNOWN[code][4] if self.sells or code != "US" else 1
            if level < needed or (self.sells and code == "US-WA"):
                return False
        return True

    def decided(self, moment: datetime) -> Allowed | Refused:
        """What the rules say."""
        return decide(self.facts(), moment)

    def facts(self) -> Facts:
        names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        week = {
            name: f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
            for name, (start, end) in zip(names, self.hours, strict=True)
        }
        declared = {"source": "form", "level": self.declared, "obtained_at": "2026-10-01T00:00:00Z"}
        campaign = running(
            windows=week,
            blackout=[day.isoformat() for day in self.blackout],
            closed_on=list(self.keeps),
            purpose="sales" if self.sells else "information",
            consent=None if self.declared is None else declared,
        )
        given_at = datetime(2026, 10, 1, tzinfo=UTC)
        own = None if self.own is None else PersonalConsent(self.own, given_at, None)  # type: ignore[arg-type]
        return someone(campaign, self.country, self.states, self.zones, own=own)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    country = draw(st.sampled_from(list(PLACES)))
    states, zones = PLACES[country]
    zone = draw(st.sampled_from(zones))
    start = st.integers(0, 22 * 60)
    anything = start.flatmap(lambda a: st.tuples(st.just(a), st.integers(a + 1, 24 * 60)))
    week = st.lists(st.sampled_from([(0, 1440), (480, 1260)]) | anything, min_size=7, max_size=7)
    hours = draw(st.just([(0, 1440)] * 7) | week)
    season = draw(st.sampled_from([date(2026, 10, 24), date(2026, 12, 20), date(2027, 3, 12)]))
    soon = st.integers(0, 19).map(lambda days: season + timedelta(days=days))
    morning = datetime(season.year, season.month, season.day, 6, tzinfo=ZoneInfo(zone)) + timedelta(
        days=draw(st.integers(0, 16)), minutes=draw(st.integers(0, 16 * 60))
    )
    return Case(
        country=country,
        states=tuple(draw(st.lists(st.sampled_from(states), max_size=2, unique=True))) if states else (),
        zones=tuple({zone, *draw(st.lists(st.sampled_from(zones), max_size=2))}),
        hours=tuple(hours),
        blackout=tuple(draw(st.lists(soon, max_size=3))),
        keeps=tuple(draw(st.lists(st.sampled_from(["US", "FR"]), max_size=1))),
        sells=draw(st.booleans()),
        declared=draw(st.sampled_from([None, "express", *["written"] * 4])),
        own=draw(st.sampled_from([*[None] * 4, "express", "written"])),
        at=morning.astimezone(UTC),
    )


@settings(deadline=None, max_examples=80)
@given(cases())
def test_a_call_is_allowed_exactly_where_the_checker_allows_it(case: Case) -> None:
    found = case.decided(case.at)
    may = case.permitted()
    assert (found == Allowed()) == (may and all(case.open_at(case.at + minute * MINUTE) for minute in range(3)))
    if not isinstance(found, Refused) or not may:
        return
    assert found.reason in {Reason.OUTSIDE_WINDOW, Reason.NO_OPENING}
    # The due time is open, and no minute before it is.
    due = found.retry_at or case.at + timedelta(days=2)
    minutes = min(int((due - case.at) / MINUTE), 2 * 24 * 60)
    wall = [case.open_at(case.at + minute * MINUTE) for minute in range(minutes + 2)]
    assert not any(all(wall[minute : minute + 3]) for minute in range(minutes - 1))
    if found.retry_at is not None:
        assert all(case.open_at(due + minute * MINUTE) for minute in range(3))
        assert case.decided(due) == Allowed()


AGAINST: dict[str, Any] = {  # what else may stand against a call
    "frozen": True,
    "account_stop": "key refused",
    "campaign_state": CampaignState.PAUSED,
    "suppressed": True,
    "attempts": 9,
    "person_in_call": True,
    "rule_refusal": "unlisted country",
    "zones_known": False,
}


@settings(deadline=None, max_examples=60)
@given(cases(), st.sets(st.sampled_from(sorted(AGAINST)), max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_the_checks_does_not_matter(case: Case, against: set[str], chance: random.Random) -> None:
    facts = replace(case.facts(), **{name: AGAINST[name] for name in against})
    found = decide(facts, case.at)
    shuffled = list(eligibility._CHECKS)
    chance.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eligibility, "_CHECKS", tuple(shuffled))
        assert decide(facts, case.at) == found


def test_the_checker_is_not_satisfied_by_everything() -> None:
    """Of the people that are asked about some are allowed, some wait and some are held."""
    told: set[Any] = set()

    @settings(deadline=None, max_examples=50, derandomize=True, database=None)
    @given(cases())
    def look(case: Case) -> None:
        found = case.decided(case.at)
        told.add(found.becomes if isinstance(found, Refused) else None)

    look()
    assert {None, ProspectState.WAITING, ProspectState.HELD} <= told
