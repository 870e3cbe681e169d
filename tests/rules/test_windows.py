"""Calling hours: reading them, and finding the moments at which they are open."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import InvalidDefinition, InvalidInput
from campaigns.rules.windows import (
    DAYS,
    CallingWindow,
    Interval,
    ZonedWindow,
    horizon,
    is_open,
    next_opening,
    zone_named,
)

TWO_MINUTES = timedelta(minutes=2)
NONE = timedelta(0)
MINUTE = timedelta(minutes=1)


def rule(hours: str, zone: str) -> ZonedWindow:
    return ZonedWindow(CallingWindow.parse(hours), ZoneInfo(zone))


def local(text: str, zone: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_hours_are_read_by_day_with_ranges_lists_and_breaks() -> None:
    window = CallingWindow.parse("Mon-Wed, fri 9:00-12:00, 13:00-20:00; Saturday 10:00-16:00; Sun closed")
    weekday = (Interval(540, 720), Interval(780, 1200))
    assert window.days == (weekday, weekday, weekday, (), weekday, (Interval(600, 960),), ())


def test_hours_may_be_given_by_day() -> None:
    by_day: dict[str, str | list[str]] = {"Mon-Fri": ["09:00-12:00", "13:00-20:00"], "sat": "10:00-16:00", "Sun": []}
    assert CallingWindow.parse(by_day) == CallingWindow.parse("Mon-Fri 09:00-12:00, 13:00-20:00; Sat 10:00-16:00")


def test_hours_past_midnight_belong_to_two_days() -> None:
    window = CallingWindow.parse("Sun 22:00-02:00")
    assert window.days == ((Interval(0, 120),), (), (), (), (), (), (Interval(1320, 1440),))


def test_hours_that_touch_or_overlap_are_one() -> None:
    assert CallingWindow.parse("Mon 12:00-14:00, 09:00-12:00, 13:00-15:00").days[0] == (Interval(540, 900),)


def test_a_range_of_days_may_pass_sunday() -> None:
    assert CallingWindow.parse("Sat-Mon 09:00-10:00") == CallingWindow.parse("Mon, Sat, Sun 09:00-10:00")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "cannot be read"),
        ("whenever", "cannot be read"),
        ("09:00-20:00", "write days and hours"),
        ("Mon-Fri 9-17", "use 24-hour times"),
        ("Mon-Fri 09:00-17:00pm", "use 24-hour times"),
        ("Mon 09:00-25:00", "00:00 to 24:00"),
        ("Mon 09:60-10:00", "00:00 to 24:00"),
        ("Mon 09:00-09:00", "the whole day is 00:00-24:00"),
        ("Mon-Tues 09:00-10:00", "'Tues' is not a day: use Mon, Tue"),
        ("Mon-Wed-Fri 09:00-10:00", "is not a day"),
    ],
)
def test_hours_that_cannot_be_read_say_what_is_allowed(text: str, complaint: str) -> None:
    with pytest.raises(InvalidDefinition, match=complaint):
        CallingWindow.parse(text)


def test_a_window_needs_seven_days_of_real_minutes() -> None:
    with pytest.raises(InvalidDefinition, match="7 days"):
        CallingWindow(((Interval(0, 60),),))
    with pytest.raises(InvalidDefinition, match="0 to 1440"):
        CallingWindow(((Interval(0, 1441),), (), (), (), (), (), ()))


def test_an_unknown_zone_is_named_in_the_complaint() -> None:
    for name in ("America/Gotham", "America", "", "../etc"):
        with pytest.raises(InvalidInput, match="IANA name"):
            zone_named(name)


minutes = st.integers(0, 1440)
intervals = st.builds(Interval, minutes, minutes).filter(lambda interval: interval.start != interval.end)
windows = st.lists(st.lists(intervals, max_size=3).map(tuple), min_size=7, max_size=7).map(
    lambda days: CallingWindow(tuple(days))
)


@given(windows)
def test_a_described_window_is_read_back_the_same(window: CallingWindow) -> None:
    again = CallingWindow.parse(window.describe())
    assert again == window
    assert hash(again) == hash(window)
    assert pickle.loads(pickle.dumps(window)) == window  # noqa: S301 - our own bytes


@given(windows)
def test_every_window_is_in_order_and_never_touches_itself_within_a_day(window: CallingWindow) -> None:
    for day in window.days:
        assert all(0 <= start < end <= 1440 for start, end in day)
        assert all(before.end < after.start for before, after in pairwise(day))


# --- cases -----------------------------------------------------------------------------------------------------------

NIGHT = "daily 01:30-02:30"
CASES = [
    # what, hours, zone, after, next opening
    ("inside is now", "Mon-Fri 09:00-20:00", "America/Chicago", "2026-11-23 10:00", "2026-11-23 10:00"),
    ("before waits", "Mon-Fri 09:00-20:00", "America/Chicago", "2026-11-23 08:59:59", "2026-11-23 09:00"),
    ("last permitted second", "Mon-Fri 09:00-20:00", "America/Chicago", "2026-11-23 19:57:59", "2026-11-23 19:57:59"),
    ("last two minutes are closed", "Mon-Fri 09:00-20:00", "America/Chicago", "2026-11-23 19:58", "2026-11-24 09:00"),
    ("the weekend is skipped", "Mon-Fri 09:00-20:00", "America/Chicago", "2026-11-27 20:00", "2026-11-30 09:00"),
    ("a break closes", "Mon 10:00-13:00, 14:00-20:00", "Europe/Paris", "2026-11-23 12:58", "2026-11-23 14:00"),
    ("midnight does not close", "Mon 22:00-02:00", "Asia/Tokyo", "2026-11-23 23:59:30", "2026-11-23 23:59:30"),
    ("the end of the day closes", "Mon 20:00-24:00; Tue 09:00-10:00", "UTC", "2026-11-23 23:59", "2026-11-24 09:00"),
    ("shorter than the margin", "Mon 09:00-09:02; Tue 09:00-10:00", "UTC", "2026-11-22 20:00", "2026-11-24 09:00"),
    # the hour from 02:00 to 03:00 does not exist (spring) or 01:00 to 02:00 comes twice (autumn)
    ("US gap: cut short", NIGHT, "America/New_York", "2026-03-08 00:00", "2026-03-08 01:30"),
    ("US gap: first minute", "Sun 02:15-04:00", "America/New_York", "2026-03-08 00:00", "2026-03-08 03:00"),
    ("US gap: wholly skipped", "Sun 02:00-03:00", "America/New_York", "2026-03-08 00:00", "2026-03-15 02:00"),
    ("EU gap: first minute", "Sun 02:15-04:00", "Europe/Berlin", "2026-03-29 00:00", "2026-03-29 03:00"),
    ("AU gap: first minute", "Sun 02:15-04:00", "Australia/Sydney", "2026-10-04 00:00", "2026-10-04 03:00"),
    ("CL gap at midnight", "Sun 00:00-04:00", "America/Santiago", "2026-09-05 12:00", "2026-09-06 01:00"),
    ("half-hour gap", "Sun 02:00-04:00", "Australia/Lord_Howe", "2026-10-04 00:00", "2026-10-04 02:30"),
    ("quarter-hour zone", "daily 09:00-20:00", "Asia/Kathmandu", "2026-11-23 20:00", "2026-11-24 09:00"),
    ("half-hour zone", "daily 09:00-20:00", "Asia/Kolkata", "2026-11-23 00:00", "2026-11-23 09:00"),
    ("east of the date line", "Mon 09:00-20:00", "Pacific/Kiritimati", "2026-11-22 12:00", "2026-11-23 09:00"),
    ("west of the date line", "Mon 09:00-20:00", "Pacific/Pago_Pago", "2026-11-22 12:00", "2026-11-23 09:00"),
    ("a day that never was", "Fri 09:00-20:00", "Pacific/Apia", "2011-12-29 12:00", "2012-01-06 09:00"),
    ("summer time given up", "daily 09:00-20:00", "America/Mexico_City", "2023-07-03 02:00", "2023-07-03 09:00"),
]  # fmt: skip


@pytest.mark.parametrize(("hours", "zone", "after", "opening"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_next_opening_follows_the_clock_on_the_wall(hours: str, zone: str, after: str, opening: str) -> None:
    found = next_opening([rule(hours, zone)], local(after, zone), closing=TWO_MINUTES)
    assert found == local(opening, zone).astimezone(UTC)
    assert found is not None
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [
        ("America/New_York", "2026-11-01", 1),
        ("Europe/Berlin", "2026-10-25", 2),
        ("Australia/Sydney", "2026-04-05", 2),
        ("America/Santiago", "2026-04-04", 23),
    ],
)
def test_an_hour_that_comes_twice_is_judged_by_the_clock_both_times(zone: str, day: str, hour: int) -> None:
    rules = [rule(f"daily {hour:02}:30-{hour:02}:45", zone)]
    for fold in (0, 1):
        assert not is_open(rules, local(f"{day} {hour:02}:29", zone, fold), closing=NONE)
        assert is_open(rules, local(f"{day} {hour:02}:30", zone, fold), closing=NONE)
        assert not is_open(rules, local(f"{day} {hour:02}:45", zone, fold), closing=NONE)
    between = local(f"{day} {hour:02}:45", zone)
    assert next_opening(rules, between, closing=NONE) == local(f"{day} {hour:02}:30", zone, 1).astimezone(UTC)


def test_hours_that_go_on_over_a_change_of_the_clocks_do_not_close() -> None:
    spring = [rule("Sun 01:00-02:00, 03:00-04:00", "America/New_York")]
    assert is_open(spring, local("2026-03-08 01:59", "America/New_York"), closing=TWO_MINUTES)
    assert not is_open(spring, local("2026-03-15 01:59", "America/New_York"), closing=TWO_MINUTES)


def test_all_rules_must_be_open_at_once() -> None:
    rules = [
        rule("Mon-Fri 09:00-20:00", "America/New_York"),
        rule("Mon-Fri 09:00-20:00", "America/Los_Angeles"),
        rule("Mon-Fri 10:00-13:00, 14:00-16:00", "Europe/London"),
    ]
    # In winter nine o'clock in California is five in London: the three never meet.
    assert next_opening(rules, local("2026-11-23 00:00", "UTC"), closing=TWO_MINUTES) is None
    meeting = next_opening(rules[:2], local("2026-11-23 00:00", "UTC"), closing=TWO_MINUTES)
    assert meeting == datetime(2026, 11, 23, 17, tzinfo=UTC)
    assert not is_open(rules[:2], local("2026-11-23 19:59", "America/New_York"), closing=TWO_MINUTES)


def test_until_ends_the_search_before_itself() -> None:
    rules = [rule("daily 09:00-10:00", "UTC")]
    opening, night = datetime(2026, 11, 23, 9, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    assert next_opening(rules, night, closing=NONE, until=opening) is None
    assert next_opening(rules, night, closing=NONE, until=opening + MINUTE) == opening
    assert next_opening(rules, opening, closing=NONE, until=opening) is None


def test_a_weekly_slot_that_is_skipped_once_is_found_within_the_horizon() -> None:
    zone = "America/New_York"
    rules = [rule("Sun 02:00-03:00", zone)]
    after = local("2026-03-01 02:59", zone)  # its last minutes; the slot of the eighth does not exist
    assert next_opening(rules, after, closing=TWO_MINUTES) == local("2026-03-15 02:00", zone).astimezone(UTC)


def test_nobody_may_be_called_without_a_rule_or_without_hours() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert not is_open([], now, closing=NONE)
    assert next_opening([], now, closing=NONE) is None
    never = [rule("daily closed", "UTC")]
    assert not is_open(never, now, closing=NONE)
    assert next_opening(never, now, closing=NONE) is None


def test_hours_without_a_break_never_close() -> None:
    always = [rule("daily 00:00-24:00", "Australia/Lord_Howe")]
    assert is_open(always, datetime(2026, 11, 23, 12, tzinfo=UTC), closing=timedelta(days=9))


def test_a_time_without_a_zone_or_a_negative_margin_is_a_mistake() -> None:
    rules = [rule("daily 09:00-10:00", "UTC")]
    naive = datetime(2026, 11, 23, 9)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(ValueError, match="always aware"):
        is_open(rules, naive, closing=NONE)
    with pytest.raises(ValueError, match="always aware"):
        next_opening(rules, datetime(2026, 11, 23, 9, tzinfo=UTC), closing=NONE, until=naive)
    with pytest.raises(ValueError, match="negative"):
        is_open(rules, naive.replace(tzinfo=UTC), closing=timedelta(minutes=-1))


# --- special days ----------------------------------------------------------------------------------------------------


def on(day: str, hours: tuple[Interval, ...] = ()) -> Table:
    return Table({date.fromisoformat(day): hours})


@pytest.mark.parametrize(
    ("hours", "closed", "after", "opening"),
    [
        # What began on the eve of a holiday ends at midnight, and what follows one begins at midnight.
        ("daily 22:00-02:00", "2026-12-25", "2026-12-24T23:57", "2026-12-24T23:57"),
        ("daily 22:00-02:00", "2026-12-25", "2026-12-24T23:59", "2026-12-26T00:00"),
        ("daily 22:00-02:00", "2026-12-25", "2026-12-25T00:30", "2026-12-26T00:00"),
        ("daily 00:00-24:00", "2026-12-25", "2026-12-24T23:58", "2026-12-26T00:00"),
        ("Fri 09:00-17:00", "2026-12-25", "2026-12-21T12:00", "2027-01-01T09:00"),
    ],
)
def test_a_closed_date_takes_from_midnight_to_midnight(hours: str, closed: str, after: str, opening: str) -> None:
    for zone in ("America/New_York", "Europe/Madrid", "Australia/Lord_Howe"):
        rules = [ZonedWindow(CallingWindow.parse(hours), ZoneInfo(zone), on(closed))]
        assert next_opening(rules, local(after, zone), closing=TWO_MINUTES) == local(opening, zone)


def test_what_remains_of_a_special_day_opens_no_hours_of_its_own() -> None:
    rules = [
        ZonedWindow(CallingWindow.parse("Fri 09:00-14:00"), ZoneInfo("UTC"), on("2026-12-25", (Interval(780, 1260),)))
    ]
    at = datetime(2026, 12, 25, tzinfo=UTC)
    assert next_opening(rules, at, closing=NONE) == at.replace(hour=13)
    assert next_opening(rules, at.replace(hour=14), closing=NONE) == datetime(2027, 1, 1, 9, tzinfo=UTC)


def test_a_date_that_a_zone_skipped_or_shortened_closes_nothing_else() -> None:
    apia, hours = ZoneInfo("Pacific/Apia"), CallingWindow.parse("daily 09:00-17:00")
    after = datetime(2011, 12, 29, 18, tzinfo=apia)  # the next morning was the 31st
    assert next_opening([ZonedWindow(hours, apia, on("2011-12-30"))], after, closing=NONE) == datetime(
        2011, 12, 31, 9, tzinfo=apia
    )


def test_closed_dates_lengthen_the_search_and_do_not_end_it() -> None:
    month = Table({date(2026, 12, 1) + timedelta(days=day): () for day in range(90)})
    rules = [ZonedWindow(CallingWindow.parse("daily 09:00-17:00"), ZoneInfo("UTC"), month)]
    opening = next_opening(rules, datetime(2026, 12, 1, tzinfo=UTC), closing=NONE)
    assert opening == datetime(2027, 3, 1, 9, tzinfo=UTC)


# --- against a checker that knows nothing but the clock on the wall -------------------------------------------------


@dataclass(frozen=True, eq=False)
class Table:
    """Special days as a test writes them."""

    hours: Mapping[date, tuple[Interval, ...]]

    @property
    def dates(self) -> int:
        return len(self.hours)

    def remaining(self, day: date) -> tuple[Interval, ...] | None:
        return self.hours.get(day)


def on_the_wall(rules: list[ZonedWindow], at: datetime) -> bool:
    for window, zone, days in rules:
        wall = at.astimezone(zone)
        minute = wall.hour * 60 + wall.minute
        left = days.hours.get(wall.date()) if isinstance(days, Table) else None
        if left is not None and not any(start <= minute < end for start, end in left):
            return False
        if not any(start <= minute < end for start, end in window.days[wall.weekday()]):
            return False
    return True


ZONES = [
    "America/New_York", "America/St_Johns", "America/Phoenix", "America/Santiago", "America/Sao_Paulo", "Europe/Berlin",
    "Europe/Lisbon", "Africa/Casablanca", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Australia/Eucla",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC",
]  # fmt: skip
NEAR_CHANGES = [
    datetime(*day, tzinfo=UTC)
    for day in [
        (2026, 3, 7), (2026, 11, 1), (2026, 3, 28), (2026, 10, 24), (2026, 4, 4), (2026, 10, 3), (2026, 9, 5),
        (2026, 9, 26), (2011, 12, 29), (2022, 3, 21), (2022, 9, 21), (2026, 2, 14), (2018, 2, 17),
    ]
]  # fmt: skip
instants = st.one_of(
    st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
    st.builds(lambda day, offset: day + timedelta(minutes=offset), st.sampled_from(NEAR_CHANGES), st.integers(0, 3000)),
).map(lambda at: at.replace(second=0, microsecond=0))
left = st.sampled_from([(), (Interval(0, 90),), (Interval(600, 720), Interval(780, 1140))])
near = st.builds(
    lambda day, after: (day + timedelta(days=after)).date(), st.sampled_from(NEAR_CHANGES), st.integers(-1, 3)
)
specials = st.none() | st.builds(Table, st.dictionaries(near, left, max_size=12))
zoned = st.tuples(windows, st.sampled_from(ZONES).map(ZoneInfo), specials).map(lambda parts: ZonedWindow(*parts))
rule_sets = st.lists(zoned, min_size=1, max_size=3)


@settings(deadline=None, max_examples=150)
@given(rule_sets, instants, st.integers(0, 4))
def test_open_and_next_opening_agree_with_looking_at_every_minute(
    rules: list[ZonedWindow], after: datetime, margin: int
) -> None:
    closing, span = margin * MINUTE, 26 * 60
    wall = [on_the_wall(rules, after + minute * MINUTE) for minute in range(span + margin + 1)]
    opens = [all(wall[minute : minute + margin + 1]) for minute in range(span)]
    for minute in range(0, span, 97):
        assert is_open(rules, after + minute * MINUTE, closing=closing) == opens[minute]
    expected = after + opens.index(True) * MINUTE if True in opens else None
    assert next_opening(rules, after, closing=closing, until=after + span * MINUTE) == expected


@settings(deadline=None, max_examples=100)
@given(rule_sets, instants, st.integers(0, 59_999_999), st.integers(0, 300))
def test_the_next_opening_is_open_and_nothing_before_it_is(
    rules: list[ZonedWindow], after: datetime, microseconds: int, margin: int
) -> None:
    after, closing = after + timedelta(microseconds=microseconds), timedelta(seconds=margin)
    opening = next_opening(rules, after, closing=closing)
    if opening is None:
        opening = after + horizon(rules)
    else:
        assert after <= opening < after + horizon(rules)
        assert is_open(rules, opening, closing=closing)
    if opening > after:
        for back in (timedelta(microseconds=1), MINUTE, timedelta(hours=1), timedelta(hours=30), opening - after):
            earlier = max(opening - back, after)
            assert not is_open(rules, earlier, closing=closing)
            assert next_opening(rules, earlier, closing=closing, until=opening) is None


def test_the_days_of_a_window_begin_on_monday() -> None:
    monday = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for offset, day in enumerate(DAYS):
        assert is_open([rule(f"{day} 12:00-13:00", "UTC")], monday + timedelta(days=offset), closing=TWO_MINUTES)
