"""How often one person may be called in a rolling period, over all campaigns and caller numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.rules.calling_rules import CapEvent, Counts

MOST_CALLS = 50  # that a cap may permit
REMEMBERED = 200  # calls to one person, the latest: four times as many as any cap counts, and a page or two to read

_EVENTS: dict[CapEvent, str] = {
    "abandoned_call": "a call that broke off",
    "refusal": "a refusal",
    "hang_up": "the person hung up",
}


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `calls` calls in any `period`; with `after`, in the period that follows that event."""

    calls: int
    period: timedelta | None
    """None is for good."""
    source: str
    """Who says so: a jurisdiction's code, or the campaign."""
    counts: Counts = "all"
    after: CapEvent | None = None

    def binds(self, *, consented: bool, debt_collection: bool) -> bool:
        """Whether it holds for such calls. Ours are all made by an artificial voice."""
        match self.counts:
            case "without_consent":
                return not consented
            case "debt_collection":
                return debt_collection
            case _:
                return True

    def __str__(self) -> str:
        calls = "1 call" if self.calls == 1 else f"{self.calls} calls"
        most = "no call" if self.calls == 0 else f"at most {calls}"
        period = "ever" if self.period is None else f"in {_spelt(self.period)}"
        after = "" if self.after is None else f" after {_EVENTS[self.after]}"
        return f"{most} {period}{after} ({self.source})"


@dataclass(frozen=True, slots=True)
class Rung:
    """A call to the person that rang, or may have."""

    at: datetime
    """By when it had rung: its end, or its intent while no end is known. A call may wait for a line before it rings."""
    events: frozenset[CapEvent] = frozenset()


@dataclass(frozen=True, slots=True)
class Reached:
    """A cap that leaves no call for now."""

    cap: Cap
    until: datetime | None
    """The first moment at which it permits one more; None: never."""


def reached(caps: Iterable[Cap], rung: Sequence[Rung], now: datetime) -> Reached | None:
    """Of the caps that permit no call at `now` the one that does so the longest; None where one more is permitted.

    If nobody is called meanwhile a cap that is passed stays passed, so when the last of them permits a call, all do.
    """
    if not rung:
        return None
    found = [each for cap in caps if (each := _reached(cap, rung, now)) is not None]
    never = next((each for each in found if each.until is None), None)
    return never or max(found, key=lambda each: each.until or now, default=None)


def _reached(cap: Cap, rung: Sequence[Rung], now: datetime) -> Reached | None:
    times = sorted((call.at for call in rung), reverse=True)
    if cap.after is None:
        # A call leaves the period as the next one may be made: the last that has to is as far back as the cap is high.
        since = [times[cap.calls - 1]] if len(times) >= cap.calls else []
    else:
        events = [call.at for call in rung if cap.after in call.events]
        since = [event for event in events if sum(at > event for at in times) >= cap.calls]
    if not since:
        return None
    if cap.period is None:
        return Reached(cap, None)
    until = max(since) + cap.period
    return Reached(cap, until) if until > now else None


def _spelt(period: timedelta) -> str:
    hours = period / timedelta(hours=1)
    amount, unit = (hours, "hour") if hours <= 72 or period % timedelta(days=1) else (hours / 24, "day")
    return f"{amount:g} {unit}" + ("" if amount == 1 else "s")
