"""What a campaign file may say of dates, fallbacks and consent."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from campaigns.errors import InvalidDefinition
from campaigns.rules.definition import CampaignDefinition, read_definition
from tests.factories import CAMPAIGN

DATES = "write dates such as 2026-12-24, or from the first to the last such as 2026-12-31..2027-01-02"
NO_CALENDAR = "use the code of a country or region such as US, US-PA or DE-BY"
LIST = 'write a list in brackets, such as ["one", "two"]'


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"blackout": "2026-12-24"}, f"blackout: {LIST}"),
        ({"blackout": ["24.12.2026"]}, f"blackout: '24.12.2026' is not a date: {DATES}"),
        ({"blackout": ["2026-02-30"]}, f"blackout: '2026-02-30' is not a date: {DATES}"),
        (
            {"blackout": ["2027-01-02..2026-12-31"]},
            f"blackout: 2027-01-02..2026-12-31 ends before it begins: {DATES}",
        ),
        (
            {"blackout": ["2026-01-01..2099-01-01"]},
            "blackout: 2026-01-01..2099-01-01 makes it more than 731 dates: leave the campaign paused instead",
        ),
        ({"closed_on": ["USA"]}, f"closed_on: there is no calendar 'USA': {NO_CALENDAR}"),
        ({"closed_on": ["US-ZZ"]}, f"closed_on: there is no calendar 'US-ZZ': {NO_CALENDAR}"),
        ({"purpose": "fun"}, "purpose: input should be 'sales', 'information' or 'debt_collection'"),
        (
            {"fallback": {}},
            'fallback: name zones, such as ["America/New_York", "Pacific/Honolulu"], or a country, or both',
        ),
        (
            {"fallback": {"zones": ["EST5"]}},
            "fallback.zones #1: no time zone 'EST5': use an IANA name such as America/Chicago",
        ),
        (
            {"fallback": {"country": "USA"}},
            "fallback.country: 'USA' is not a country code of two capital letters such as US or DE",
        ),
        ({"consent": {"source": "x", "level": "oral"}}, "consent.level: input should be 'express' or 'written'"),
        (
            {"consent": {"source": "x", "valid_for": "30d"}},
            "consent: valid_for needs obtained_at: nobody knows from when on it counts",
        ),
    ],
)
def test_a_wrong_date_or_place_is_refused_by_its_key(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read_definition(CampaignDefinition, CAMPAIGN | changes, source="f")
    assert str(caught.value) == f"f: {line}"


def test_dates_are_read_back_from_the_database_as_they_were_written() -> None:
    changes: dict[str, Any] = {
        "blackout": [date(2026, 12, 24), "2026-12-31..2027-01-02"],
        "closed_on": ["US", "DE-BY"],
        "fallback": {"zones": ["America/New_York"], "country": "US"},
        "purpose": "information",
        "consent": {"source": "x", "level": "written", "obtained_at": "2026-02-01T00:00:00Z", "valid_for": "365d"},
    }
    definition = CampaignDefinition.model_validate(CAMPAIGN | changes)
    assert definition.blackout == ("2026-12-24", "2026-12-31..2027-01-02")
    stored = json.loads(json.dumps(definition.model_dump(mode="json")))
    assert CampaignDefinition.model_validate(stored) == definition
