"""Why a call is due when it is: whose hours, in which zone, and what was asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules.calling_rules import SHIPPED
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.eligibility import Facts, when_due
from campaigns.rules.explaining import Explanation, explain, shown
from campaigns.rules.place import Terms, place, terms_of
from campaigns.rules.windows import CallingWindow, ZonedWindow
from tests import factories
from tests.rules.test_eligibility import NOON, facts

NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
CAMPAIGN = CallingWindow.parse("Mon-Sun 09:00-20:00")
LUNCH = CallingWindow.parse("Mon-Sun 09:00-12:00, 13:00-20:00")


def why(now: datetime, **changes: Any) -> Explanation:
    zones = tuple(sorted({rule.zone.key for rule in changes.get("windows", facts().windows)}))
    names = place(Terms(CAMPAIGN), SHIPPED, "US", ("US-FL",), zones).says
    return explain(facts(**changes), now, names=names, wish="again after busy")


def test_nothing_is_said_where_nothing_stands_in_the_way() -> None:
    found = why(NOON)
    assert (found.due_at, found.because, found.held_up, found.text) == (NOON, (), (), "")


def test_closed_hours_are_told_with_whose_they_are_and_what_the_time_is_there() -> None:
    early = NOON - timedelta(hours=4, minutes=20)  # 07:40 in New York, 06:40 in Chicago
    florida = CallingWindow.parse("Mon-Sun 08:00-20:00")
    windows = tuple(ZonedWindow(window, zone) for window in (CAMPAIGN, florida) for zone in (NEW_YORK, CHICAGO))
    found = why(early, windows=windows)
    assert found.due_at == datetime(2027, 3, 2, 15, tzinfo=UTC)  # 09:00 in Chicago
    assert found.because == (
        "the campaign: calls only Mon-Sun 09:00-20:00, and it is Tue 06:40 in America/Chicago now",
    )
    alone = why(early, windows=(ZonedWindow(florida, CHICAGO),))
    (line,) = alone.because
    assert "Florida" in line
    assert "calls only Mon-Sun 08:00-20:00, and it is Tue 06:40 in America/Chicago now" in line


def test_a_wish_is_told_and_what_the_hours_made_of_it() -> None:
    evening = NOON + timedelta(hours=10)  # 22:00
    found = why(NOON, not_before=evening)
    assert found.due_at == NOON + timedelta(hours=21)
    assert found.because == (
        "the campaign: calls only Mon-Sun 09:00-20:00, and it is Tue 22:00 in America/New_York then",
        "again after busy: not before 2027-03-02 22:00 America/New_York (03-03 03:00 UTC)",
    )
    afternoon = why(NOON, not_before=NOON + timedelta(hours=2))
    assert afternoon.because == ("again after busy: not before 2027-03-02 14:00 America/New_York (19:00 UTC)",)
    start = why(NOON, starts_at=NOON + timedelta(hours=3))
    assert start.because == ("the campaign starts at 2027-03-02 15:00 America/New_York (20:00 UTC)",)


@pytest.mark.parametrize(
    ("minutes", "says"),
    [
        (-1, "it is 11:59 in America/New_York now: none begins in the last two minutes"),
        (30, "it is Tue 12:30 in America/New_York now"),
    ],
)
def test_the_end_of_a_window_and_a_break_in_it_are_told(minutes: int, says: str) -> None:
    found = why(NOON + timedelta(minutes=minutes), windows=(ZonedWindow(LUNCH, NEW_YORK),))
    assert found.due_at == NOON + timedelta(hours=1)
    assert found.because == (f"the calling rules: calls only Mon-Sun 09:00-12:00, 13:00-20:00, and {says}",)


def test_what_holds_everybody_up_is_told_beside_the_hour() -> None:
    found = why(NOON, frozen=True, account_stop="key refused", campaign_state=CampaignState.PAUSED, person_in_call=True)
    assert found.due_at == NOON
    assert found.held_up == (
        "all dialling is frozen",
        "the account is stopped: key refused",
        "the campaign is paused",
        "another call to this person is open",
    )


def test_who_is_never_called_as_things_are_is_told_why() -> None:
    found = why(NOON, consent=None)
    assert (found.due_at, found.because) == (None, ("written consent is needed in US, none is recorded",))


def test_holidays_and_closed_dates_on_the_way_are_named_with_whose_they_are() -> None:
    definition = CampaignDefinition.model_validate(
        factories.CAMPAIGN | {"windows": "Mon-Fri 09:00-20:00", "blackout": ["2027-12-28"]}
    )
    where = place(terms_of(definition), SHIPPED, "US", ("US-AL",), ("America/Chicago",))
    thursday = datetime(2027, 12, 24, 3, tzinfo=UTC)  # 21:00 on the 23rd, before Alabama's Christmas
    found = explain(facts(windows=where.windows), thursday, names=where.says)
    assert found.due_at == datetime(2027, 12, 27, 15, tzinfo=UTC)
    assert any(line.startswith("Alabama: ") and "Fri 2027-12-24 is Christmas" in line for line in found.because)
    monday = datetime(2027, 12, 28, 3, tzinfo=UTC)
    found = explain(facts(windows=where.windows), monday, names=where.says)
    assert found.due_at == datetime(2027, 12, 29, 15, tzinfo=UTC)
    assert "Tue 2027-12-28 is a closed date in America/Chicago" in found.because[0]


def test_a_moment_is_shown_by_both_clocks() -> None:
    assert shown(NOON, NEW_YORK) == "2027-03-02 12:00 America/New_York (17:00 UTC)"
    assert shown(NOON, None) == "2027-03-02 17:00 UTC"
    assert shown(NOON, ZoneInfo("Asia/Tokyo")) == "2027-03-03 02:00 Asia/Tokyo (03-02 17:00 UTC)"


ZONES = st.sampled_from(["America/New_York", "America/Los_Angeles", "Europe/Berlin", "Australia/Sydney"])
HOURS = st.sampled_from(
    ["Mon-Sun 09:00-20:00", "Mon-Fri 08:00-12:00, 13:00-18:00", "Sat 10:00-16:00", "daily 20:00-02:00"]
)
SOON = st.none() | st.timedeltas(timedelta(hours=-9), timedelta(days=3))


@st.composite
def somebody(draw: st.DrawFn) -> Facts:
    rules = draw(st.lists(st.tuples(HOURS, ZONES), min_size=1, max_size=3))
    later = {name: draw(SOON) for name in ("not_before", "starts_at")}
    moments = {name: None if wait is None else NOON + wait for name, wait in later.items()}
    windows = tuple(ZonedWindow(CallingWindow.parse(hours), ZoneInfo(zone)) for hours, zone in rules)
    return facts(windows=windows, **moments)


@settings(max_examples=200, deadline=None)
@given(somebody())
def test_who_must_wait_is_always_told_why_and_until_when_the_rules_say(someone: Facts) -> None:
    found = explain(someone, NOON, names={})
    due_at = when_due(someone, NOON)
    if isinstance(due_at, datetime):
        assert found.due_at == due_at
        assert bool(found.because) == (due_at > NOON)
    else:
        assert (found.due_at, found.because) == (None, (due_at.detail,))
