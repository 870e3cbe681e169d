"""How a preflight looks: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import typer

from campaigns.cli.output import print_table
from campaigns.pipeline.forecasting import Forecast, Left, Outlook, Terms
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.forecast import SPREAD
from campaigns.vapi.checks import Check, Level
from campaigns.vapi.requests import CreateCall

ZONES = 12  # that are shown in a terminal; the JSON has them all


@dataclass(frozen=True, slots=True)
class Preflight:
    """All that was found out about a campaign."""

    name: str
    at: datetime
    """The campaign's time at which it was looked at."""
    zone: tzinfo
    definition: CampaignDefinition
    checks: Sequence[Check]
    outlook: Outlook
    terms: Terms
    forecast: Forecast | None
    samples: Sequence[CreateCall]

    @property
    def errors(self) -> list[Check]:
        """Why a start would be refused; empty where it would not be."""
        return [check for check in self.checks if check.level is Level.ERROR]

    @property
    def warnings(self) -> list[Check]:
        """What is likely to disappoint."""
        return [check for check in self.checks if check.level is Level.WARNING]


def print_preflight(found: Preflight) -> None:
    """The preflight as tables, what to do last."""
    verdict = "would not work" if found.errors else "would work"
    warned = f", with {len(found.warnings)} to look at" if found.warnings and not found.errors else ""
    typer.echo(f"Preflight of {found.name}: {verdict}{warned}")
    typer.echo(_as_if(found))
    print_table(f"\n{found.outlook.people:,} people", ("would be", "people", "why", "such as"), _people(found.outlook))
    if found.forecast is not None:
        print_table("\nFirst and last call, by the people's own clocks", _ZONES, _zones(found, found.forecast))
        print_table("\nForecast", ("", "expected", "between", "and"), _figures(found, found.forecast))
        typer.echo(_assumptions(found))
    for sample in found.samples[:1]:
        typer.echo("\nOne of the requests, with zeros for the call's id")
        typer.echo(json.dumps(shown(sample), indent=2, ensure_ascii=False))
    print_table("\nChecks", ("check", "is", "what to do"), [(each.what, each.level, each.say) for each in found.checks])


def as_json(found: Preflight) -> dict[str, Any]:
    """All of it as JSON: moments with their offset, money in US dollars."""
    return {
        "campaign": found.name,
        "at": found.at,
        "passed": not found.errors,
        "checks": [{"check": check.what, "level": check.level, "say": check.say} for check in found.checks],
        "people": {
            "total": found.outlook.people,
            "call": found.outlook.call,
            "skip": [_left_json(left) for left in found.outlook.skip],
            "hold": [_left_json(left) for left in found.outlook.hold],
            "in_review": found.outlook.review,
            "rejected_rows": found.outlook.rejected,
        },
        "forecast": None if found.forecast is None else _forecast_json(found, found.forecast),
        "requests": [shown(sample) for sample in found.samples],
    }


def money(amount: Decimal) -> str:
    """US dollars, to the cent."""
    return f"{amount:,.2f} USD"


def moment(at: datetime, zone: tzinfo, *, year: int | None = None) -> str:
    """A moment by the clock of `zone`, which it names, to the minute; without the year where it is `year`."""
    there = at.astimezone(zone)
    return f"{there:%a %m-%d %H:%M %Z}" if there.year == year else f"{there:%a %Y-%m-%d %H:%M %Z}"


def _as_if(found: Preflight) -> str:
    starts_at = found.definition.starts_at
    begin = found.at if starts_at is None else max(found.at, starts_at)
    return f"as if it were running from {moment(begin, found.zone)} on; nobody was called"


def _people(outlook: Outlook) -> Iterator[tuple[object, ...]]:
    yield "called", outlook.call, "", ""
    for verdict, lots in (("skipped", outlook.skip), ("held", outlook.hold)):
        for left in lots:
            yield verdict, left.count, _why(left), "\n".join(left.examples[:2])
    if outlook.review:
        yield "left in review", outlook.review, "a person has to decide whether they were called", ""


def _why(left: Left) -> str:
    return f"{left.reason}: {left.say}"


_ZONES = ("zone", "first call", "last call")


def _zones(found: Preflight, forecast: Forecast) -> list[tuple[str, ...]]:
    times = sorted(forecast.expected.first_and_last.items(), key=lambda item: item[1])
    rows: list[tuple[str, ...]] = [
        (" + ".join(zones), *(moment(at, ZoneInfo(zones[0]), year=found.at.year) for at in first_and_last))
        for zones, first_and_last in times[:ZONES]
    ]
    more = len(times) - ZONES
    return rows if more <= 0 else [*rows, (f"and {more:,} more: see --json", "", "")]


def _figures(found: Preflight, forecast: Forecast) -> Iterator[tuple[str, ...]]:
    expected = forecast.expected
    ends, year = (expected.finished_at, *forecast.finished_at), found.at.year
    yield "last call over", *(moment(at, found.zone, year=year) for at in ends)
    yield "calls", *(f"{each:,}" for each in (expected.calls, *forecast.calls))
    yield "minutes of talk", *(f"{each:,.0f}" for each in (expected.minutes, *forecast.minutes))
    if (prices := found.definition.prices) is not None:
        costs = (prices.per_minute * Decimal(each) for each in (expected.minutes, *forecast.minutes))
        yield "cost", *(money(cost) for cost in costs)
    for what, figures in (
        ("people reached", [course.reached for course in forecast.courses]),
        ("called in vain", [course.exhausted for course in forecast.courses]),
        ("left over at the end", [course.expired for course in forecast.courses]),
        ("without an hour left", [course.stuck for course in forecast.courses]),
    ):
        if any(figures):
            yield what, *(f"{each:,}" for each in (figures[0], min(figures), max(figures)))


def _assumptions(found: Preflight) -> str:
    terms, expected = found.terms, found.definition.expected
    with_others = ""
    if terms.shared_with:
        named = ", ".join(f"{name} (weight {weight})" for name, weight in terms.shared_with.items())
        with_others = f", shared with {named} as if they always had somebody to call"
    prices = "" if found.definition.prices is not None else "; [prices] in the campaign file adds what it costs"
    return (
        f"With {terms.means.lines:,} lines{with_others}; {expected.answered:.0%} of the calls answered and "
        f"{expected.talk.total_seconds():g} s of talk, or {SPREAD:.0%} more or less ([expected]){prices}."
    )


def _left_json(left: Left) -> dict[str, Any]:
    return {"reason": left.reason, "say": left.say, "people": left.count, "examples": list(left.examples)}


def _forecast_json(found: Preflight, forecast: Forecast) -> dict[str, Any]:
    expected, prices = forecast.expected, found.definition.prices
    minutes = (expected.minutes, *forecast.minutes)
    costs = None if prices is None else [round(prices.per_minute * Decimal(each), 2) for each in minutes]
    return {
        "lines": found.terms.means.lines,
        "shared_with": found.terms.shared_with,
        "finished_at": _range(expected.finished_at, forecast.finished_at),
        "calls": _range(expected.calls, forecast.calls),
        "minutes": _range(*_rounded(expected.minutes, forecast.minutes)),
        "cost": None if costs is None else _range(costs[0], (costs[1], costs[2])),
        "reached": expected.reached,
        "exhausted": expected.exhausted,
        "expired": expected.expired,
        "stuck": expected.stuck,
        "zones": [
            {"zones": list(zones), "first_call": first, "last_call": last}
            for zones, (first, last) in sorted(expected.first_and_last.items(), key=lambda item: item[1])
        ],
    }


def _rounded(expected: float, between: tuple[float, float]) -> tuple[float, tuple[float, float]]:
    return round(expected, 1), (round(between[0], 1), round(between[1], 1))


def _range(expected: object, between: tuple[object, object]) -> dict[str, object]:
    return {"expected": expected, "least": between[0], "most": between[1]}


_SECRET = ("secret", "token", "password", "apikey", "authorization", "headers", "credentials")


def shown(sample: CreateCall) -> dict[str, Any]:
    """The body as it would be sent, without what an assistant of the campaign's own file may hold of secrets."""
    return dict(_without_secrets(sample.body))


def _without_secrets(value: Any) -> Any:
    match value:
        case Mapping():
            return {
                name: "…" if str(name).lower().endswith(_SECRET) else _without_secrets(inner)
                for name, inner in value.items()
            }
        case list() | tuple():
            return [_without_secrets(inner) for inner in value]
        case _:
            return value
