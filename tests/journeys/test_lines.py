"""Every line busy and no limit exceeded, with real workers: fewer lines than the account says, and the send slots."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from campaigns.models import Call, Pace, Prospect
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from tests.harness import System
from tests.journeys.conftest import SPEED
from tests.journeys.promises import states
from tests.processes import eventually

RATE = 1.5


def people(area: str, count: int) -> list[dict[str, str]]:
    return [{"phone": f"+1{area}55501{turn:02}"} for turn in range(count)]


def test_with_fewer_lines_than_the_account_says_everybody_is_called_and_few_calls_are_refused(
    shared_system: System,
) -> None:
    system = shared_system
    forms = {"blocked": "646", "reject": "917", "ended": "332"}  # what the provider makes of a call too many
    providers = {
        form: system.provider(form, speed=SPEED, concurrency=4, over_concurrency=form, outcomes={"answered": 1})
        for form in forms
    }
    for form, area in forms.items():
        system.account(providers[form], form, concurrency=9)
        system.campaign(form, account=form, retry={"max_attempts": 1, "max_calls": 20})
        system.import_people(people(area, 18), campaign=form)
        system.command(Command.START, campaign=form)
    met_full_lines = {}
    for form, provider in providers.items():
        eventually(lambda form=form: system.progress(form).finished >= 6, "a third are called")
        assert re.search(r"in use of [1-4] \(otherwise 9\)", system.outbound("accounts", "show", form))
        met_full_lines[form] = provider.ledger()["totals"]["over_concurrency"].get(form, 0)
        assert met_full_lines[form] <= 9  # those that were on their way when the first answer came
    assert "fewer lines" in system.outbound("status")
    system.until_over(*forms)
    for form, provider in providers.items():
        totals = provider.ledger()["totals"]
        assert totals["over_concurrency"].get(form, 0) == met_full_lines[form]
        assert totals["max_concurrent_calls"] == 4
        assert totals["overlapping_calls"] == {}
        assert set(states(system, form).values()) == {ProspectState.COMPLETED}
    with system.session() as session:
        attempts = select(Prospect.attempts).join(Call).where(Call.provider_id.is_not(None))
        assert set(session.scalars(attempts)) == {1}


def test_calls_that_wait_for_a_line_are_ended_by_a_pause_and_made_after_the_resume(shared_system: System) -> None:
    system = shared_system
    provider = system.provider(
        "waiting", speed=SPEED, concurrency=2, outcomes={"no_answer": 1}, durations={"no_answer": [9e5, 9e5]}
    )
    system.account(provider, "waiting", concurrency=8)
    system.campaign("waiting", account="waiting", retry={"max_attempts": 1, "no_answer": ["1m"]}, max_duration="12h")
    system.import_people(people("347", 6), campaign="waiting")
    system.command(Command.START, campaign="waiting")
    eventually(lambda: blocked(provider.ledger()), "calls wait for a line")
    eventually(lambda: in_state(system, "waiting", CallState.PLACING, CallState.CLAIMED) == 0, "all answers are here")
    waiting = {call["id"] for call in blocked(provider.ledger())}
    system.outbound("campaign", "pause", "waiting", "--why", "a pause")
    eventually(lambda: not open_and_blocked(provider.ledger()), "they are ended")
    ledger = provider.ledger()
    assert all(call["ringing"] is None for call in ledger["calls"] if call["id"] in waiting)
    found = Counter(states(system, "waiting").values())
    eventually(lambda: Counter(states(system, "waiting").values())[ProspectState.WAITING] == 4, f"due again: {found}")
    with system.session() as session:
        assert set(session.scalars(select(Prospect.attempts).where(Prospect.state == ProspectState.WAITING))) == {0}
    provider.set(concurrency=8, outcomes={"answered": 1}, durations={"no_answer": [1, 2]})
    for call in ledger["calls"]:
        if call["id"] not in waiting:  # by their end there is a line for the next, and with it the news of more
            system.outbound("calls", "hang-up", call["name"])
    system.command(Command.RESUME, campaign="waiting")
    eventually(
        lambda: Counter(states(system, "waiting").values())[ProspectState.COMPLETED] == 4, "they are called after all"
    )


def blocked(ledger: dict[str, Any]) -> list[dict[str, Any]]:
    return [call for call in ledger["calls"] if call["blocked"]]


def open_and_blocked(ledger: dict[str, Any]) -> list[dict[str, Any]]:
    return [call for call in blocked(ledger) if call["ended"] is None]


def in_state(system: System, account: str, *wanted: CallState) -> int:
    with system.session() as session:
        return len(session.scalars(select(Call.id).where(Call.state.in_(wanted))).all())


def test_a_campaign_whose_calls_fail_pauses_itself_and_nobody_is_lost(shared_system: System) -> None:
    system = shared_system
    provider = system.provider("failing", speed=SPEED, concurrency=4, outcomes={"pipeline_error": 1})
    system.account(provider, "failing", concurrency=4)
    system.campaign(
        "failing",
        account="failing",
        retry={"max_attempts": 1, "max_calls": 1},
        breaker={"share": 0.5, "calls": 6},
    )
    system.import_people(people("718", 16), campaign="failing")
    system.command(Command.START, campaign="failing")
    eventually(lambda: system.progress("failing").state == CampaignState.PAUSED, "it pauses itself")
    eventually(
        lambda: Counter(states(system, "failing").values()) == {ProspectState.WAITING: 16}, "nobody is lost to it"
    )
    assert "too many calls failed: " in system.outbound("status", fails=True)
    provider.set(outcomes={"answered": 1})
    system.outbound("campaign", "resume", "failing")
    system.until_over("failing")
    assert Counter(states(system, "failing").values()) == {ProspectState.COMPLETED: 16}


def test_no_second_sees_more_than_one_call_too_many_whatever_becomes_of_the_workers(system: System) -> None:
    system.start()
    provider = system.provider(
        speed=SPEED,
        concurrency=40,
        outcomes={"answered": 1},
        people={"+12125550103": {"faults": ["refuse_429"]}},
    )
    system.account(provider, concurrency=40, calls_per_second=RATE)
    system.campaign()
    system.import_people(people("212", 12))
    system.command(Command.START)
    eventually(lambda: provider.posts() >= 3, "some calls are placed")
    os.killpg(system["calls"].pid, signal.SIGSTOP)
    time.sleep(2)  # several slots are missed, by all workers at once
    os.killpg(system["calls"].pid, signal.SIGCONT)
    eventually(lambda: provider.posts() >= 6, "some more are placed")
    system["calls"].kill(children=True)  # what was claimed is offered again when its lease is over
    system.start("calls")
    system.until_over()
    assert provider.ledger()["totals"]["max_posts_in_a_second"] <= 3
    with system.session() as session:
        slots = session.scalars(select(Call.slot_at).where(Call.intent_at.is_not(None)).order_by(Call.slot_at)).all()
        assert session.scalar(select(Pace.next_slot)) is not None
    assert len(slots) >= 12
    assert all((later - earlier).total_seconds() >= 1 / RATE - 1e-5 for earlier, later in pairwise(slots))
