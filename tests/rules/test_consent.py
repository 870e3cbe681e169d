"""What is recorded of consent against what the rules ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.facts import PersonalConsent
from campaigns.rules.consent import ConsentNeed, RecordedConsent, shortfall
from campaigns.rules.eligibility import Allowed, Refused, decide
from tests.rules.deciding import running, someone

NOW = datetime(2027, 3, 2, 15, tzinfo=UTC)  # 10:00 in New York, 16:00 in Madrid
EARLIER, LATER = NOW - timedelta(days=30), NOW + timedelta(days=30)
WRITTEN, EXPRESS, SPAIN = (
    ConsentNeed("written", "US-FL"),
    ConsentNeed("express", "GB"),
    ConsentNeed("express", "ES", timedelta(days=730)),
)


@pytest.mark.parametrize(
    ("needs", "recorded", "missing"),
    [
        ([], None, None),
        ([EXPRESS], None, "express consent is needed in GB, none is recorded"),
        ([EXPRESS], RecordedConsent("express"), None),
        ([EXPRESS], RecordedConsent("written"), None),
        ([WRITTEN], RecordedConsent("express"), "written consent is needed in US-FL, only express is recorded"),
        ([WRITTEN], RecordedConsent("written"), None),
        (
            [EXPRESS, WRITTEN],
            RecordedConsent("express"),
            "written consent is needed in US-FL, only express is recorded",
        ),
        ([EXPRESS, WRITTEN], None, "written consent is needed in US-FL, none is recorded"),
        (
            [EXPRESS],
            RecordedConsent("none"),
            "express consent is needed in GB, the person's own record says that there is none",
        ),
        ([EXPRESS], RecordedConsent("written", withdrawn=True), "express consent is needed in GB, it was withdrawn"),
        ([EXPRESS], RecordedConsent("express", expires_at=LATER), None),
        (
            [EXPRESS],
            RecordedConsent("express", expires_at=NOW),
            "express consent is needed in GB, what is recorded expired on 2027-03-02",
        ),
        ([SPAIN], RecordedConsent("express", NOW - timedelta(days=729)), None),
        (
            [SPAIN],
            RecordedConsent("express", NOW - timedelta(days=730)),
            "express consent is needed in ES, and lapses after 730 days: it was given on 2025-03-02",
        ),
        (
            [SPAIN],
            RecordedConsent("express"),
            "express consent is needed in ES, and lapses after 730 days, but when it was given is not recorded",
        ),
    ],
)
def test_what_is_missing_is_said_with_who_asks_for_it(
    needs: list[ConsentNeed], recorded: RecordedConsent | None, missing: str | None
) -> None:
    assert shortfall(needs, recorded, NOW) == missing
    assert shortfall(needs[::-1], recorded, NOW) == missing


def allowed(own: PersonalConsent | None, **changes: Any) -> bool:
    """Whether somebody in New York, where only the federal rule asks, may be called."""
    found = decide(someone(running(**changes), "US", ["US-NY"], ["America/New_York"], own=own), NOW)
    assert found == Allowed() or (isinstance(found, Refused) and found.reason == "no_consent")
    return found == Allowed()


FORM = {"source": "form"}
SIGNED = {"source": "form", "level": "written"}


@pytest.mark.parametrize(
    ("declared", "own", "may"),
    [
        (SIGNED, None, True),
        (FORM, None, False),  # express, where nothing is said
        (None, None, False),
        (None, PersonalConsent("written", None, None), True),
        (FORM, PersonalConsent("written", None, None), True),
        # The person's own counts, also where it is less or worth nothing any more.
        (SIGNED, PersonalConsent("express", None, None), False),
        (SIGNED, PersonalConsent("none", None, None), False),
        (SIGNED, PersonalConsent("written", None, EARLIER), False),
        (SIGNED, PersonalConsent("written", None, None, withdrawn=True), False),
        # Without a level of its own it has the one that the campaign declares.
        (SIGNED, PersonalConsent(None, None, None), True),
        (FORM, PersonalConsent(None, None, None), False),
        (None, PersonalConsent(None, None, None), False),
        # What the campaign declares ends, too.
        (SIGNED | {"expires_at": LATER.isoformat()}, None, True),
        (SIGNED | {"expires_at": EARLIER.isoformat()}, None, False),
        (SIGNED | {"obtained_at": EARLIER.isoformat(), "valid_for": "31d"}, None, True),
        (SIGNED | {"obtained_at": EARLIER.isoformat(), "valid_for": "29d"}, None, False),
    ],
)
def test_a_persons_own_consent_counts_before_the_campaigns(
    declared: dict[str, str] | None,
    own: PersonalConsent | None,
    may: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert allowed(own, consent=declared) == may


def test_a_call_that_sells_nothing_needs_less_where_the_rule_says_so() -> None:
    express = {"consent": FORM, "purpose": "information"}
    assert allowed(None, **express)
    assert allowed(None, **(express | {"purpose": "debt_collection"}))
    for state, may in (("US-CT", True), ("US-FL", False)):
        found = decide(someone(running(**express), "US", [state], ["America/New_York"]), NOW)
        assert (found == Allowed()) == may


def test_spain_asks_when_consent_was_given() -> None:
    spanish = ("ES", (), ("Europe/Madrid",))
    assert decide(someone(running(consent=SIGNED | {"obtained_at": EARLIER.isoformat()}), *spanish), NOW) == Allowed()
    found = decide(someone(running(consent=SIGNED), *spanish), NOW)
    assert isinstance(found, Refused)
    assert "ES" in found.detail
