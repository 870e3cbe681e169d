"""Every promise, judged after a case: what the provider's ledger says really happened against what we believe.

Nothing stops at the first finding, so that a row of the matrix says all that went wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from campaigns.models import Account, Call, Event
from campaigns.rules.call_state import CallState
from tests.chaos.people import NAME
from tests.chaos.running import CAMPAIGNS, RATES, Run, of_a_number
from tests.chaos.witnessing import witnessed
from tests.journeys.promises import (
    DOUBLE,
    LIMIT,
    LOST,
    SEND_BUDGET,
    WRONG,
    Broken,
    at_most_once,
    most_at_once,
    nobody_disappeared,
    nobody_rung_while_unresolved,
    of_campaign,
    real,
    the_truth_about_every_call,
    unapplied,
    within_lines,
)
from tests.processes import KEY, SECRET

UNDER_WAY = timedelta(seconds=1)  # from the last look at the send budget to the provider's note of the request
ON_THE_WAY = 0.3
"""Seconds by which one call may come later behind its turn than another: a thread wakes, the stand-in looks, and a
dozen processes fill the processors. On idle ones `make bench NAME=pace` has it to the call."""
CALL_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EVIDENCE = (
    "SELECT to_jsonb(calls) FROM calls WHERE id = '{call}'",
    "SELECT to_jsonb(outcomes) FROM outcomes WHERE call_id = '{call}'",
    "SELECT to_jsonb(events) - 'body' FROM events WHERE call_id = '{call}' ORDER BY id",
)
TEN_DIGITS = re.compile(r"(?<![\w.-])\+?1?([2-9]\d{9})(?![\w-])")


@dataclass(frozen=True)
class Findings:
    """What a case showed."""

    broken: Sequence[Broken]
    review: int
    posts: int

    def figure(self, name: str) -> int:
        """How many findings of that kind there are."""
        return sum(each.figure == name for each in self.broken)


def judge(run: Run) -> Findings:
    """All that is to be said against the run."""
    ledger = run.provider.ledger()
    totals, really = ledger["totals"], ledger["calls"]
    broken = [*run.watch.seen.values(), *at_most_once(totals)]
    if not run.case.full_lines:
        broken += within_lines(totals, sum(run.case.lines.values()))
    for campaign, account in CAMPAIGNS.items():
        own = of_campaign(really, campaign)
        broken += nobody_disappeared(run.system, campaign)
        broken += the_truth_about_every_call(run.system, campaign, own)
        if (most := most_at_once(own)) > run.case.lines[account] and not run.case.full_lines:
            broken.append(Broken(LIMIT, f"{most} calls of {account} were open at once, of {run.case.lines[account]}"))
        broken += _within_numbers(run, account, own)
        broken += _within_rate(run, account, own)
    broken += nobody_rung_while_unresolved(run.system)
    broken += _at_rest(run)
    broken += _sent_in_time(run, really)
    broken += _one_event_for_each_message(run, totals)
    broken += _stopped(run, really)
    broken += _nothing_said_of_people(run)
    times, killed = witnessed(run.witness)
    if run.missed or (not times and any(point["do"] != "sleep" for point in run.case.points)):
        broken.append(Broken(WRONG, f"it was over too soon: {run.missed} faults were missed, {times} came"))
    review, most_review = _in_review(run), run.orphaned + killed + _not_accepted(totals)
    if review > most_review:
        broken.append(Broken(WRONG, f"{review} calls are in review, where {most_review} may be"))
    if run.watch.looks == 0:
        broken.append(Broken(WRONG, "nobody looked at the tables while it ran"))
    return Findings(broken, review, totals["accepted"])


def keep_evidence(run: Run, findings: Findings) -> None:
    """What the tables and the provider say of the calls that were found fault with, in the case's folder.

    Its database goes with it.
    """
    accused = set(CALL_ID.findall(" ".join(str(each) for each in findings.broken)))
    with (run.system.folder / "evidence").open("w") as file:
        for call in sorted(accused):
            for query in EVIDENCE:
                for row in run.sql(query.format(call=call)):
                    file.write(f"{call} {row[0]}\n")
        for each in run.provider.ledger()["calls"]:
            if each["name"] in accused:
                file.write(f"{each['name']} really: {each}\n")


def _in_review(run: Run) -> int:
    with run.system.session() as session:
        return session.scalars(select(func.count()).where(Call.state == CallState.REVIEW)).one()


def _not_accepted(totals: Mapping[str, Any]) -> int:
    """POSTs whose answer said that the provider is in trouble, and which it did not take."""
    refused = sum(number for status, number in totals["refused"].items() if int(status) >= 500)
    return int(refused + sum(number for fault, number in totals["post_faults"].items() if fault == "refuse_reset"))


def _at_rest(run: Run) -> Iterator[Broken]:
    with run.system.session() as session:
        rows = session.execute(
            select(Call.state, func.count())
            .where(Call.state.not_in([CallState.ENDED, CallState.NOT_PLACED, CallState.REVIEW]))
            .group_by(Call.state)
        ).all()
        ended_twice = session.execute(
            select(Event.call_id)
            .where(Event.effect == "move to ended")
            .group_by(Event.call_id)
            .having(func.count() > 1)
        ).all()
    for state, number in rows:
        yield Broken(LOST, f"{number} calls are left {state}")
    if ended_twice:
        yield Broken(WRONG, f"{len(ended_twice)} calls were over and went on")
    if left := unapplied(run.system):
        yield Broken(WRONG, f"{len(left)} stored events were never applied")


def _within_numbers(run: Run, account: str, really: Sequence[Mapping[str, Any]]) -> Iterator[Broken]:
    """No caller number has more calls at once than it may, by what the provider saw of the calls that we gave it."""
    with run.system.session() as session:
        number_of = {str(call): number for call, number in session.execute(select(Call.id, Call.phone_number_id))}
    by_number: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for each in really:
        by_number[number_of.get(each["name"])].append(each)
    limit = of_a_number(run.case.lines[account])
    for calls in by_number.values():
        if (most := most_at_once(calls)) > limit and not run.case.full_lines:
            yield Broken(LIMIT, f"{most} calls were open at once from one number of {account}, of {limit}")


def _within_rate(run: Run, account: str, really: Sequence[Mapping[str, Any]]) -> Iterator[Broken]:
    """Send slots keep their distance in our ledger; in a second the provider sees one more, and who was on the way."""
    rate = RATES[account]
    with run.system.session() as session:
        slots = {
            str(row.id): row.slot_at
            for row in session.execute(
                select(Call.id, Call.slot_at)
                .join(Account, Account.id == Call.account_id)
                .where(Account.name == account, Call.intent_at.is_not(None))
                .order_by(Call.slot_at)
            )
        }
    crowded = sum(later - earlier < timedelta(seconds=0.999 / rate) for earlier, later in pairwise(slots.values()))
    if crowded:
        yield Broken(LIMIT, f"{crowded} send slots of {account} are closer than {rate:g} a second allow")
    accepted = sorted((real(each, "accepted"), str(each["name"])) for each in really)
    moments = [moment for moment, _ in accepted]
    firsts = [bisect_left(moments, moment - timedelta(seconds=0.999)) for moment in moments]
    most, last = max(((turn + 1 - first, turn) for turn, first in enumerate(firsts)), default=(0, 0))
    if most > rate * (1 + ON_THE_WAY) + 1:
        theirs = [slots[name] for _, name in accepted[firsts[last] : last + 1] if name in slots]
        over = (max(theirs) - min(theirs)).total_seconds() if theirs else 0
        what = f"{most} calls of {account} were sent within a second, of {rate:g}, at slots within {over:g} s"
        yield Broken(LIMIT, what)


def _sent_in_time(run: Run, really: Sequence[Mapping[str, Any]]) -> Iterator[Broken]:
    with run.system.session() as session:
        intents = {
            str(call): intent
            for call, intent in session.execute(select(Call.id, Call.intent_at).where(Call.intent_at.is_not(None)))
        }
    for each in really:
        intent = intents.get(each["name"])
        if intent is None:
            yield Broken(DOUBLE, f"call {each['name']} was sent without an intent")
            continue
        late = (datetime.fromisoformat(each["accepted"]["simulated"]) - intent) / run.system.speed
        if late > SEND_BUDGET + UNDER_WAY:
            yield Broken(WRONG, f"call {each['name']} was sent {late.total_seconds():.1f} s after its intent")


def _one_event_for_each_message(run: Run, totals: Mapping[str, Any]) -> Iterator[Broken]:
    with run.system.session() as session:
        repeated = session.execute(
            select(Event.dedupe_key).group_by(Event.account_id, Event.dedupe_key).having(func.count() > 1)
        ).all()
        pushed = session.scalars(select(func.count()).where(Event.learned == "pushed")).one()
    if repeated:
        yield Broken(WRONG, f"{len(repeated)} messages are stored more than once")
    sent = totals["webhooks"].get("messages", 0) - totals["webhooks"].get("lost", 0)
    if pushed > sent:
        yield Broken(WRONG, f"{pushed} events were stored of {sent} messages")


def _stopped(run: Run, really: Sequence[Mapping[str, Any]]) -> Iterator[Broken]:
    """After a stop has returned nothing is placed but what it named."""
    by_time: dict[str, list[str]] = defaultdict(list)
    for stop in run.stops:
        for each in really:
            if not stop.returned < real(each, "accepted") <= stop.until or each["name"] in stop.named:
                continue
            if stop.number in {None, each["number"]} and stop.campaign in {None, each["metadata"]["campaign"]}:
                by_time[stop.what].append(each["name"])
    for what, names in by_time.items():
        yield Broken(WRONG, f"{len(names)} calls were placed after a {what} had returned, {names[0]} for one")


def _nothing_said_of_people(run: Run) -> Iterator[Broken]:
    """Promise 9: no number, name or key in a log or in what goes through Redis."""
    numbers = {person["phone"][2:] for people in run.people.values() for person in people}
    for where, lines in (("a log", run.system.said().splitlines()), ("a hint", run.heard.said())):
        for line in lines:
            told = numbers.intersection(TEN_DIGITS.findall(line))
            if told or any(secret in line for secret in (KEY, SECRET, NAME)):
                yield Broken(WRONG, f"{where} says too much: {line.strip()[:200]}")
                break
