"""Workers without their queue: the transactions that they make, in their order, one at a time or one inside another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from campaigns import db
from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotAllowed, NotSent, Throttled
from campaigns.models import Account, Call, Campaign, Event, Outcome, Person, Prospect
from campaigns.pipeline import (
    breaking,
    budgeting,
    calling,
    ceiling,
    doubting,
    halting,
    ingesting,
    reconciling,
    reviewing,
    scheduling,
    settling,
    suppressing,
)
from campaigns.pipeline.calling import Prepared
from campaigns.pipeline.ingesting import Applied
from campaigns.pipeline.reconciling import Question
from campaigns.pipeline.reviewing import Decision
from campaigns.pipeline.settling import Ended
from campaigns.rules.call_state import HOLDS_LINE, HOLDS_PERSON, CallState
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.outcome import TECHNICAL
from campaigns.rules.retry import CLOSING
from campaigns.rules.timing import Timing
from campaigns.vapi.events import Message, read_call, read_message
from tests.pipeline.advancing import advance
from tests.pipeline.beginning import CAMPAIGNS, LINES, SMALL
from tests.pipeline.provider import Provider

TIMING = Timing()
NEW_YORK = ZoneInfo("America/New_York")
LOCKS = (" FOR ", "INSERT", "UPDATE", "DELETE", "pg_advisory")


class Workers:
    """All that goes on outside the database: clocks, workers with what they hold in memory, people and a provider."""

    account_id: UUID
    people: list[int]
    now: datetime
    real: datetime
    speed: int
    rate: float

    def __init__(self, url: str) -> None:
        super().__init__()  # of the state machine that this is mixed into
        self.engine = db.engine(url)
        self.provider = Provider()
        self.seen: dict[UUID, CallState] = {}
        self.done: dict[int, str | None] = {}
        self.offered: list[list[UUID]] = []
        self.sending: list[tuple[Prepared, datetime]] = []
        self.unheard: list[tuple[Prepared, Message | CallFailure]] = []
        self.hints: list[int] = []
        self.latest: Sequence[UUID] = []
        """The calls that a worker took up last: another may have been given the same."""
        self.questions: list[tuple[Question, datetime]] = []
        self.stopped: set[str] = set()
        self.frozen = False
        self.suppressed: set[int] = set()
        self.spoken: set[UUID] = set()
        """The calls that something which we stored says the provider has."""

    @contextmanager
    def transaction(self, meanwhile: Callable[[], None] | None = None) -> Iterator[Session]:
        """What `db.transaction` gives; `meanwhile` is done just before the first lock or write of it."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            waiting = [meanwhile] if meanwhile is not None else []

            def before(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
                if waiting and any(word in statement for word in LOCKS):
                    waiting.pop()()

            if waiting:
                event.listen(session.connection(), "before_cursor_execute", before)
            yield session

    def check_lines(self, session: Session, new: set[UUID]) -> None:
        held = [
            call
            for call in session.scalars(select(Call).where(Call.state.in_(HOLDS_LINE)))
            if not (call.state is CallState.UNKNOWN and call.line_until is not None and call.line_until < self.now)
        ]
        small = {call.id for call in held if call.campaign_id == SMALL}
        assert not new or len(held) <= LINES, "more lines than the account has"
        assert not new & small or len(small) <= 1, "more lines than the campaign may use"

    def check_intent(self, session: Session, prepared: Prepared) -> None:
        call = session.get_one(Call, prepared.call_id)
        prospect = session.get_one(Prospect, call.prospect_id)
        campaign = session.get_one(Campaign, call.campaign_id)
        account = session.get_one(Account, call.account_id)
        assert campaign.state is CampaignState.RUNNING
        assert campaign.name not in self.stopped, "called after a stop had returned"
        assert not self.frozen, "called after a freeze had returned"
        assert account.frozen_at is None
        assert account.stop_reason is None
        assert call.person_id not in self.suppressed, "called after a suppression had returned"
        local = self.now.astimezone(NEW_YORK).time()
        assert time(9) <= local <= time(19, 58), "called outside the window"
        closed = select(Event.id).where(Event.call_id == call.id)
        assert session.scalars(closed).first() is None, "the provider spoke of it before"
        known = select(Outcome.outcome).where(Outcome.prospect_id == prospect.id)
        assert not set(session.scalars(known)) & CLOSING.keys(), "called after it was concluded"
        others = select(Call.id).where(Call.person_id == call.person_id, Call.state.in_(HOLDS_PERSON))
        assert session.scalars(others).all() == [call.id]

    def check_request(self, prepared: Prepared) -> None:
        with self.transaction() as session:
            state = session.get_one(Call, prepared.call_id).state
        assert state is CallState.PLACING, f"a call is requested which is {state}: its worker was given up"

    def place(self, call_ids: Sequence[UUID], meanwhile: str) -> None:
        self.latest = call_ids
        with self.transaction() as session:
            waits = calling.await_slots(session, call_ids, real=self.real)
        if not waits:
            return
        self.wait(min(waits.values()))
        with self.transaction(self.other(meanwhile)) as session:
            held = calling.hold_still(session, list(waits), timing=TIMING)
            prepared = calling.prepare(session, held, now=self.now, real=self.real)
            session.flush()
            for each in prepared:
                self.check_intent(session, each)
        self.sending += [(each, self.real) for each in prepared]

    def record(self, answers: Sequence[tuple[Prepared, Message | CallFailure]]) -> None:
        news = []
        moment = {"now": self.now, "real": self.real}
        with self.transaction() as session:
            for prepared, said in answers:
                if isinstance(said, Message) and said.limits is not None:
                    lines = {"concurrency": LINES, "real": self.real}
                    news += [said.limits] * ceiling.is_news(session, prepared.account_id, said.limits, **lines)
            calling.record(session, {each.call_id: said for each, said in answers}, **moment, timing=TIMING)
            if any(not isinstance(said, CallUnclear | NotSent) for _, said in answers):
                doubting.trust(session, self.account_id, real=self.real)
        for prepared, said in answers:
            if isinstance(said, Message):
                self.spoken.add(prepared.call_id)
            if isinstance(said, CallFailure):
                self.draw_conclusions(prepared, said)
        for limits in news:
            with self.transaction() as session:
                ceiling.told(session, self.account_id, limits, real=self.real)
                ceiling.refused(session, self.account_id, "no line", **moment, remaining=limits.remaining)

    def draw_conclusions(self, prepared: Prepared, failure: CallFailure) -> None:
        with self.transaction() as session:
            match failure:
                case AccountRefused():
                    halting.stop_account(session, self.account_id, str(failure), now=self.now)
                case CallRefused():
                    breaking.pause_if_at_fault(session, prepared.campaign_id, now=self.now)
                case Throttled() | NotSent():
                    if isinstance(failure, Throttled) and failure.no_line:
                        ceiling.refused(session, self.account_id, "no line", now=self.now, real=self.real)
                    doubting.back_off(session, self.account_id, until=self.real + timedelta(seconds=5))
                case CallUnclear():
                    doubting.doubt(session, self.account_id, real=self.real)

    def store(self, bodies: Sequence[dict[str, Any]]) -> None:
        messages = [(self.account_id, read_message(json.dumps(body).encode())) for body in bodies]
        with self.transaction() as session:
            self.hints += ingesting.store_pushed(session, messages, now=self.now, real=self.real)
        self.spoken |= {message.call_id for _, message in messages if message.call_id is not None}

    def apply(self, event_ids: Sequence[int], meanwhile: str = "") -> None:
        moment = {"now": self.now, "real": self.real}
        if not event_ids:
            return
        with self.transaction(self.other(meanwhile)) as session:
            applied, strays = ingesting.apply(session, event_ids, **moment, timing=TIMING)
            self.settle(session, applied)
        with self.transaction() as session:  # before the step is over, in which another may have applied them too
            did = select(Event.id, Event.effect).where(Event.id.in_(event_ids), Event.applied_at.is_not(None))
            for event_id, effect in session.execute(did):
                assert self.done.setdefault(event_id, effect) == effect, "an event was applied twice"
        self.conclude(applied)
        for event_id in strays:
            with self.transaction() as session:
                found = ingesting.apply_alone(session, event_id, **moment, timing=TIMING)
                applied = [] if found is None else [found]
                self.settle(session, applied)
            self.conclude(applied)

    def learn(self, question: Question, record: Mapping[str, Any] | None, meanwhile: str) -> None:
        """What the provider said when it was asked, None where it does not know the call."""
        moment = {"now": self.now, "real": self.real}
        applied: list[Applied] = []
        with self.transaction(self.other(meanwhile)) as session:
            if record is None:
                give_up = reconciling.missed(session, question, **moment, timing=TIMING)
            else:
                give_up = question.settling
                said = read_call(record, now=self.now)
                self.spoken.add(question.call_id)
                event_id, _ = ingesting.store(session, self.account_id, said, learned="asked", **moment)
                if event_id is None:
                    reconciling.seen(session, question.call_id, real=self.real, timing=TIMING)
                elif (found := ingesting.apply_alone(session, event_id, **moment, timing=TIMING)) is not None:
                    applied = [found]
                    self.settle(session, applied)
            if give_up:
                over = Ended(question.call_id, None, learned="asked", give_up=True)
                settling.settle(session, over, now=self.now, timing=TIMING)
        self.conclude(applied)

    def settle(self, session: Session, applied: Sequence[Applied]) -> None:
        ends = [Ended(each.call_id, each.ending, learned=each.learned, locked=each.locked) for each in applied]
        if ends:
            settling.settle(session, *ends, now=self.now, timing=TIMING)

    def conclude(self, applied: Sequence[Applied]) -> None:
        if any(each.found for each in applied):
            with self.transaction() as session:
                doubting.trust(session, self.account_id, real=self.real)
        for each in applied:
            if each.freed and each.ending is not None and each.ending.no_line:
                with self.transaction() as session:
                    ceiling.refused(session, each.account_id, "it ended one", now=self.now, real=self.real)
        for campaign_id in sorted(
            {each.campaign_id for each in applied if each.ending and each.ending.outcome in TECHNICAL}
        ):
            with self.transaction() as session:
                breaking.pause_if_at_fault(session, campaign_id, now=self.now)

    def advance(self) -> None:
        with self.transaction() as session:
            watched = breaking.watched(session)
        for campaign_id in sorted(watched):
            with self.transaction() as session:
                breaking.pause_if_at_fault(session, campaign_id, now=self.now)
        with self.transaction() as session:
            for campaign_id in budgeting.watched(session):
                budgeting.pause_if_used_up(session, campaign_id, now=self.now)
        with self.transaction() as session:
            settling.give_up_on_costs(session, now=self.now, timing=TIMING, limit=50)
        with self.transaction() as session:
            advance(session, now=self.now)

    def wait(self, waited: timedelta) -> None:
        self.real += waited
        self.now += waited * self.speed

    def command(self, name: str, wanted: Command) -> None:
        try:
            with self.transaction() as session:
                scheduling.command(session, name, wanted, who="test", now=self.now)
        except NotAllowed:
            return
        (self.stopped.discard if wanted is Command.RESUME else self.stopped.add)(name)

    def freeze(self, *, frozen: bool) -> None:
        with self.transaction() as session:
            scheduling.set_frozen(session, frozen=frozen, who="test", now=self.now, why=None)
        self.frozen = frozen

    def mend_the_account(self) -> None:
        with self.transaction() as session:
            session.execute(update(Account).values(stop_reason=None))

    def let_everybody_be_called(self) -> None:
        """Nothing is stopped any more, and it is some time later in the day, or the next morning."""
        for name in CAMPAIGNS:
            self.command(name, Command.RESUME)
        self.freeze(frozen=False)
        self.mend_the_account()
        self.wait(timedelta(minutes=1))
        self.now += timedelta(minutes=20)
        local = self.now.astimezone(NEW_YORK)
        if not time(9) <= local.time() < time(19, 50):
            self.now += timedelta(hours=(33 - local.hour) % 24 + 1)

    def suppress(self, person_id: int) -> None:
        if person_id in self.suppressed:
            return
        with self.transaction() as session:
            number = session.get_one(Person, person_id).number
            suppressing.suppress(session, number, campaign_id=None, reason="asked", who="test", now=self.now)
        self.suppressed.add(person_id)

    def say(self, call_id: UUID, decision: Decision) -> None:
        """A person's word for what became of a call in review."""
        moment = {"now": self.now, "real": self.real}
        with self.transaction() as session:
            ending = reviewing.decide(session, call_id, decision, who="test", why="seen", **moment, timing=TIMING)
            if ending is not None:
                over = Ended(call_id, ending, learned="decided", give_up=True)
                settling.settle(session, over, now=self.now, timing=TIMING)

    def due(self) -> list[int]:
        with self.transaction() as session:
            return ingesting.due(session, real=self.real, limit=500)
