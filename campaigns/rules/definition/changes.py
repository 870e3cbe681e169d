"""What is different between two definitions of a campaign, key by key, as somebody reads it who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.rules.definition.campaign import CampaignDefinition
from campaigns.rules.windows import CallingWindow

DAY = 24 * 60  # minutes
UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


@dataclass(frozen=True, slots=True)
class Changed:
    """One key whose value is another one now. None: it has none."""

    key: str
    was: str | None
    becomes: str | None
    note: str | None = None
    """What is easily overlooked about it."""


def differences(before: CampaignDefinition, after: CampaignDefinition, *, now: datetime) -> list[Changed]:
    """Every key that changes, a key in a section as `section.key`, in the order of the definition."""
    old, new = (dict(_flat(each.model_dump(mode="json"))) for each in (before, after))
    notes = _notes(before, after, now=now)
    return [
        Changed(key, old.get(key), new.get(key), notes.get(key))
        for key in [*new, *(key for key in old if key not in new)]
        if old.get(key) != new.get(key)
    ]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case None | []:
            return
        case Mapping():
            for name, inner in value.items():
                yield from _flat(inner, f"{key}.{name}" if key else str(name))
        case list():
            yield key, ", ".join(_readable(each) for each in value)
        case bool():
            yield key, "true" if value else "false"
        case 0.0 if key.startswith("prices."):
            return  # a component without a price was not written
        case _:
            yield key, str(value) if key.startswith("variables.") else _readable(value)


def _readable(value: Any) -> str:
    """A duration in its largest whole unit, as it is written in files; anything else as it is."""
    found = re.fullmatch(r"(\d+)s", str(value))
    seconds = int(found[1]) if found else 0
    unit = next(((unit, size) for unit, size in UNITS if seconds and seconds % size == 0), None)
    return str(value) if unit is None else f"{seconds // unit[1]}{unit[0]}"


def _notes(before: CampaignDefinition, after: CampaignDefinition, *, now: datetime) -> dict[str, str]:
    notes = {}
    if (hours := overnight(after.windows)) is not None:
        notes["windows"] = f"{hours} goes over midnight; if the day is meant, write it the other way round"
    if after.ends_at is not None and after.ends_at <= now:
        notes["ends_at"] = "that is over: everybody who still waits expires"
    if after.retry.max_attempts > before.retry.max_attempts:
        notes["retry.max_attempts"] = "who is exhausted already stays so"
    if gone := [each for each in before.phone_number_ids if each not in after.phone_number_ids]:
        notes["phone_number_ids"] = f"no further call is made from {', '.join(gone)}"
    if before.budget is not None and after.budget is None:
        notes |= {f"budget.{name}": "it may spend whatever it takes" for name in ("total", "per_day")}
    return notes


def overnight(window: CallingWindow) -> str | None:
    """The first hours of the window that go on past midnight, None where there are none or it is open all day."""
    for day, intervals in enumerate(window.days):
        following = window.days[(day + 1) % len(window.days)]
        if intervals and following and intervals[-1].end == DAY and following[0].start == 0:
            start, end = intervals[-1].start, following[0].end
            if start > 0 and end < DAY:
                return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    return None
