"""What a stand-in's ledger says about lines and pace: pure figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Use:
    """How well some lines were used."""

    share: float
    """Of the permitted line-seconds in the window, those in which a call was on a line."""
    seconds: float
    """Length of the window."""
    filled: bool
    """Whether all lines were ever in use at once."""


def moments(calls: Iterable[Mapping[str, Any]], what: str) -> list[datetime]:
    """The real times at which `what` (`accepted`, `dialled`, `ended`) happened to these calls, in order."""
    return sorted(datetime.fromisoformat(call[what]["real"]) for call in calls if call[what] is not None)


def use(calls: Sequence[Mapping[str, Any]], lines: int, *, until: datetime | None, longest: timedelta) -> Use:
    """How well `lines` lines were used, from the first moment at which all of them were until `until`.

    Without `until`, until the last POST: after it nobody is due. Lines that were never all in use are looked at from
    one `longest` call after the first: by then they were used as they ever would be.
    """
    end = until or moments(calls, "accepted")[-1]
    changes = sorted([(at, 1) for at in moments(calls, "dialled")] + [(at, -1) for at in moments(calls, "ended")])
    full: datetime | None = None
    busy = 0
    for at, change in changes:
        busy += change
        if busy >= lines:
            full = at
            break
    start = full or changes[0][0] + longest
    if start >= end:
        raise SystemExit(f"{lines} lines were not full before the end: the run is too short to say anything")
    taken = timedelta()
    for call in calls:
        if call["dialled"] is not None:
            began = datetime.fromisoformat(call["dialled"]["real"])
            ended = end if call["ended"] is None else datetime.fromisoformat(call["ended"]["real"])
            taken += max(timedelta(), min(ended, end) - max(began, start))
    return Use(taken / (lines * (end - start)), (end - start).total_seconds(), full is not None)


def per_second(at: Sequence[datetime]) -> float:
    """The rate of moments in order."""
    if len(at) < 2:
        raise SystemExit("fewer than two calls were placed: there is no rate to speak of")
    return (len(at) - 1) / (at[-1] - at[0]).total_seconds()


def most_within(at: Sequence[datetime], span: timedelta = SECOND) -> int:
    """The most of these moments in order that lie within any `span`; two exactly one span apart do not."""
    most = first = 0
    for last, moment in enumerate(at):
        while at[first] <= moment - span:
            first += 1
        most = max(most, last - first + 1)
    return most
