"""The promises, judged after a campaign: what the provider's ledger says really happened against what we believe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from campaigns import clock
from campaigns.models import Call, Campaign, Event, Import, Outcome, Person, Prospect
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
        changes.append((_real(call, "accepted"), 1))
        if call["ended"] is not None:
            changes.append((_real(call, "ended"), -1))
    open_now, most = 0, 0
    for _, change in sorted(changes):
        open_now += change
        most = max(most, open_now)
    return most


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
    eventually(lambda: not _unapplied(system), "every stored event is applied, the late reports too")
    ledger = provider.ledger()
    _at_most_once(ledger["totals"], lines)
    for name in campaigns:
        _nobody_disappeared(system, name)
        _the_truth_about_every_call(
            system, name, [call for call in ledger["calls"] if call["metadata"]["campaign"] == name]
        )
    _nobody_rung_while_unresolved(system)
    return dict(ledger["totals"])


def _at_most_once(totals: Mapping[str, Any], lines: int) -> None:
    assert totals["repeated_names"] == {}  # promise 1: one POST for each call
    assert totals["overlapping_calls"] == {}  # promise 2: one live call for each person
    assert totals["max_open_calls"] <= lines  # promise 7
    assert totals["over_concurrency"] == {}


def _unapplied(system: System) -> list[int]:
    with system.session() as session:
        return list(session.scalars(select(Event.id).where(Event.applied_at.is_(None))))


def _nobody_disappeared(system: System, name: str) -> None:
    with system.session() as session:
        campaign = scheduling.find(session, name)
        progress = reporting.progress(session, campaign, now=clock.read(session).now)
        imported, in_file, repeated, rejected = session.execute(
            select(
                func.sum(Import.new), func.sum(Import.rows), func.sum(Import.already_there), func.sum(Import.rejected)
            ).where(Import.campaign_id == campaign.id)
        ).one()
        assert imported + repeated + rejected == in_file
        assert progress.total == imported
        assert set(progress.prospects) <= {*FINAL, ProspectState.REVIEW}
        counted = {key: number for key, number in reporting.count_from_rows(session, campaign.id).items() if number}
        kept = {f"prospect:{state}": number for state, number in progress.prospects.items()}
        kept |= {f"outcome:{outcome}": number for outcome, number in progress.outcomes.items()}
        kept |= {"call:made": progress.calls} if progress.calls else {}
        assert kept == counted
        over = select(Prospect.id).where(Prospect.campaign_id == campaign.id, Prospect.calls > 8)
        assert session.scalars(over).all() == []
        assert progress.lines == 0


def _the_truth_about_every_call(system: System, name: str, really: Sequence[Mapping[str, Any]]) -> None:
    with system.session() as session:
        campaign_id = scheduling.find(session, name).id
        calls = {str(call.id): call for call in session.scalars(select(Call).where(Call.campaign_id == campaign_id))}
        outcomes = {
            str(outcome.call_id): outcome
            for outcome in session.scalars(select(Outcome).where(Outcome.campaign_id == campaign_id))
        }
    for each in really:
        call = calls.pop(each["name"])
        assert call.provider_id == each["id"]
        assert call.state is CallState.ENDED
        assert call.incident is None
        assert call.ended_reason == each["ended_reason"]
        assert call.counted
        outcome = outcomes[each["name"]]
        assert call.settled_at is not None
        assert outcome.outcome in TRUTH[each["outcome"]], (each, outcome.outcome)
        assert outcome.complete or outcome.outcome in {OutcomeClass.NO_ANSWER, OutcomeClass.BUSY}
    for call in calls.values():  # of these the provider knows nothing
        assert call.state in {CallState.NOT_PLACED, CallState.REVIEW}, call.state
        assert call.provider_id is None
        assert call.counted == (call.state is CallState.REVIEW)


def _nobody_rung_while_unresolved(system: System) -> None:
    with system.session() as session:
        intended = session.scalars(
            select(Call)
            .where(Call.intent_at.is_not(None), Call.state != CallState.NOT_PLACED)
            .order_by(Call.person_id, Call.intent_at)
        ).all()
    for earlier, later in pairwise(intended):
        if earlier.person_id != later.person_id:
            continue
        assert earlier.settled_at is not None, "called again after a call that nobody can tell the end of"
        assert earlier.intent_at is not None
        assert later.intent_at is not None
        if earlier.prospect_id == later.prospect_id:
            assert later.intent_at >= earlier.settled_at
        else:  # another campaign or extension of the person: the earlier call is over, its report may be on its way
            assert earlier.ended_at is not None
            assert later.intent_at >= earlier.ended_at


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
    for each in really:
        if each["metadata"]["campaign"] != name:
            continue
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
            .join(Campaign)
            .where(Campaign.name == campaign)
        )
        return {number + extension: state for number, extension, state in rows}


def _real(call: Mapping[str, Any], what: str) -> datetime:
    return datetime.fromisoformat(call[what]["real"])
