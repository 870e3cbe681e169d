"""Why then, and not sooner: a due time taken apart for whoever asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.eligibility import CLOSING, Facts, Reason, Refused, decide, when_due
from campaigns.rules.windows import CallingWindow, ZonedWindow, is_open

Names = Mapping[ZonedWindow, Sequence[str]]
"""Who says that calls are made within these hours only."""
_A_MOMENT = timedelta(microseconds=1)
_OF_THE_HOUR = frozenset({Reason.NOT_BEFORE, Reason.OUTSIDE_WINDOW, Reason.NOT_STARTED})
_OF_THIS_MOMENT = frozenset({Reason.FROZEN, Reason.ACCOUNT_STOPPED, Reason.NOT_RUNNING, Reason.PERSON_IN_CALL})


@dataclass(frozen=True, slots=True)
class Explanation:
    """When somebody may be called next, and why then."""

    due_at: datetime | None
    """None: never, as things are."""
    because: tuple[str, ...]
    """What makes it that moment and no earlier one; empty: nothing stands in the way."""
    held_up: tuple[str, ...]
    """What keeps everybody from being called at the moment that was asked about, whatever the hour."""

    @property
    def text(self) -> str:
        """All of it as one sentence."""
        return "; ".join((*self.because, *(f"nobody is called now: {each}" for each in self.held_up)))


def explain(facts: Facts, now: datetime, *, names: Names, wish: str | None = None) -> Explanation:
    """Why the prospect may be called when `when_due` says, and not sooner. `wish` is what asked for `not_before`."""
    held_up = tuple(_held_up(facts))
    due_at = when_due(facts, now)
    if isinstance(due_at, Refused):
        return Explanation(None, (due_at.detail,), held_up)
    zone = next((rule.zone for rule in facts.windows), None)
    because = []
    earliest = now
    if facts.not_before is not None and facts.not_before > now:
        because.append(f"{wish or 'it was asked'}: not before {shown(facts.not_before, zone)}")
        earliest = facts.not_before
    if facts.starts_at is not None and facts.starts_at > now:
        because.append(f"the campaign starts at {shown(facts.starts_at, zone)}")
        earliest = max(earliest, facts.starts_at)
    if due_at > earliest:
        because = [*_shut(facts.windows, earliest, due_at, "then" if because else "now", names), *because]
    verdict = decide(facts, now)
    if isinstance(verdict, Refused) and verdict.reason not in _OF_THE_HOUR | _OF_THIS_MOMENT:
        because.insert(0, verdict.detail)
    return Explanation(due_at, tuple(because), held_up)


def shown(at: datetime, zone: ZoneInfo | None) -> str:
    """A moment by the clocks of a zone, and in UTC."""
    utc = at.astimezone(UTC)
    if zone is None or zone.key == "UTC":
        return f"{utc:%Y-%m-%d %H:%M} UTC"
    local = at.astimezone(zone)
    day = "" if local.date() == utc.date() else "%m-%d "
    return f"{local:%Y-%m-%d %H:%M} {zone.key} ({utc.strftime(f'{day}%H:%M')} UTC)"


def _shut(
    windows: Collection[ZonedWindow], earliest: datetime, due_at: datetime, when: str, names: Names
) -> Iterator[str]:
    """Who permits no call a moment before `due_at`, or on a day on the way, in which hours, and what time it is."""
    found: dict[tuple[str, CallingWindow], list[str]] = defaultdict(list)
    for rule in windows:
        local = earliest.astimezone(rule.zone)
        special = list(_special(rule, local.date(), due_at.astimezone(rule.zone).date()))
        if is_open([rule], due_at - _A_MOMENT, closing=CLOSING) and not special:
            continue
        if special:
            there = f"{_listed(special)} in {rule.zone.key}"
        elif not is_open([rule], earliest, closing=timedelta(0)):
            there = f"it is {local:%a %H:%M} in {rule.zone.key} {when}"
        elif not is_open([rule], earliest, closing=CLOSING):
            there = f"it is {local:%H:%M} in {rule.zone.key} {when}: none begins in the last two minutes"
        else:
            there = f"in {rule.zone.key} that begins anew at {due_at.astimezone(rule.zone):%a %H:%M}"
        found[_listed(names.get(rule, ["the calling rules"])), rule.window].append(there)
    for (who, window), places in found.items():
        yield f"{who}: calls only {window.describe()}, and {_listed(places)}"


def _special(rule: ZonedWindow, first: date, last: date) -> Iterator[str]:
    """The holidays and closed dates from `first` until `last`: no call is made for them."""
    if rule.days is not None:
        for day in (first + timedelta(days=turn) for turn in range((last - first).days)):
            if (name := rule.days.name_of(day)) is not None:
                yield f"{day:%a %Y-%m-%d} is {name}"


def _held_up(facts: Facts) -> Iterator[str]:
    if facts.frozen:
        yield "all dialling is frozen"
    if facts.account_stop is not None:
        yield f"the account is stopped: {facts.account_stop}"
    if facts.campaign_state is not CampaignState.RUNNING:
        yield f"the campaign is {facts.campaign_state}"
    if facts.person_in_call:
        yield "another call to this person is open"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
