"""Which dates are holidays, and what they, blackouts and the campaign's own calendars leave of the hours."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from campaigns.rules.calling_rules import SHIPPED
from campaigns.rules.calling_rules.calendars import holidays_of, is_calendar
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.place import RULES_ALONE, place, terms_of
from campaigns.rules.windows import next_opening
from tests.factories import CAMPAIGN

CLOSING = timedelta(minutes=2)
ALONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("calendar", "day", "name"),
    [
        # What the library has not, or has only in part.
        ("US-PA", "2026-04-03", "Good Friday"),
        ("US-PA", "2026-06-14", "Flag Day"),
        ("US-PA", "2026-11-03", "Election Day"),
        ("US-PA", "2027-11-02", "Election Day"),
        ("US-PA", "2028-11-07", "Election Day"),
        ("US-RI", "2026-11-03", "Election Day"),
        ("US-RI", "2027-11-02", None),
        ("US-RI", "2026-08-10", "Victory Day"),
        ("US-AL", "2027-12-24", "Christmas Day (observed)"),  # a Saturday moves to Friday
        ("US-AL", "2027-07-05", "Independence Day (observed)"),  # a Sunday moves to Monday
        ("US-AL", "2027-12-31", "New Year's Day (observed)"),  # into the year before
        ("US-AL", "2026-02-17", "Mardi Gras"),
        ("US-LA", "2026-01-08", "Battle of New Orleans"),
        ("US-LA", "2026-04-03", "Good Friday"),
        ("US-UT", "2026-07-24", "Pioneer Day"),
        ("US", "2026-11-26", "Thanksgiving Day"),
        ("US", "2026-11-27", None),
    ],
)
def test_a_state_keeps_the_holidays_of_its_law(calendar: str, day: str, name: str | None) -> None:
    when = date.fromisoformat(day)
    assert holidays_of(calendar, ALONE, when.year).get(when) == name


def test_of_regional_holidays_all_count_where_nobody_knows_the_region() -> None:
    melbourne_cup = date(2026, 11, 3)
    assert melbourne_cup not in holidays_of("AU", ALONE, 2026)
    assert melbourne_cup in holidays_of("AU", None, 2026)
    assert melbourne_cup in holidays_of("AU", frozenset({"AU-VIC"}), 2026)
    assert melbourne_cup not in holidays_of("AU", frozenset({"AU-NSW"}), 2026)
    summer_bank_holiday = date(2026, 8, 31)  # of England; the country alone has none
    assert summer_bank_holiday in holidays_of("GB", None, 2026)
    assert date(2026, 8, 15) in holidays_of("DE", None, 2026)  # Assumption, in Bavaria where most are Catholic


def test_a_calendar_is_known_by_its_code() -> None:
    assert all(map(is_calendar, ("US", "US-PA", "DE-BY", "NL")))
    assert not any(map(is_calendar, ("XX", "US-ZZ", "us", "Christmas")))


@pytest.mark.parametrize(
    ("country", "states", "zone", "after", "opens"),
    [
        # Banned: none that day. Thanksgiving in Pennsylvania, and in New York, which has no rule.
        ("US", ["US-PA"], "America/New_York", "2026-11-26T07:00", "2026-11-28T08:00"),
        ("US", ["US-NY"], "America/New_York", "2026-11-26T07:00", "2026-11-26T08:00"),
        # Restricted, with hours that remain, and without any.
        ("US", ["US-NE"], "America/Chicago", "2026-11-26T07:00", "2026-11-26T13:00"),
        ("CA", ["CA-ON"], "America/Toronto", "2026-07-01T07:00", "2026-07-02T09:00"),
        # Discouraged is no call, too; and Boxing Day is on a Saturday, kept on Monday.
        ("GB", [], "Europe/London", "2026-12-25T07:00", "2026-12-27T09:00"),
        ("GB", [], "Europe/London", "2026-12-27T21:00", "2026-12-29T08:00"),
        # The day before: in Italy fewer hours, and on the holiday none.
        ("IT", [], "Europe/Rome", "2026-12-24T07:00", "2026-12-24T10:00"),
        ("IT", [], "Europe/Rome", "2026-12-24T18:58", "2026-12-28T09:00"),
        # Of a region: Epiphany in Bavaria; whoever lives elsewhere is called a day later.
        ("DE", [], "Europe/Berlin", "2027-01-06T08:00", "2027-01-07T09:00"),
        ("AU", ["AU-NSW"], "Australia/Sydney", "2026-11-03T08:00", "2026-11-03T09:00"),
        ("AU", ["AU-VIC"], "Australia/Melbourne", "2026-11-03T08:00", "2026-11-04T09:00"),
        # Both states' holidays bind who may be in either.
        ("US", ["US-UT", "US-PA"], "America/Denver", "2026-07-24T08:00", "2026-07-25T08:00"),
        ("US", ["US-UT", "US-PA"], "America/Denver", "2026-06-12T21:00", "2026-06-13T08:00"),
    ],
)
def test_a_holiday_takes_what_the_rule_says(country: str, states: list[str], zone: str, after: str, opens: str) -> None:
    rules = place(RULES_ALONE, SHIPPED, country, tuple(states), (zone,)).windows
    at, opening = (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in (after, opens))
    assert next_opening(rules, at, closing=CLOSING) == opening


def opening(changes: dict[str, Any], after: datetime, *zones: str, country: str | None = "US") -> datetime | None:
    terms = terms_of(CampaignDefinition.model_validate(CAMPAIGN | changes))
    return next_opening(place(terms, SHIPPED, country, (), zones).windows, after, closing=CLOSING)


def test_a_blackout_is_a_date_on_the_persons_own_calendar() -> None:
    changes = {"windows": "daily 08:00-21:00", "blackout": ["2026-12-24", "2026-12-31..2027-01-02"]}
    eve = datetime(2026, 12, 24, 20, tzinfo=UTC)  # already the 25th in Auckland, 15:00 of the 24th in New York
    new_york, hawaii = "America/New_York", "Pacific/Honolulu"
    assert opening(changes, eve, new_york) == datetime(2026, 12, 25, 13, tzinfo=UTC)
    assert opening(changes, eve, "Pacific/Guam") == datetime(2026, 12, 24, 22, tzinfo=UTC)
    # In either zone where they may be: at 8 on the 25th in New York it is still the 24th in Honolulu.
    assert opening(changes, eve, new_york, hawaii) == datetime(2026, 12, 25, 18, tzinfo=UTC)
    at = datetime(2026, 12, 31, 12, tzinfo=UTC)
    assert opening(changes, at, new_york) == datetime(2027, 1, 3, 13, tzinfo=UTC)


def test_a_blackout_over_midnight_leaves_what_belongs_to_other_dates() -> None:
    night = {"windows": "daily 20:00-09:00", "blackout": ["2026-12-24"]}
    at = datetime(2026, 12, 23, 20, 59, tzinfo=ZoneInfo("America/New_York"))
    assert opening(night, at, "America/New_York") == datetime(2026, 12, 25, 8, tzinfo=ZoneInfo("America/New_York"))


def test_a_campaign_may_keep_more_holidays_than_the_rules_ask_for() -> None:
    thanksgiving = datetime(2026, 11, 26, 15, tzinfo=UTC)
    zone = ZoneInfo("America/New_York")
    assert opening({}, thanksgiving, "America/New_York") == thanksgiving
    assert opening({"closed_on": ["US"]}, thanksgiving, "America/New_York") == datetime(2026, 11, 27, 9, tzinfo=zone)
    assert opening({"closed_on": ["US-PA"]}, thanksgiving, "America/New_York") == datetime(2026, 11, 28, 9, tzinfo=zone)
    english = datetime(2026, 8, 31, 15, tzinfo=UTC)
    assert opening({"closed_on": ["GB"]}, english, "America/New_York") == datetime(2026, 9, 1, 9, tzinfo=zone)


def test_a_blackout_of_months_holds_nobody() -> None:
    changes = {"blackout": ["2026-12-01..2027-03-31"]}
    found = opening(changes, datetime(2026, 12, 1, 12, tzinfo=UTC), "America/New_York")
    assert found == datetime(2027, 4, 1, 13, tzinfo=UTC)


def test_a_weekly_hour_that_falls_on_holidays_for_weeks_is_found() -> None:
    """Christmas and New Year's Day are on Fridays: the next one that is open comes after three weeks."""
    changes = {"windows": "Fri 09:00-17:00", "closed_on": ["US"]}
    after = datetime(2026, 12, 18, 23, tzinfo=UTC)
    assert opening(changes, after, "America/New_York") == datetime(2027, 1, 8, 14, tzinfo=UTC)


def test_who_is_nowhere_known_is_where_the_campaign_says() -> None:
    at = datetime(2026, 12, 3, 3, tzinfo=UTC)
    assert opening({}, at, country=None) is None
    fallback = {"fallback": {"zones": ["America/New_York", "Pacific/Honolulu"], "country": "US"}}
    assert opening(fallback, at, country=None) == datetime(2026, 12, 3, 19, tzinfo=UTC)  # 9:00 in Honolulu
    assert opening(fallback, at, "America/New_York", country=None) == datetime(2026, 12, 3, 14, tzinfo=UTC)
    unlisted = terms_of(CampaignDefinition.model_validate(CAMPAIGN | {"fallback": {"country": "NL"}}))
    assert place(unlisted, SHIPPED, None, (), ("Europe/Paris",)).applicable.refusal is not None


def test_the_library_of_holidays_is_loaded_when_a_rule_asks_and_not_before() -> None:
    program = (
        "import sys, campaigns.cli.outbound, campaigns.lists.reading; "
        "from campaigns.rules.calling_rules import SHIPPED; "
        "from campaigns.rules.place import RULES_ALONE, place; "
        "place(RULES_ALONE, SHIPPED, 'US', ('US-PA',), ('America/New_York',)); "
        "sys.exit('holidays' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
