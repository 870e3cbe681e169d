"""Whether the consent that is recorded is the one that the rules ask for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

ConsentLevel = Literal["none", "express", "written"]
Purpose = Literal["sales", "information", "debt_collection"]

_RANK: Final = {"none": 0, "express": 1, "written": 2}


class RecordedConsent(NamedTuple):
    """What is known of a person's consent: their own, or what the campaign declares for all."""

    level: ConsentLevel
    obtained_at: datetime | None = None
    expires_at: datetime | None = None
    withdrawn: bool = False


class ConsentNeed(NamedTuple):
    """What one jurisdiction asks for before a call."""

    level: ConsentLevel
    code: str
    valid: timedelta | None = None
    """How long consent lasts there."""


def is_lower(level: ConsentLevel, than: ConsentLevel) -> bool:
    """Whether a level is a lesser one."""
    return _RANK[level] < _RANK[than]


def shortfall(needs: Iterable[ConsentNeed], recorded: RecordedConsent | None, now: datetime) -> str | None:
    """What is missing at `now`, and where it is asked for; None where the consent is good or none is needed.

    Where several are not met, the highest level that is asked for is named.
    """
    unmet = [(need, why) for need in needs if (why := _missing(need, recorded, now)) is not None]
    if not unmet:
        return None
    need, why = max(unmet, key=lambda each: (_RANK[each[0].level], each[0].code))
    return f"{need.level} consent is needed in {need.code}, {why}"


def _missing(need: ConsentNeed, recorded: RecordedConsent | None, now: datetime) -> str | None:
    if need.level == "none":
        return None
    if recorded is None:
        return "none is recorded"
    if recorded.withdrawn:
        return "it was withdrawn"
    if recorded.level == "none":
        return "the person's own record says that there is none"
    if is_lower(recorded.level, need.level):
        return f"only {recorded.level} is recorded"
    if recorded.expires_at is not None and recorded.expires_at <= now:
        return f"what is recorded expired on {recorded.expires_at:%Y-%m-%d}"
    if need.valid is not None:
        if recorded.obtained_at is None:
            return f"and lapses after {need.valid.days} days, but when it was given is not recorded"
        if recorded.obtained_at + need.valid <= now:
            return f"and lapses after {need.valid.days} days: it was given on {recorded.obtained_at:%Y-%m-%d}"
    return None
