"""May this person be called now: every reason, its weight, and the moment after it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from campaigns.rules import eligibility
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.consent import ConsentNeed, RecordedConsent
from campaigns.rules.eligibility import Allowed, Facts, Reason, Refused, decide, when_due
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.windows import CallingWindow, ZonedWindow

NOON = datetime(2027, 3, 2, 17, tzinfo=UTC)  # a Tuesday, 12:00 in New York
NINE_TO_EIGHT = CallingWindow.parse("Mon-Sun 09:00-20:00")


def facts(**changes: Any) -> Facts:
    base = Facts(
        frozen=False,
        account_stop=None,
        campaign_state=CampaignState.RUNNING,
        starts_at=None,
        ends_at=None,
        windows=(ZonedWindow(NINE_TO_EIGHT, ZoneInfo("America/New_York")),),
        zones_known=True,
        rule_refusal=None,
        voice_blocked=None,
        suppressed=False,
        consent_needs=(ConsentNeed("written", "US"),),
        consent=RecordedConsent("written"),
        attempts=0,
        max_attempts=3,
        calls=0,
        max_calls=8,
    )
    return replace(base, **changes)


def refusal(found: Allowed | Refused | datetime) -> Refused:
    assert isinstance(found, Refused)
    return found


def test_with_nothing_against_it_a_call_is_allowed() -> None:
    assert decide(facts(), NOON) == Allowed()


@pytest.mark.parametrize(
    ("changes", "reason", "becomes"),
    [
        ({"frozen": True}, Reason.FROZEN, ProspectState.WAITING),
        ({"account_stop": "key refused"}, Reason.ACCOUNT_STOPPED, ProspectState.WAITING),
        ({"campaign_state": CampaignState.PAUSED}, Reason.NOT_RUNNING, ProspectState.WAITING),
        ({"campaign_state": CampaignState.CANCELLED}, Reason.NOT_RUNNING, ProspectState.CANCELLED),
        ({"campaign_state": CampaignState.COMPLETED}, Reason.CAMPAIGN_OVER, ProspectState.EXPIRED),
        ({"starts_at": NOON + timedelta(hours=1)}, Reason.OUTSIDE_WINDOW, ProspectState.WAITING),
        ({"ends_at": NOON}, Reason.CAMPAIGN_OVER, ProspectState.EXPIRED),
        ({"suppressed": True}, Reason.SUPPRESSED, ProspectState.SUPPRESSED),
        ({"concluded": ProspectState.COMPLETED}, Reason.CONCLUDED, ProspectState.COMPLETED),
        ({"rule_refusal": "unlisted country"}, Reason.NO_RULE, ProspectState.HELD),
        ({"voice_blocked": "US-WA"}, Reason.VOICE_BLOCKED, ProspectState.HELD),
        ({"consent": None}, Reason.NO_CONSENT, ProspectState.HELD),
        ({"zones_known": False}, Reason.UNKNOWN_ZONE, ProspectState.HELD),
        ({"attempts": 3}, Reason.NO_ATTEMPTS_LEFT, ProspectState.EXHAUSTED),
        ({"calls": 8}, Reason.NO_ATTEMPTS_LEFT, ProspectState.EXHAUSTED),
        ({"not_before": NOON + timedelta(hours=1)}, Reason.NOT_BEFORE, ProspectState.WAITING),
        ({"person_in_call": True}, Reason.PERSON_IN_CALL, ProspectState.WAITING),
        ({"windows": ()}, Reason.NO_OPENING, ProspectState.HELD),
    ],
)
def test_each_reason_refuses_alone(changes: dict[str, Any], reason: Reason, becomes: ProspectState) -> None:
    found = refusal(decide(facts(**changes), NOON))
    assert found.becomes is becomes
    assert found.reason is reason or reason is Reason.OUTSIDE_WINDOW
    assert (found.retry_at is not None) == (becomes is ProspectState.WAITING)
    if found.retry_at is not None:
        assert found.retry_at > NOON


def test_no_consent_is_needed_where_no_rule_asks_for_it() -> None:
    assert decide(facts(consent=None, consent_needs=()), NOON) == Allowed()


def test_the_weightiest_reason_wins_whatever_the_order_of_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = facts(frozen=True, account_stop="x", suppressed=True, consent=None, attempts=9, person_in_call=True)
    forwards = decide(everything, NOON)
    monkeypatch.setattr(eligibility, "_CHECKS", eligibility._CHECKS[::-1])
    assert decide(everything, NOON) == forwards
    assert refusal(forwards).reason is Reason.SUPPRESSED
    held = decide(facts(consent=None, frozen=True), NOON)
    assert refusal(held).becomes is ProspectState.HELD


@pytest.mark.parametrize(
    ("local", "opens"),
    [
        ("08:59", "09:00"),
        ("09:00", None),
        ("19:57:59", None),
        ("19:58", "09:00+1"),
        ("23:00", "09:00+1"),
    ],
)
def test_nobody_is_called_outside_the_window_nor_in_its_last_two_minutes(local: str, opens: str | None) -> None:
    zone = ZoneInfo("America/New_York")
    at = datetime.fromisoformat(f"2027-03-02T{local}").replace(tzinfo=zone)
    found = decide(facts(), at)
    if opens is None:
        assert found == Allowed()
        return
    clock, _, days = opens.partition("+")
    hour, minute = map(int, clock.split(":"))
    due = datetime(2027, 3, 2 + int(days or 0), hour, minute, tzinfo=zone)
    assert refusal(found).retry_at == due


def test_every_zone_that_the_person_may_be_in_must_be_open() -> None:
    both = (
        ZonedWindow(NINE_TO_EIGHT, ZoneInfo("America/New_York")),
        ZonedWindow(NINE_TO_EIGHT, ZoneInfo("America/Los_Angeles")),
    )
    early = datetime(2027, 3, 2, 16, 59, tzinfo=UTC)  # 11:59 in New York, 08:59 in Los Angeles
    assert refusal(decide(facts(windows=both), early)).retry_at == datetime(2027, 3, 2, 17, tzinfo=UTC)
    assert decide(facts(windows=both), datetime(2027, 3, 2, 17, tzinfo=UTC)) == Allowed()
    late = datetime(2027, 3, 3, 0, 58, tzinfo=UTC)  # 19:58 in New York
    assert refusal(decide(facts(windows=both), late)).retry_at == datetime(2027, 3, 3, 17, tzinfo=UTC)


def test_the_due_time_looks_past_what_may_change_at_any_moment() -> None:
    waiting = facts(campaign_state=CampaignState.PAUSED, frozen=True, account_stop="x", person_in_call=True)
    assert when_due(waiting, NOON) == NOON
    night = datetime(2027, 3, 3, 4, tzinfo=UTC)
    assert when_due(waiting, night) == datetime(2027, 3, 3, 14, tzinfo=UTC)


def test_the_due_time_is_the_first_opening_after_the_wish() -> None:
    wish = datetime(2027, 3, 3, 2, tzinfo=UTC)  # 21:00 in New York
    assert when_due(facts(not_before=wish), NOON) == datetime(2027, 3, 3, 14, tzinfo=UTC)


def test_a_campaign_that_ends_before_the_next_opening_expires_the_person() -> None:
    ends = datetime(2027, 3, 3, 13, tzinfo=UTC)
    found = refusal(when_due(facts(ends_at=ends), datetime(2027, 3, 3, 2, tzinfo=UTC)))
    assert found.becomes is ProspectState.EXPIRED
