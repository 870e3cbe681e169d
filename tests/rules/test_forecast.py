"""Playing a campaign through: what can be worked out by hand comes out, and no rule is broken on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.rules import forecast
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.caps import Cap
from campaigns.rules.definition import RetryPlan
from campaigns.rules.definition.forecast import Expected
from campaigns.rules.eligibility import Facts, when_due
from campaigns.rules.forecast import SPREAD, Course, Crowd, Means, play, spent_until, varied
from campaigns.rules.windows import CallingWindow, ZonedWindow

NOW = datetime(2027, 3, 2, 15, tzinfo=UTC)  # a Tuesday: 10:00 in New York, 07:00 in Los Angeles
NEW_YORK, LOS_ANGELES, PARIS = "America/New_York", "America/Los_Angeles", "Europe/Paris"
ONE_LINE = Means(lines=1, calls_per_second=10.0, turnaround=timedelta(seconds=5))
NOBODY_ANSWERS = Expected(answered=0, no_answer=1, voicemail=0, busy=0, failed=0)
ONCE = RetryPlan(max_attempts=1)


def facts(*zones: str, hours: str = "Mon-Fri 09:00-12:00, 13:00-20:00; Sat 10:00-16:00", **changes: Any) -> Facts:
    window = CallingWindow.parse(hours)
    known = Facts(
        frozen=True,  # what a person may change at any moment is not what a forecast is about
        account_stop=None,
        campaign_state=CampaignState.DRAFT,
        starts_at=None,
        ends_at=None,
        windows=tuple(ZonedWindow(window, ZoneInfo(zone)) for zone in zones),
        zones_known=True,
        rule_refusal=None,
        voice_blocked=None,
        consent_needs=(),
        consent=None,
        suppressed=False,
        attempts=0,
        max_attempts=3,
        calls=0,
        max_calls=8,
    )
    return replace(known, **changes)


def played(
    *crowds: Crowd, means: Means = ONE_LINE, expected: Expected = NOBODY_ANSWERS, plan: RetryPlan = ONCE, seed: int = 1
) -> Course:
    return play(crowds, means=means, expected=expected, plan=plan, now=NOW, random=Random(seed))  # noqa: S311 - no secret


def test_one_line_takes_one_call_after_the_other() -> None:
    course = played(Crowd(facts(NEW_YORK), (NEW_YORK,), 10))
    assert course.finished_at == NOW + 10 * timedelta(seconds=35) + 9 * timedelta(seconds=5)
    assert (course.calls, course.reached, course.exhausted, course.minutes) == (10, 0, 10, 0)


def test_the_pace_holds_back_lines_that_are_free() -> None:
    slow = Means(lines=50, calls_per_second=0.1, turnaround=timedelta(0))
    course = played(Crowd(facts(NEW_YORK), (NEW_YORK,), 20), means=slow)
    assert course.finished_at == NOW + 19 * timedelta(seconds=10) + timedelta(seconds=35)


def test_retries_come_when_the_plan_says_and_only_as_often() -> None:
    plan = RetryPlan.model_validate({"max_attempts": 3, "no_answer": ["5m", "30m"]})
    course = played(Crowd(facts(NEW_YORK), (NEW_YORK,), 1), plan=plan)
    assert course.calls == 3
    assert course.finished_at == NOW + timedelta(minutes=35, seconds=3 * 35)


def test_who_was_called_before_has_fewer_calls_left() -> None:
    plan = RetryPlan.model_validate({"max_attempts": 3, "no_answer": ["5m"]})
    course = played(Crowd(facts(NEW_YORK, attempts=2, calls=2), (NEW_YORK,), 4), plan=plan)
    assert course.calls == 4


def test_a_wish_for_a_later_time_is_waited_for() -> None:
    later = NOW + timedelta(hours=4)
    course = played(Crowd(facts(NEW_YORK, not_before=later), (NEW_YORK,), 1))
    assert course.first_and_last[NEW_YORK,] == (later, later)


def test_each_zone_is_called_in_its_own_hours() -> None:
    course = played(*(Crowd(facts(zone), (zone,), 3) for zone in (NEW_YORK, LOS_ANGELES, PARIS)))
    first = {zones[0]: first for zones, (first, _) in course.first_and_last.items()}
    assert first == {
        NEW_YORK: NOW,
        PARIS: NOW + timedelta(seconds=3 * 40),  # 16:00 there: behind those in New York
        LOS_ANGELES: datetime(2027, 3, 2, 17, tzinfo=UTC),
    }


def test_who_is_left_when_the_campaign_ends_is_counted() -> None:
    end = NOW + timedelta(minutes=10)
    course = played(Crowd(facts(NEW_YORK, ends_at=end), (NEW_YORK,), 100))
    assert course.expired == 100 - course.calls > 0
    assert max(last for _, last in course.first_and_last.values()) <= end


def test_hours_that_never_come_leave_people_stuck_and_end_the_play() -> None:
    never = replace(facts(NEW_YORK), windows=(*facts(NEW_YORK, hours="Mon 09:00-10:00").windows, *facts(PARIS).windows))
    course = played(Crowd(replace(never, ends_at=None), (NEW_YORK, PARIS), 5), Crowd(facts(NEW_YORK), (NEW_YORK,), 1))
    assert course.calls + course.stuck == 6


# The last of a quick campaign may or may not fit into an evening: it has no closing hours here. Nor do calls fail here,
# which is tried again so often that whoever is most unlucky would decide about the end.
@pytest.mark.parametrize(
    ("lines", "rate", "hours"), [(10, 1.0, "Mon-Sun 09:00-12:00, 13:00-20:00"), (200, 20.0, "Mon-Sun 00:00-24:00")]
)
def test_taking_several_after_each_other_changes_a_forecast_by_less_than_two_hundredths(
    monkeypatch: pytest.MonkeyPatch, lines: int, rate: float, hours: str
) -> None:
    crowds = [Crowd(facts(zone, hours=hours), (zone,), 10_000) for zone in (NEW_YORK, LOS_ANGELES, PARIS)]
    means = Means(lines=lines, calls_per_second=rate, turnaround=timedelta(seconds=0.5))
    steady = Expected(answered=0.45, no_answer=0.3, voicemail=0.25, busy=0, failed=0)
    rough = [played(*crowds, means=means, expected=steady, plan=RetryPlan(), seed=seed) for seed in (1, 2)]
    monkeypatch.setattr(forecast, "TURNS", 1_000_000)
    exact = played(*crowds, means=means, expected=steady, plan=RetryPlan())
    for course in rough:
        assert (course.finished_at - NOW) / (exact.finished_at - NOW) == pytest.approx(1, abs=0.02)
        assert course.calls == pytest.approx(exact.calls, rel=0.02)
        assert course.minutes == pytest.approx(exact.minutes, rel=0.02)


def test_several_after_each_other_end_with_the_hours_and_keep_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "TURNS", 20)  # a hundred people to a turn, of an hour in all
    crowd = Crowd(facts(NEW_YORK, ends_at=NOW + timedelta(minutes=110)), (NEW_YORK,), 2_000)
    course = played(crowd, means=Means(lines=5, calls_per_second=1.0, turnaround=timedelta(seconds=1)))
    _, last = course.first_and_last[NEW_YORK,]
    assert time(11, 40) < last.astimezone(ZoneInfo(NEW_YORK)).time() < time(11, 50)
    slow = Means(lines=5, calls_per_second=0.1, turnaround=timedelta(seconds=1))  # of which four are busy
    all_day = Crowd(facts(NEW_YORK, hours="Mon-Sun 00:00-24:00"), (NEW_YORK,), 2_000)
    course = played(all_day, means=slow)
    assert course.finished_at - NOW == pytest.approx(2_000 * timedelta(seconds=10), rel=0.05)


def test_a_forecast_of_the_same_is_the_same() -> None:
    crowd = Crowd(facts(NEW_YORK, LOS_ANGELES), (NEW_YORK, LOS_ANGELES), 500)
    one, same, other = (played(crowd, expected=Expected(), plan=RetryPlan(), seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_a_varied_expectation_still_adds_up() -> None:
    for by in (SPREAD, -SPREAD, 0.0):
        for expected in (Expected(), NOBODY_ANSWERS, Expected(answered=1, no_answer=0, voicemail=0, busy=0, failed=0)):
            Expected.model_validate(varied(expected, by).model_dump(mode="json"))


def test_the_hour_in_which_a_budget_is_spent_is_found() -> None:
    shares = {"answered": 1, "no_answer": 0, "voicemail": 0, "busy": 0, "failed": 0}
    talkative = Expected.model_validate({**shares, "talk": "10m"})
    course = played(Crowd(facts(NEW_YORK), (NEW_YORK,), 30), expected=talkative)
    assert course.minutes == pytest.approx(300, rel=0.2)
    assert spent_until(course, 1) == NOW
    reached = spent_until(course, course.minutes / 2)
    assert reached is not None
    assert NOW < reached < course.finished_at
    assert spent_until(course, course.minutes * 2) is None


def test_caps_of_a_person_are_waited_for_between_their_calls() -> None:
    twice = RetryPlan.model_validate({"max_attempts": 2, "no_answer": ["5m"]})
    capped = facts(NEW_YORK, caps=(Cap(1, timedelta(days=2), "the campaign"),))
    free, held = (played(Crowd(each, (NEW_YORK,), 3), plan=twice) for each in (facts(NEW_YORK), capped))
    assert (free.calls, held.calls) == (6, 6)
    assert free.finished_at < NOW + timedelta(hours=1)
    assert held.finished_at >= NOW + timedelta(days=2)


def test_numbers_make_no_more_calls_than_they_may_in_any_24_hours() -> None:
    means = replace(ONE_LINE, per_day=4)
    course = played(Crowd(facts(NEW_YORK), (NEW_YORK,), 10), means=means)
    assert course.calls == 10
    assert NOW + timedelta(days=2) <= course.finished_at < NOW + timedelta(days=3)


@settings(max_examples=40, deadline=None)
@given(
    crowds=st.lists(
        st.tuples(st.sampled_from([(NEW_YORK,), (PARIS,), (NEW_YORK, LOS_ANGELES)]), st.integers(1, 400)), min_size=1
    ),
    lines=st.integers(1, 20),
    seed=st.integers(0, 100),
    days=st.integers(1, 4),
)
def test_everybody_is_accounted_for_and_nobody_is_called_outside_their_hours(
    crowds: list[tuple[tuple[str, ...], int]], lines: int, seed: int, days: int
) -> None:
    end = NOW + timedelta(days=days)
    course = played(
        *(Crowd(facts(*zones, ends_at=end), zones, count) for zones, count in crowds),
        means=Means(lines=lines, calls_per_second=1.0, turnaround=timedelta(seconds=1)),
        expected=Expected(),
        plan=RetryPlan(max_attempts=2),
        seed=seed,
    )
    total = sum(count for _, count in crowds)
    assert course.reached + course.exhausted + course.expired + course.stuck == total
    for zones, calls in course.first_and_last.items():
        for at in calls:
            assert when_due(facts(*zones, ends_at=end), at) == at
