"""What is shown of a campaign file that says something else than before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.definition.changes import Changed, differences, overnight
from campaigns.rules.windows import CallingWindow
from tests.factories import CAMPAIGN

NOW = datetime(2027, 3, 2, 15, tzinfo=UTC)


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[Changed]:
    old, new = (CampaignDefinition.model_validate(CAMPAIGN | each) for each in (before, after))
    return differences(old, new, now=NOW)


def test_each_key_is_shown_with_what_it_was_and_becomes() -> None:
    assert changed({"weight": 2}, {"weight": 2}) == []
    assert changed({}, {"weight": 3, "retry": {"busy": ["5m", "1h"]}, "variables": {"brand": "Gold"}}) == [
        Changed("weight", "1", "3"),
        Changed("retry.busy", "20m, 4h", "5m, 1h"),
        Changed("variables.brand", None, "Gold"),
    ]
    assert changed({"max_concurrency": 4}, {}) == [Changed("max_concurrency", "4", None)]


@pytest.mark.parametrize(
    ("before", "after", "key", "note"),
    [
        ({}, {"windows": "daily 20:00-09:00"}, "windows", "20:00-09:00 goes over midnight; if the day is meant,"),
        ({}, {"ends_at": NOW - timedelta(hours=1)}, "ends_at", "everybody who still waits expires"),
        ({}, {"retry": {"max_attempts": 4}}, "retry.max_attempts", "who is exhausted already stays so"),
        ({"phone_number_ids": ["a", "b"]}, {"phone_number_ids": ["b"]}, "phone_number_ids", "is made from a"),
        (
            {"prices": {"platform": 0.1}, "budget": {"total": 9.0}},
            {"prices": {"platform": 0.1}},
            "budget.total",
            "it may spend whatever it takes",
        ),
    ],
)
def test_what_is_easily_overlooked_is_said(before: dict[str, Any], after: dict[str, Any], key: str, note: str) -> None:
    found = {each.key: each.note for each in changed(before, after)}
    assert note in str(found[key])


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("daily 20:00-09:00", "20:00-09:00"),
        ("Fri 22:30-02:00", "22:30-02:00"),
        ("Sun 22:00-24:00; Mon 00:00-01:00", "22:00-01:00"),
        ("daily 09:00-20:00", None),
        ("daily 00:00-24:00", None),
        ("Mon 20:00-24:00; Wed 00:00-09:00", None),
    ],
)
def test_hours_over_midnight_are_found(text: str, hours: str | None) -> None:
    assert overnight(CallingWindow.parse(text)) == hours
