"""A mixed campaign through everything that can go wrong between us and the provider."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import time as clock_time
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from campaigns import clock
from campaigns.models import Call, Event
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.prospect_state import ProspectState
from tests.harness import ORIGIN, System
from tests.journeys.promises import Hours, judge, most_at_once, states
from tests.processes import Provider, descendants, eventually

LINES = 12
MANY = 12  # people who are done with before the campaign ends, of some forty whom it may call
ZONES = {"+1212": "America/New_York", "+1312": "America/Chicago", "+1808": "Pacific/Honolulu"}
# It is 10:00 in New York and 09:00 in Chicago: one closes for a while soon after the other has opened. In Honolulu it
# is 05:00, and the campaign is over before it opens there: it ends once the storm has shown all it has, however long
# that takes this machine.
HOURS = Hours(((clock_time(9, 3), clock_time(10, 9)), (clock_time(10, 11), clock_time(14))))
OPENS_IN_HONOLULU = ORIGIN + timedelta(hours=4)
SUPPRESSED = "+12125550120"
ACCEPTED_ALL_THE_SAME = ("accept_then_500", "accept_then_reset", "accept_then_hang")

NEW_YORK = [{"phone": f"+1 212 555 01{turn:02}", "ext": ""} for turn in range(24)]
SAME_DESK = [{"phone": f"+1 212 555 01{turn:02}", "ext": "7"} for turn in range(12, 16)]
CHICAGO = [{"phone": f"(312) 555-01{turn:02}", "ext": ""} for turn in range(16)]
HONOLULU = [{"phone": f"808.555.01{turn:02}", "ext": ""} for turn in range(4)]
NOWHERE = [{"phone": f"800 555 01{turn:02}", "ext": ""} for turn in range(2)]
UNUSABLE = [{"phone": "n/a", "ext": ""}, NEW_YORK[0]]


def trouble(system: System, provider: Provider) -> Iterator[None]:
    """Hints come twice, workers end without a word and Redis forgets, in the middle of requests."""
    with system.hints_repeated():
        yield from _killed_and_forgotten(system, provider)


def _killed_and_forgotten(system: System, provider: Provider) -> Iterator[None]:
    # Requests are under way when their senders are killed: the provider answers again only afterwards.
    os.kill(provider.pid, signal.SIGSTOP)
    system.command(Command.START)
    try:
        eventually(lambda: _placing(system) >= 3, "requests are under way")
        system["calls"].kill(children=True)
    finally:
        os.kill(provider.pid, signal.SIGCONT)
    yield
    system.start("calls")
    system["events"].kill(children=True)
    system.empty_redis()
    yield
    system.start("events")
    system["calls"].kill()  # its children finish what they do
    system.empty_redis()
    yield
    system.start("calls")
    os.kill(descendants(system["calls"].pid)[0], signal.SIGKILL)
    system["dispatch,upkeep"].kill(children=True)
    system.start("dispatch,upkeep")
    yield
    system.empty_redis()


def _placing(system: System) -> int:
    with system.session() as session:
        return len(session.scalars(select(Call.id).where(Call.state == CallState.PLACING)).all())


def _shown_everything(system: System, provider: Provider) -> bool:
    """Whether the storm has met everything that it is there for."""
    system.check_processes()
    ledger = provider.ledger()
    seen = {(call["metadata"]["campaign"], call["number"][:5]) for call in ledger["calls"]}
    return (
        ledger["totals"]["post_faults"].keys() >= set(ACCEPTED_ALL_THE_SAME)
        and seen >= {(campaign, city) for campaign in ("spring", "autumn") for city in ("+1212", "+1312")}
        and min(ledger["totals"]["webhooks"][what] for what in ("lost", "doubled")) > 0
        and system.progress().prospects.get(ProspectState.COMPLETED, 0) >= MANY
    )


def test_every_promise_is_kept(system: System) -> None:
    system.start()
    provider = system.provider(
        speed=90,
        concurrency=LINES,
        webhooks={"lost": 0.05, "doubled": 0.2},
        post_faults={**dict.fromkeys(ACCEPTED_ALL_THE_SAME, 0.03), "hang_seconds": 4},
        # Whom a request that dies unsent with its sender was for is not called again: of each fault there are more
        # people than requests can be under way when the senders are killed.
        people={
            number: {"faults": [ACCEPTED_ALL_THE_SAME[turn % 3]]}
            for turn, number in enumerate(f"+1{area}55501{turn:02}" for area in ("212", "312") for turn in range(15))
        },
    )
    system.account(provider, concurrency=LINES)
    campaigns: dict[str, dict[str, Any]] = {"spring": {}, "autumn": {"max_concurrency": 4}}
    for name, changes in campaigns.items():
        system.campaign(name, windows=str(HOURS), **changes)
    system.outbound("suppressions", "add", SUPPRESSED)
    everybody = NEW_YORK + SAME_DESK + CHICAGO + HONOLULU + NOWHERE + UNUSABLE
    report = system.import_people(everybody)
    assert (report.new, report.already_there, report.rejected) == (len(everybody) - 2, 1, 1)
    # The other campaign knows some of them too. It starts after the troubles: a call that nobody can tell the end of
    # holds its person until a person decides, and the others who would call there wait.
    system.import_people(NEW_YORK[-8:] + CHICAGO[-4:], campaign="autumn")
    for _ in trouble(system, provider):
        time.sleep(0.5)
    system.command(Command.START, campaign="autumn")
    eventually(lambda: _shown_everything(system, provider), "every fault, both cities, both campaigns")
    with system.session() as session:
        ends = clock.read(session).now
    for name, changes in campaigns.items():
        system.campaign(name, windows=str(HOURS), ends_at=ends.isoformat(), **changes)
    system.until_over("spring", "autumn")
    assert ends < OPENS_IN_HONOLULU
    totals = judge(system, provider, "spring", "autumn", lines=LINES, hours=HOURS, zones=ZONES)
    really = provider.ledger()["calls"]
    of_autumn = [call for call in really if call["metadata"]["campaign"] == "autumn"]
    assert most_at_once(of_autumn) <= 4
    assert {call["number"][:5] for call in really} == {"+1212", "+1312"}
    assert SUPPRESSED not in {call["number"] for call in really}
    found = states(system, "spring")
    assert found[SUPPRESSED] is ProspectState.SUPPRESSED
    early_or_homeless = [state for number, state in found.items() if number[:5] in {"+1808", "+1800"}]
    assert early_or_homeless == [ProspectState.EXPIRED] * (len(HONOLULU) + len(NOWHERE))
    assert all(totals["post_faults"][fault] >= 1 for fault in ACCEPTED_ALL_THE_SAME)
    with system.session() as session:
        pushed = session.scalars(select(func.count()).where(Event.learned == "pushed")).one()
    assert totals["webhooks"]["lost"] > 0
    assert totals["webhooks"]["doubled"] > 0
    assert pushed <= totals["webhooks"]["messages"] - totals["webhooks"]["lost"]  # each is stored once
    assert system.progress().state == CampaignState.COMPLETED
    assert list(found.values()).count(ProspectState.COMPLETED) >= MANY
