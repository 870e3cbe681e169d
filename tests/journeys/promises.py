"""The promises, judged after a campaign: what the provider's ledger says really happened against what we believe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from campaigns import clock
from campaigns.ledger import spending
from campaigns.models import Call, Campaign, Event, Import, Outcome, Person, Prospect, Spending
from campaigns.pipeline import reporting, scheduling
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import FINAL, ProspectState
from tests.harness import System
from tests.processes import Provider, eventually

CLOSING = timedelta(minutes=2)  # before the end of its hours nobody is called any more
SEND_BUDGET = timedelta(seconds=5)  # real seconds from the intent within which a request leaves, or never does

TRUTH = {
    "answered": {OutcomeClass.COMPLETED},
    "no_answer": {OutcomeClass.NO_ANSWER},
    "busy": {OutcomeClass.BUSY},
    "voicemail": {OutcomeClass.VOICEMAIL},
    "failed": {OutcomeClass.TRANSPORT_ERROR, OutcomeClass.CUSTOMER_SIDE},
    "pipeline_error": {OutcomeClass.PIPELINE_ERROR},
}
"""How a call went in the simulator → what we may make of it."""

NO_LINE = "call.start.error-subscription-concurrency-limit-reached"


@dataclass(frozen=True)
class Hours:
    """Hours of every day by the wall clock, checked without the product's own code."""

    spans: tuple[tuple[time, time], ...]

    def __str__(self) -> str:
        return "Mon-Sun " + ", ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in self.spans)

    def contain(self, moment: datetime, zone: str, *, margin: timedelta = timedelta(0)) -> bool:
        first, last = (at.astimezone(ZoneInfo(zone)).time() for at in (moment, moment + margin))
        return any(start <= first <= last < end for start, end in self.spans)


def most_at_once(calls: Iterable[Mapping[str, Any]]) -> int:
    """How many of these calls of the ledger were open at one real instant."""
    changes = []
    for call in calls:
        changes.append((real(call, "accepted"), 1))
        if call["ended"] is not None:
            changes.append((real(call, "ended"), -1))
    open_now, most = 0, 0
    for _, change in sorted(changes):
        open_now += change
        most = max(most, open_now)
    return most


@dataclass(frozen=True)
class Broken:
    """One promise that was not kept, and how that shows. `figure` is the column of the fault matrix it counts in."""

    figure: str
    what: str

    def __str__(self) -> str:
        return f"{self.figure}: {self.what}"


DOUBLE, LOST, LIMIT, WRONG = "double_calls", "lost", "over_limit", "wrong"


def judge(
    system: System, provider: Provider, *campaigns: str, lines: int, hours: Hours, zones: Mapping[str, str]
) -> dict[str, Any]:
    """Fail where a promise was broken in these campaigns; returns the provider's totals.

    `zones` maps the first digits of a number to the zone in which its owner lives.
    """
    totals = judge_calls(system, provider, *campaigns, lines=lines)
    for name in campaigns:
        _only_within_hours(system, name, provider.ledger()["calls"], hours, zones)
    return totals


def judge_calls(system: System, provider: Provider, *campaigns: str, lines: int) -> dict[str, Any]:
    """The same without the hours."""
    eventually(lambda: not unapplied(system), "every stored event is applied, the late reports too")
    ledger = provider.ledger()
    broken = [*at_most_once(ledger["totals"]), *within_lines(ledger["totals"], lines)]
    for name in campaigns:
        broken += nobody_disappeared(system, name)
        broken += the_truth_about_every_call(system, name, of_campaign(ledger["calls"], name))
    broken += nobody_rung_while_unresolved(system)
    assert [str(each) for each in broken] == []
    return dict(ledger["totals"])


def of_campaign(really: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Those calls of the ledger that the campaign made."""
    return [call for call in really if call["metadata"]["campaign"] == name]


def at_most_once(totals: Mapping[str, Any]) -> Iterator[Broken]:
    """Promises 1 and 2: one POST for each call, one live call for each person."""
    for name, posts in totals["repeated_names"].items():
        yield Broken(DOUBLE, f"call {name} was posted {posts} times")
    for number, times in totals["overlapping_calls"].items():
        yield Broken(DOUBLE, f"{number} was called {times} times more while a call to it was going on")


def within_lines(totals: Mapping[str, Any], lines: int) -> Iterator[Broken]:
    """Promise 7, as the provider saw it."""
    if totals["max_open_calls"] > lines:
        yield Broken(LIMIT, f"{totals['max_open_calls']} calls were open at once on {lines} lines")
    if totals["over_concurrency"]:
        yield Broken(LIMIT, f"requests met full lines: {totals['over_concurrency']}")


def unapplied(system: System) -> list[int]:
    """Stored events that were not applied yet."""
    with system.session() as session:
        return list(session.scalars(select(Event.id).where(Event.applied_at.is_(None))))


def nobody_disappeared(system: System, name: str) -> Iterator[Broken]:
    """Promise 3, and that what is counted on the way equals what the rows say."""
    with system.session() as session:
        campaign = scheduling.find(session, name)
        progress = reporting.progress(session, campaign, now=clock.read(session).now)
        counted = {key: number for key, number in reporting.count_from_rows(session, campaign.id).items() if number}
        imported, in_file, repeated, rejected = session.execute(
            select(
                func.sum(Import.new), func.sum(Import.rows), func.sum(Import.already_there), func.sum(Import.rejected)
            ).where(Import.campaign_id == campaign.id)
        ).one()
        over = session.scalars(select(Prospect.id).where(Prospect.campaign_id == campaign.id, Prospect.calls > 8)).all()
        money = session.get(Spending, campaign.id)
        paid = {} if money is None else spending.from_rows(session, campaign.id, money.day)
        unpaid = {name: (getattr(money, name), sum_) for name, sum_ in paid.items() if getattr(money, name) != sum_}
    if imported + repeated + rejected != in_file or progress.total != imported:
        yield Broken(LOST, f"{name}: of {in_file} rows {imported} were imported, and {progress.total} people are there")
    for state in sorted(set(progress.prospects) - {*FINAL, ProspectState.REVIEW}):
        for _ in range(progress.prospects[state]):
            yield Broken(LOST, f"{name}: somebody is left {state}")
    kept = {f"prospect:{state}": number for state, number in progress.prospects.items()}
    kept |= {f"outcome:{outcome}": number for outcome, number in progress.outcomes.items()}
    kept |= {"call:made": progress.calls} if progress.calls else {}
    if kept != counted:
        found = {
            key: (kept.get(key), counted.get(key)) for key in {*kept, *counted} if kept.get(key) != counted.get(key)
        }
        yield Broken(WRONG, f"{name}: the tallies are not what the rows say: {found}")
    if unpaid:
        yield Broken(WRONG, f"{name}: what was spent is not what the calls say: {unpaid}")
    if over:
        yield Broken(LIMIT, f"{name}: {len(over)} people were called more than 8 times")
    if progress.lines:
        yield Broken(WRONG, f"{name}: {progress.lines} lines are held at rest")


def the_truth_about_every_call(system: System, name: str, really: Sequence[Mapping[str, Any]]) -> Iterator[Broken]:
    """Promise 6: whatever the provider accepted has its true end, and of the rest nothing is made up."""
    with system.session() as session:
        campaign_id = scheduling.find(session, name).id
        calls = {str(call.id): call for call in session.scalars(select(Call).where(Call.campaign_id == campaign_id))}
        outcomes = {
            str(outcome.call_id): outcome
            for outcome in session.scalars(select(Outcome).where(Outcome.campaign_id == campaign_id))
        }
    accepted = {each["name"]: each for each in reversed(really)}  # of one that was sent twice, the first
    for each in accepted.values():
        call = calls.pop(each["name"], None)
        if call is None:
            yield Broken(LOST, f"the provider accepted {each['name']}, which no call of ours is")
            continue
        outcome = outcomes.get(each["name"])
        truth = {OutcomeClass.CAPACITY} if each["ended_reason"] == NO_LINE else TRUTH[each["outcome"]]
        problems = {
            "it has another provider id": call.provider_id != each["id"],
            f"it is {call.state}": call.state is not CallState.ENDED,
            f"there is an incident: {call.incident}": call.incident is not None,
            f"it ended with {call.ended_reason}, really {each['ended_reason']}": call.ended_reason
            != each["ended_reason"],
            "it is not counted": not call.counted,
            "it is not settled": call.settled_at is None,
            f"its outcome is {outcome and outcome.outcome}, really {each['outcome']}": outcome is None
            or outcome.outcome not in truth,
            "its outcome is incomplete": outcome is not None
            and not (
                outcome.complete
                or outcome.outcome in {OutcomeClass.NO_ANSWER, OutcomeClass.BUSY}
                or each["ringing"] is None  # what failed before it rang is settled by its end alone
            ),
        }
        if found := [words for words, is_so in problems.items() if is_so]:
            yield Broken(LOST, f"call {each['name']}, accepted {each['accepted']['real']}: {', '.join(found)}")
    for call in calls.values():  # of these the provider knows nothing
        if call.state not in {CallState.NOT_PLACED, CallState.REVIEW}:
            yield Broken(WRONG, f"call {call.id} is {call.state}, but the provider has never seen it")
        elif call.provider_id is not None or call.counted != (call.state is CallState.REVIEW):
            yield Broken(WRONG, f"call {call.id} is {call.state}, counted: {call.counted}, with {call.provider_id}")


def nobody_rung_while_unresolved(system: System) -> Iterator[Broken]:
    """Promise 6: the next call to a person comes after the end of the last, and to a prospect after its settling."""
    with system.session() as session:
        intended = session.scalars(
            select(Call)
            .where(Call.intent_at.is_not(None), Call.state != CallState.NOT_PLACED)
            .order_by(Call.person_id, Call.intent_at)
        ).all()
    for earlier, later in pairwise(intended):
        if earlier.person_id != later.person_id:
            continue
        assert later.intent_at is not None
        # Another campaign or extension of the person: the earlier call is over, its report may be on its way.
        over = earlier.settled_at if earlier.prospect_id == later.prospect_id else earlier.ended_at
        if earlier.settled_at is None:
            yield Broken(DOUBLE, f"call {later.id} went to the person of {earlier.id}, whose end nobody can tell")
        elif over is None or later.intent_at < over:
            yield Broken(DOUBLE, f"call {later.id} was sent before {earlier.id} to the same person was over")


def _only_within_hours(
    system: System, name: str, really: Sequence[Mapping[str, Any]], hours: Hours, zones: Mapping[str, str]
) -> None:
    with system.session() as session:
        rows = session.execute(
            select(Call.id, Call.intent_at, Person.number)
            .select_from(Call)
            .join(Person)
            .join(Campaign)
            .where(Campaign.name == name, Call.intent_at.is_not(None))
        ).all()
    intents: dict[str, datetime] = {}
    for call_id, intent_at, number in rows:
        assert intent_at is not None
        intents[str(call_id)] = intent_at
        assert hours.contain(intent_at, zone_of(number, zones), margin=CLOSING), (number, intent_at)
    for each in of_campaign(really, name):
        accepted = datetime.fromisoformat(each["accepted"]["simulated"])
        delay = accepted - intents[each["name"]]
        assert delay / system.speed <= SEND_BUDGET
        # On a clock that runs this fast two minutes are a second: a machine that stalls for one is not our doing.
        assert hours.contain(accepted, zone_of(each["number"], zones)) or delay > CLOSING, each


def zone_of(number: str, zones: Mapping[str, str]) -> str:
    return next(zone for start, zone in zones.items() if number.startswith(start))


def states(system: System, campaign: str) -> dict[str, ProspectState]:
    """Number and extension → where that person of the campaign stands."""
    with system.session() as session:
        rows = session.execute(
            select(Person.number, Prospect.extension, Prospect.state)
            .select_from(Prospect)
            .join(Person)
            .join(Campaign, Campaign.id == Prospect.campaign_id)
            .where(Campaign.name == campaign)
        )
        return {number + extension: state for number, extension, state in rows}


def real(call: Mapping[str, Any], what: str) -> datetime:
    """The real instant at which a call of the ledger was `accepted`, `ended` and so on."""
    return datetime.fromisoformat(call[what]["real"])
