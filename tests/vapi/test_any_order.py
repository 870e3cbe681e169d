"""A call's messages in any order, any of them missing or repeated: the same end, and the same sums."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.models import Call, Event, Outcome, Prospect, Tally
from campaigns.pipeline import ingesting, settling
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import CallState
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.timing import Timing
from campaigns.vapi.events import read_call, read_message
from tests import factories

RECORDINGS = Path(__file__).parents[1] / "recordings"
RECORDED_CALL = "5b6f0d1e-2c3a-4f4b-8d5e-9a7b6c5d4e3f"
RECORDED_ID = "0198f2c4-7a10-7d3e-9b55-3f0c1d2e4a61"
SETTLING, WAITING = ProspectState.SETTLING, ProspectState.WAITING


@dataclass(frozen=True)
class Story:
    """All that may be said about one call, and where it leads."""

    early: tuple[str, ...]
    ended: str
    complete: tuple[str, ...]
    """What tells everything."""
    outcome: OutcomeClass
    after_the_end: ProspectState
    """Where the person stands while no complete word has come."""
    at_last: ProspectState


BEFORE = ("status-queued", "status-ringing", "status-in-progress")
STORIES = [
    Story(
        (*BEFORE, "hang", "status-forwarding"),
        "status-ended",
        ("report-completed", "asked-ended"),
        OutcomeClass.COMPLETED,
        SETTLING,
        ProspectState.COMPLETED,
    ),
    Story(
        (*BEFORE, "created"),
        "call-deleted",
        ("legacy-report-top-level-fields",),
        OutcomeClass.COMPLETED,
        SETTLING,
        ProspectState.COMPLETED,
    ),
    Story(BEFORE[:2], "status-ended-no-answer", ("report-no-answer",), OutcomeClass.NO_ANSWER, WAITING, WAITING),
    Story(("status-queued",), "status-ended-no-line", (), OutcomeClass.CAPACITY, WAITING, WAITING),
]


@st.composite
def told(draw: st.DrawFn) -> tuple[Story, list[str]]:
    """A story and some of its messages, at least one of them an ending, in any order and with repeats."""
    story = draw(st.sampled_from(STORIES))
    endings = draw(st.lists(st.sampled_from((story.ended, *story.complete)), min_size=1, max_size=4))
    others = draw(st.lists(st.sampled_from(story.early), max_size=6))
    return story, draw(st.permutations([*endings, *others]))


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    # One rolled-back session for all examples: each has a call, a person and a campaign of its own in it.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(told())
def test_any_part_of_a_calls_messages_in_any_order_leads_to_one_end(
    session: Session, now: datetime, story_and_order: tuple[Story, list[str]]
) -> None:
    story, order = story_and_order
    call, plain = called(session, now), called(session, now)
    for name in order:
        tell(session, call, name, now)
    everything = (*story.early, story.ended, *story.complete)
    for name in sorted(set(order), key=everything.index):  # the same without repeats, as it should have come
        tell(session, plain, name, now)
    session.flush()
    complete = bool(set(order) & set(story.complete))
    outcome = session.get_one(Outcome, call.id)
    assert (call.state, call.incident) == (CallState.ENDED, None)
    assert (outcome.outcome, outcome.complete) == (story.outcome, complete)
    assert person(session, call).state is (story.at_last if complete else story.after_the_end)
    assert facts(session, call) == facts(session, plain)
    for each in (call, plain):
        assert tallies(session, each) == rows(session, each)
    # What was applied holds when it is applied again: nothing of it is left over.
    assert session.scalar(select(func.count()).where(Event.call_id == call.id, Event.applied_at.is_(None))) == 0


def called(session: Session, now: datetime) -> Call:
    """A call that was placed a moment ago, alone in its campaign."""
    campaign = factories.campaign(session, now, name=f"order-{uuid4().hex[:12]}")
    return factories.call(session, factories.prospect(session, campaign, now), now, state=CallState.PLACING)


def tell(session: Session, call: Call, name: str, now: datetime) -> None:
    """What the receiver and a worker do with a recording as if it were about `call`; or reconciling with an answer."""
    text = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8")
    text = text.replace(RECORDED_CALL, str(call.id)).replace(RECORDED_ID, f"provider-{call.id}")
    if name == "status-in-progress":
        text = text.replace('"timestamp": 1781530812400', '"timestamp": 1781530813100')  # told a moment after it was so
    asked = name in {"asked-ended", "created"}
    learned = "asked" if asked else "pushed"
    message = read_call(json.loads(text), now=now) if asked else read_message(text.encode())
    event_id, _ = ingesting.store(session, call.account_id, message, learned=learned, now=now, real=now)
    if event_id is None:
        return
    applied = ingesting.apply_alone(session, event_id, now=now, real=now, timing=Timing())
    if applied is not None:
        settling.settle(session, Ended(applied.call_id, applied.ending, learned=learned), now=now, timing=Timing())
    session.flush()


def person(session: Session, call: Call) -> Prospect:
    return session.get_one(Prospect, call.prospect_id)


def facts(session: Session, call: Call) -> dict[str, Any]:
    """What is known at the end, but for who it is about and how it was learned."""
    outcome, prospect = session.get_one(Outcome, call.id), person(session, call)
    session.refresh(outcome)
    own = {"call_id", "campaign_id", "prospect_id", "learned", "created_at", "changed_at", "recording"}
    columns = {key: getattr(outcome, key) for key, _ in inspect(Outcome).columns.items() if key not in own}
    return columns | {
        "recorded": outcome.recording is not None,
        "prospect": (prospect.state, prospect.due_at, prospect.attempts, prospect.calls),
        "call": (call.state, call.started_at, call.ended_at, call.ended_reason, call.settled_at),
    }


def tallies(session: Session, call: Call) -> dict[str, int]:
    ledger.write_tallies(session)
    sums = select(Tally.name, func.sum(Tally.count)).where(Tally.campaign_id == call.campaign_id).group_by(Tally.name)
    return {name: int(number) for name, number in session.execute(sums) if number}


def rows(session: Session, call: Call) -> dict[str, int]:
    """The sums as the campaign's one prospect, call and outcome have them."""
    counted = {f"prospect:{person(session, call).state}": 1, "call:made": 1}
    if call.settled_at is not None:
        counted[f"outcome:{session.get_one(Outcome, call.id).outcome}"] = 1
    return counted
