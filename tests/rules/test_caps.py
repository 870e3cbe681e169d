"""Caps per person: no rolling period ever holds more calls than permitted, and nobody waits longer than needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import InvalidDefinition
from campaigns.rules import calling_rules
from campaigns.rules.calling_rules import CapEvent, rows
from campaigns.rules.caps import Cap, Reached, Rung, reached
from campaigns.rules.consent import RecordedConsent
from campaigns.rules.definition import CampaignDefinition, read_definition
from campaigns.rules.eligibility import Allowed, Reason, Refused, decide, when_due
from campaigns.rules.prospect_state import ProspectState
from tests.factories import CAMPAIGN
from tests.rules.test_eligibility import NOON, facts, refusal

NOW = datetime(2027, 3, 2, 17, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FLORIDA = Cap(3, DAY, "US-FL")
EVENTS: tuple[CapEvent, ...] = ("refusal", "hang_up", "abandoned_call")


def ago(*hours: float, events: frozenset[CapEvent] = frozenset()) -> tuple[Rung, ...]:
    return tuple(Rung(NOW - each * HOUR, events) for each in hours)


def after(event: CapEvent, hours: float, *later: float) -> tuple[Rung, ...]:
    return ago(hours, events=frozenset({event})) + ago(*later)


@pytest.mark.parametrize(
    ("cap", "rung", "until"),
    [
        (FLORIDA, (), NOW),
        (FLORIDA, ago(1, 2), NOW),
        (FLORIDA, ago(1, 2, 23), NOW + HOUR),
        (FLORIDA, ago(23, 2, 1), NOW + HOUR),
        (FLORIDA, ago(1, 2, 24), NOW),
        (FLORIDA, ago(1, 2, 3, 4, 5), NOW + 21 * HOUR),  # more than permitted, as when a rule became stricter
        (Cap(1, 8 * HOUR, "US-ME", "artificial_voice"), ago(7.5), NOW + HOUR / 2),
        (Cap(4, 30 * DAY, "FR"), ago(1, 24, 48, 29 * 24), NOW + DAY),
        (Cap(0, 60 * DAY, "FR", after="refusal"), ago(1, 2), NOW),
        (Cap(0, 60 * DAY, "FR", after="refusal"), after("refusal", 24), NOW + 59 * DAY),
        (Cap(0, 60 * DAY, "FR", after="refusal"), after("hang_up", 24), NOW),
        (Cap(0, 72 * HOUR, "GB", after="abandoned_call"), after("abandoned_call", 71, 3), NOW + HOUR),
        (Cap(0, None, "US-NV", after="hang_up"), after("hang_up", 24 * 900), None),
        (Cap(2, 30 * DAY, "made up", after="refusal"), after("refusal", 24, 3), NOW),
        (Cap(2, 30 * DAY, "made up", after="refusal"), after("refusal", 24, 3, 2), NOW + 29 * DAY),
    ],
)
def test_one_more_call_is_permitted_from_then_on(cap: Cap, rung: tuple[Rung, ...], until: datetime | None) -> None:
    found = reached([cap], rung, NOW)
    assert (NOW if found is None else found.until) == until


def test_the_strictest_cap_binds() -> None:
    caps = [Cap(1, HOUR, "a"), Cap(2, DAY, "b"), Cap(9, DAY, "c"), Cap(1, None, "d", after="refusal")]
    assert reached(caps, ago(0.5, 2), NOW) == Reached(caps[1], NOW + 22 * HOUR)
    assert reached(caps, after("refusal", 30, 0.5, 2), NOW) == Reached(caps[3], None)


def permitted(caps: list[Cap], calls: list[Rung], at: datetime) -> bool:
    """Written from the words of the rules: put one more call in, and count each period that it would be in."""
    for cap in caps:
        counted = [call.at for call in calls] + [at]
        if cap.after is None:
            assert cap.period is not None
            starts = [start for start in counted if start <= at < start + cap.period]
            if any(sum(start <= each < start + cap.period for each in counted) > cap.calls for start in starts):
                return False
        for event in (call.at for call in calls if cap.after in call.events):
            covered = cap.period is None or at < event + cap.period
            if covered and sum(each > event for each in counted) > cap.calls:
                return False
    return True


MINUTES = st.integers(0, 400)
CAPS = st.builds(
    lambda calls, minutes, after: Cap(
        calls if after else max(calls, 1),
        None if after and minutes > 350 else timedelta(minutes=minutes + 1),
        "x",
        after=after,
    ),
    st.integers(0, 4),
    MINUTES,
    st.none() | st.sampled_from(EVENTS),
)


@given(
    caps=st.lists(CAPS, min_size=1, max_size=4),
    happens=st.lists(st.tuples(st.integers(0, 60), st.sets(st.sampled_from(EVENTS), max_size=2)), max_size=30),
)
def test_no_period_ever_holds_more_than_permitted_and_the_wait_is_the_shortest(
    caps: list[Cap], happens: list[tuple[int, set[CapEvent]]]
) -> None:
    """Somebody wants to call after each pause, and waits as long as we say; whoever waits for good gives up."""
    calls: list[Rung] = []
    now = NOW
    for pause, events in happens:
        now += timedelta(minutes=pause, microseconds=7)
        found = reached(caps, calls, now)
        assert (found is None) == permitted(caps, calls, now)
        if found is not None and found.until is None:
            assert not permitted(caps, calls, now + timedelta(days=4_000))
            return
        if found is not None and found.until is not None:
            assert not permitted(caps, calls, found.until - timedelta(microseconds=1))
            now = found.until
        assert permitted(caps, calls, now)
        assert reached(caps, calls, now) is None
        calls.append(Rung(now, frozenset(events)))


def test_a_capped_person_is_due_as_soon_as_the_cap_and_the_hours_permit() -> None:
    rung = tuple(Rung(NOON - each * HOUR) for each in (1, 2, 23))
    found = refusal(decide(facts(caps=(FLORIDA,), rung=rung), NOON))
    assert found == Refused(
        Reason.CAP_REACHED, "at most 3 calls in 24 hours (US-FL)", ProspectState.WAITING, NOON + HOUR
    )
    ends_at_night = facts(caps=(Cap(1, 12 * HOUR, "x"),), rung=rung)
    assert when_due(ends_at_night, NOON) == NOON + timedelta(hours=21)  # nine o'clock of the next day


def test_what_delays_a_call_the_most_is_the_reason() -> None:
    rung = (Rung(NOON - HOUR),)
    capped = facts(caps=(Cap(1, 12 * HOUR, "x"),), rung=rung)
    found = refusal(decide(capped, NOON))
    assert (found.reason, found.retry_at) == (Reason.CAP_REACHED, NOON + timedelta(hours=21))
    evening = NOON + timedelta(hours=9)  # past the window, and the cap ends before the next
    found = refusal(decide(capped, evening))
    assert (found.reason, found.retry_at) == (Reason.OUTSIDE_WINDOW, NOON + timedelta(hours=21))


def test_a_person_capped_beyond_the_end_of_the_campaign_expires() -> None:
    capped = facts(caps=(Cap(1, 30 * DAY, "x"),), rung=(Rung(NOON - HOUR),), ends_at=NOON + DAY)
    assert refusal(decide(capped, NOON)).becomes is ProspectState.EXPIRED


def test_a_cap_for_good_holds_the_person() -> None:
    nevada = (Cap(0, None, "US-NV", "artificial_voice", "hang_up"),)
    found = refusal(decide(facts(caps=nevada, rung=(Rung(NOON - 900 * DAY, frozenset({"hang_up"})),)), NOON))
    assert (found.becomes, found.retry_at) == (ProspectState.HELD, None)
    assert found.detail == "no call ever after the person hung up (US-NV)"


@pytest.mark.parametrize(
    ("counts", "changes", "binds"),
    [
        ("all", {}, True),
        ("artificial_voice", {}, True),
        ("without_consent", {"consent": RecordedConsent("written")}, False),
        ("without_consent", {"consent": None, "consent_needs": ()}, True),
        ("without_consent", {"consent": RecordedConsent("express", withdrawn=True), "consent_needs": ()}, True),
        ("debt_collection", {}, False),
        ("debt_collection", {"debt_collection": True}, True),
    ],
)
def test_a_cap_binds_the_calls_that_it_is_about(
    counts: calling_rules.Counts, changes: dict[str, Any], *, binds: bool
) -> None:
    cap = replace(FLORIDA, counts=counts, calls=1)
    found = decide(facts(caps=(cap,), rung=(Rung(NOON - HOUR),), **changes), NOON)
    assert (found != Allowed()) == binds


def test_a_cap_of_no_calls_without_an_event_is_no_rule() -> None:
    with pytest.raises(InvalidDefinition, match="permits at least one call"):
        rows._cap({"calls": 0, "days": 1, "counts": "all"})


@pytest.mark.parametrize(
    ("cap", "line"),
    [
        ({"calls": 3}, "f: caps #1.per: is missing"),
        ({"calls": 0, "per": "7d"}, "f: caps #1.calls: input should be greater than or equal to 1"),
        ({"calls": 51, "per": "7d"}, "f: caps #1.calls: input should be less than or equal to 50"),
        ({"calls": 1, "per": "10s"}, 'f: caps #1: per must be at least "1m"'),
        ({"calls": 1, "per": "7d", "days": 7}, "f: caps #1.days: no such key; allowed here: calls, per"),
    ],
)
def test_a_wrong_cap_of_a_campaign_is_refused_by_its_key(cap: dict[str, object], line: str) -> None:
    with pytest.raises(InvalidDefinition) as problem:
        read_definition(CampaignDefinition, CAMPAIGN | {"caps": [cap]}, source="f")
    assert str(problem.value) == line
