"""Calling rules as people and programs read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import typer

from campaigns.cli.output import print_table
from campaigns.pipeline.overruling import Override
from campaigns.rules.calling_rules import Jurisdiction
from campaigns.rules.calling_rules.rows import AttemptCap
from campaigns.rules.eligibility import CLOSING
from campaigns.rules.phone import Places
from campaigns.rules.place import Place
from campaigns.rules.windows import Interval, describe_hours, next_opening, overlap

HOLIDAYS_SHOWN = 3
AHEAD = 366  # days in which they are looked for
_ALL_DAY = (Interval(0, 24 * 60),)


def basis(row: Jurisdiction) -> str:
    """Where the hours of a row come from."""
    match row.basis:
        case "statute":
            return row.force.replace("_", " ")
        case "recommended":
            return "recommended only"
        case "operator":
            return "your own"
        case _:
            return "-"


def row(each: Jurisdiction, own: Override | None) -> dict[str, Any]:
    """One row, as JSON has it."""
    holidays = each.holidays
    return {
        "code": each.code,
        "name": each.name,
        "parent": each.parent,
        "hours": None if each.window is None else each.window.describe(),
        "basis": each.basis,
        "force": each.force,
        "zone": None if each.zone is None else each.zone.key,
        "consent": each.consent,
        "consent_otherwise": each.consent_otherwise,
        "consent_valid_days": None if each.consent_valid is None else each.consent_valid.days,
        "artificial_voice": "blocked" if each.artificial_voice_blocked else "allowed",
        "holidays": {
            "policy": holidays.policy,
            "calendar": holidays.calendar,
            "regional": holidays.regional,
            "hours": None if holidays.policy == "allowed" else describe_hours(holidays.left),
            "eve_hours": None if holidays.eve_hours is None else describe_hours(holidays.eve_hours),
            "closed": sorted(day.isoformat() for day in holidays.closed),
            "open": sorted(day.isoformat() for day in holidays.open),
            "note": holidays.note,
        },
        "caps": [cap(one) for one in each.caps],
        "verification": each.verification,
        "effective": each.effective,
        "citations": list(each.citations),
        "sources": list(each.sources),
        "note": each.note,
        "own": None if own is None else {"row": own.row, "who": own.who, "since": own.since, "why": own.why},
    }


def cap(one: AttemptCap) -> str:
    """A cap as a sentence would have it."""
    period = "for good" if one.period is None else f"in {one.period // timedelta(hours=1)} hours"
    after = "" if one.after is None else f" after a {one.after.replace('_', ' ')}"
    counts = "" if one.counts == "all" else f" ({one.counts.replace('_', ' ')})"
    return f"{one.calls} calls {period}{after}{counts}" + (f", {one.scope}" if one.scope else "")


@dataclass(frozen=True, slots=True)
class Shown:
    """All that applies to one number now."""

    number: str
    where: Places
    found: Place
    own: Mapping[str, Override]
    now: datetime

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        rules = self.found.applicable
        return {
            "phone": self.number,
            "country": self.where.country,
            "states": sorted(self.where.states),
            "zones": list(self.found.zones),
            "refused": self.refused(),
            "federal_only": rules.federal_only,
            "jurisdictions": [
                row(each, self.own.get(each.code)) | {"next_holidays": self._holidays(each)}
                for each in rules.jurisdictions
            ],
            "consent": [{"level": need.level, "in": need.code} for need in self.found.consent_needs],
            "clocks": [
                {"zone": zone, "now": self.now.astimezone(ZoneInfo(zone)), "today": today, "next_opening": opening}
                for zone, today, opening in self._clocks()
            ],
            "next_opening": self._opening(),
        }

    def refused(self) -> str | None:
        """Why nobody is called there at all, whatever the hour."""
        if self.found.applicable.refusal is not None:
            return self.found.applicable.refusal
        if self.found.voice_blocked is not None:
            return f"{self.found.voice_blocked} forbids sales calls by artificial voice, or may"
        return None if self.found.zones else "the time zone is not known"

    def print(self) -> None:
        """For people."""
        rules = self.found.applicable
        where = [self.where.country or "unknown country", *sorted(self.where.states)]
        typer.echo(f"{self.number}: {', '.join(where)}; {', '.join(self.found.zones) or 'unknown time zone'}")
        if rules.federal_only:
            typer.echo("federal only: no rules of a state of its own are listed, which does not prove that it has none")
        if refused := self.refused():
            typer.echo(f"not called: {refused}")
        if rules.jurisdictions:
            self._print_rows()
        for need in self.found.consent_needs:
            lasting = "" if need.valid is None else f", which lapses after {need.valid.days} days"
            typer.echo(f"{need.code} needs {need.level} consent{lasting}")
        for each in rules.jurisdictions:
            for one in each.caps:
                typer.echo(f"{each.code} permits at most {cap(one)}")
            if (own := self.own.get(each.code)) is not None:
                since = f"{own.since:%Y-%m-%d}"
                typer.echo(f"{each.code} is your own, by {own.who} since {since}: {own.why or 'stricter than shipped'}")
            if each.note:
                typer.echo(f"{each.code}: {each.note}")
            for source in each.sources:
                typer.echo(f"{each.code} by {source}")
        if self.found.windows:
            self._print_clocks()

    def _print_rows(self) -> None:
        print_table(
            "Rules that apply together",
            ("code", "hours", "by", "verified", "holidays", "next holidays"),
            [
                (
                    each.code,
                    "none known" if each.window is None else each.window.describe(),
                    basis(each),
                    each.verification,
                    each.holidays.policy,
                    ", ".join(f"{found['date']} {found['name']}" for found in self._holidays(each)),
                )
                for each in self.found.applicable.jurisdictions
            ],
        )

    def _print_clocks(self) -> None:
        print_table(
            "When",
            ("by the clock of", "now", "hours today", "next opening"),
            [
                (zone, f"{self.now.astimezone(ZoneInfo(zone)):%a %H:%M}", today, _moment(opening, zone))
                for zone, today, opening in self._clocks()
            ],
        )
        zone = self.found.zones[0]
        typer.echo(f"next call possible by all of them: {_moment(self._opening(), zone)}")

    def _clocks(self) -> list[tuple[str, str, datetime | None]]:
        """Each clock with the hours that all rules leave of its today, and when they are next open by it alone."""
        found = []
        for zone in self.found.zones:
            rules = [rule for rule in self.found.windows if rule.zone.key == zone]
            today = self.now.astimezone(ZoneInfo(zone)).date()
            hours: tuple[Interval, ...] = _ALL_DAY
            for rule in rules:
                left = None if rule.days is None else rule.days.remaining(today)
                hours = overlap(hours, rule.window.days[today.weekday()])
                hours = hours if left is None else overlap(hours, left)
            found.append((zone, describe_hours(hours), next_opening(rules, self.now, closing=CLOSING)))
        return found

    def _opening(self) -> datetime | None:
        if self.refused() is not None:
            return None
        return next_opening(self.found.windows, self.now, closing=CLOSING)

    def _holidays(self, each: Jurisdiction) -> list[dict[str, str]]:
        dates = each.holidays.dates(self.found.applicable.states)
        if dates is None:
            return []
        named = dates.named(self.now.date(), AHEAD)
        return [{"date": day.isoformat(), "name": name} for day, name in islice(named, HOLIDAYS_SHOWN)]


def _moment(opening: datetime | None, zone: str) -> str:
    return "none in five weeks" if opening is None else f"{opening.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M %Z}"
