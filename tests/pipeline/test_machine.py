"""Claims, intents, answers, events, questions, commands and clocks in any order, and the promises after each of them.

Workers are played by their transactions, in the order in which `workers/` makes them. Two of them overlap where it
matters: `meanwhile` commits something between what a transaction read without a lock and the first lock it takes.
`MACHINE_EXAMPLES=500` makes a longer search, each time another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import delete, select, text, update

from campaigns import db
from campaigns.errors import CallFailure, NotSent
from campaigns.models import Account, Base, Call, Campaign, Person, Prospect
from campaigns.pipeline import (
    calling,
    dispatching,
    ingesting,
    reconciling,
    reviewing,
    settling,
    withdrawing,
)
from campaigns.pipeline.ingesting import Applied
from campaigns.pipeline.reviewing import Decision
from campaigns.pipeline.settling import Ended
from campaigns.rules.campaign_state import Command
from campaigns.rules.prospect_state import FINAL, ProspectState
from campaigns.vapi.events import read_call
from tests import factories
from tests.pipeline.provider import FATES, REASONS, WITHDRAWN, WORDS, nameless
from tests.pipeline.standing import check
from tests.pipeline.workers import LINES, NEW_YORK, RATE, TIMING, Workers

RETRY = {
    "max_attempts": 3,
    "max_calls": 5,
    "counts": ["no_answer", "busy", "voicemail", "answered_completed"],
    "no_answer": ["10m"],
    "busy": ["2m"],
    "voicemail": ["10m"],
    "technical": ["1m"],
}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "large": {"people": [(1, ""), (1, "12"), (0, ""), (2, "")], "weight": 2},
    "small": {"people": [(0, ""), (1, ""), (3, "")], "max_concurrency": 1},
}
DEEDS = (
    *("resume", "resume", "unfreeze", "unfreeze", "mend the account", "mend the account"),
    *("pause", "freeze", "suppress", "cancel"),
)

which = st.integers(0, 7)
hearing = st.sampled_from(["now", "now", "now", "late", "never"])
reasons = st.sampled_from(REASONS)
meanwhiles = st.sampled_from(["", "", "claim", "intend", "events", "ask", "pause", "freeze", "suppress"])


class Machine(Workers, RuleBasedStateMachine):
    """An account with three lines, two campaigns that share two people, and a provider that says what it likes."""

    @initialize(speed=st.sampled_from([1, 20]), trusting=st.booleans(), hour=st.sampled_from([15, 24.8]))
    def begin(self, speed: int, hour: float, *, trusting: bool) -> None:
        self.speed = speed
        self.now = datetime(2027, 3, 2, tzinfo=factories.REAL.tzinfo) + timedelta(hours=hour)
        self.real = factories.REAL
        with self.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
            unresolved = "not_placed" if trusting else "review"
            account = factories.account(
                session, self.now, concurrency=LINES, calls_per_second=RATE, unresolved=unresolved
            )
            self.account_id = account.id
            numbers = [factories.number() for _ in range(4)]
            for turn, (name, how) in enumerate(CAMPAIGNS.items()):
                terms = {key: value for key, value in how.items() if key != "people"}
                breaker = {"calls": 5, "share": 0.6}
                made = factories.campaign(session, self.now, name=name, retry=RETRY, breaker=breaker, **terms)
                # Equal in each run: campaigns of equal need are served in the order of their ids.
                session.execute(update(Campaign).where(Campaign.id == made.id).values(id=UUID(int=turn + 1)))
                session.expunge_all()
                campaign = session.get_one(Campaign, UUID(int=turn + 1))
                for person, extension in how["people"]:
                    factories.prospect(session, campaign, self.now, e164=numbers[person], extension=extension)
            self.people = list(session.scalars(select(Person.id).order_by(Person.id)))

    def other(self, name: str) -> Callable[[], None] | None:
        deeds: dict[str, Callable[[], None]] = {
            "claim": lambda: self.claim("", lost=False),
            "intend": lambda: self.place(self.latest, ""),
            "events": lambda: self.apply(list(self.hints)),
            "ask": lambda: self.ask(""),
            "pause": lambda: self.command("large", Command.PAUSE),
            "freeze": lambda: self.freeze(frozen=True),
            "suppress": lambda: self.suppress(self.people[0]),
        }
        return deeds.get(name)

    # What mostly happens, in one go

    def dial(self, how: tuple[bool, str, str, str]) -> None:
        let, fate, heard, meanwhile = how
        if let:
            self.let_everybody_be_called()
        self.claim("", lost=False)
        while self.offered:
            self.intend(0, meanwhile, again=False)
        while self.sending:
            self.send(0, fate, 30, heard, died=False)

    def speak(self, what: tuple[int, str, str, str]) -> None:
        turn, word, reason, meanwhile = what
        if self.provider.live():
            self.go_on(turn, word, reason)
        while self.provider.untold:
            self.deliver([0], lost=False, bare=False)
        self.events(meanwhile, swept=False)

    # Each rule is as likely as any other, and Hypothesis likes best the one with the fewest arguments.
    dials = rule(how=st.tuples(st.sampled_from([True, True, False]), st.sampled_from(FATES), hearing, meanwhiles))
    dial_one, dial_two, dial_three = dials(dial), dials(dial), dials(dial)
    speaks = rule(
        what=st.tuples(which, st.sampled_from(["ended", "ended", "ringing", "in-progress"]), reasons, meanwhiles)
    )
    speak_one, speak_two, speak_three = speaks(speak), speaks(speak), speaks(speak)

    def let_everybody_be_called(self) -> None:
        """Nothing is stopped any more, and it is some time later in the day, or the next morning."""
        for name in CAMPAIGNS:
            self.order("resume", name, 0)
        self.order("unfreeze", "", 0)
        self.order("mend the account", "", 0)
        self.wait(timedelta(minutes=1))
        self.now += timedelta(minutes=20)
        local = self.now.astimezone(NEW_YORK)
        if not time(9) <= local.time() < time(19, 50):
            self.now += timedelta(hours=(33 - local.hour) % 24 + 1)

    # Dispatching and placing

    @rule(meanwhile=meanwhiles, lost=st.booleans())
    def claim(self, meanwhile: str, *, lost: bool) -> None:
        before: set[UUID] = set()

        def first() -> None:
            if (deed := self.other(meanwhile)) is not None:
                deed()
            with self.transaction() as session:
                before.update(session.scalars(select(Call.id)))

        with self.transaction(first) as session:
            moment = {"now": self.now, "real": self.real}
            offered = dispatching.claim_due(session, self.account_id, **moment, timing=TIMING)
            lots = dispatching.lots(session, offered)
            self.check_lines(session, set(offered) - before)
        if not lost:
            self.offered += lots

    @precondition(lambda self: self.offered)
    @rule(lot=which, meanwhile=meanwhiles, again=st.booleans())
    def intend(self, lot: int, meanwhile: str, *, again: bool) -> None:
        if not self.offered:
            return  # another took it
        place = lot % len(self.offered)
        self.place(self.offered[place] if again else self.offered.pop(place), meanwhile)

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

    @precondition(lambda self: self.sending)
    @rule(
        turn=which,
        fate=st.sampled_from(FATES),
        lag=st.integers(0, 300),
        heard=hearing,
        died=st.sampled_from([False, False, False, False, True]),
    )
    def send(self, turn: int, fate: str, lag: int, heard: str, *, died: bool) -> None:
        prepared, since = self.sending.pop(turn % len(self.sending))
        if died:
            return
        answer: Any = NotSent("too late")
        if self.real - since <= TIMING.send_budget:
            moment = {"now": self.now, "real": self.real}
            answer = self.provider.post(prepared.request, fate, **moment, lag=timedelta(seconds=lag))
        said = answer if isinstance(answer, CallFailure) else read_call(answer, now=self.now)
        if heard == "now":
            self.record([(prepared, said)])
        elif heard == "late":
            self.unheard.append((prepared, said))

    @precondition(lambda self: self.unheard)
    @rule(many=st.integers(1, 3), twice=st.booleans())
    def hear(self, many: int, *, twice: bool) -> None:
        answers = self.unheard[:many]
        del self.unheard[: 0 if twice else many]
        self.record(answers)

    # What the provider does and says

    @precondition(lambda self: self.provider.live())
    @rule(turn=which, word=st.sampled_from(WORDS[1:]), reason=reasons)
    def go_on(self, turn: int, word: str, reason: str) -> None:
        live = self.provider.live()
        ring = live[turn % len(live)]
        if WORDS.index(word) > WORDS.index(ring.status):
            self.provider.go_on(ring, word, reason, now=self.now)

    @precondition(lambda self: self.provider.untold)
    @rule(turns=st.lists(which, min_size=1, max_size=4), lost=st.sampled_from([False, False, True]), bare=st.booleans())
    def deliver(self, turns: list[int], *, lost: bool, bare: bool) -> None:
        untold = self.provider.untold
        bodies = [untold.pop(turn % len(untold)) for turn in turns[: len(untold)]]
        self.provider.told += bodies
        if not lost:
            self.store([nameless(body) if bare else body for body in bodies])

    @precondition(lambda self: self.provider.told)
    @rule(turn=st.integers(0, 30), bare=st.booleans())
    def deliver_again(self, turn: int, *, bare: bool) -> None:
        body = self.provider.told[turn % len(self.provider.told)]
        self.store([nameless(body) if bare else body])

    @rule(meanwhile=meanwhiles, swept=st.booleans())
    def events(self, meanwhile: str, *, swept: bool) -> None:
        event_ids, self.hints = list(self.hints), list(self.hints) if meanwhile else []
        if swept:
            with self.transaction() as session:
                event_ids = ingesting.due(session, real=self.real, limit=50)
        self.apply(event_ids, meanwhile)

    # Upkeep

    @rule(meanwhile=meanwhiles, later=st.booleans())
    def ask(self, meanwhile: str, *, later: bool = False) -> None:
        if later:
            self.wait(TIMING.silence)
        moment = {"now": self.now, "real": self.real}
        with self.transaction(self.other(meanwhile)) as session:
            found = reconciling.overdue(session, **moment, timing=TIMING, limit=50)
        self.questions += [(question, self.real) for question in found]

    @precondition(lambda self: self.questions)
    @rule(turn=which, away=st.sampled_from([False, False, False, True]), meanwhile=meanwhiles)
    def answer(self, turn: int, meanwhile: str, *, away: bool) -> None:
        question, since = self.questions.pop(turn % len(self.questions))
        if away or self.real - since > timedelta(seconds=10):
            return
        record = self.provider.look_up(question.call_id, question.provider_id, real=self.real)
        moment = {"now": self.now, "real": self.real}
        applied: list[Applied] = []
        with self.transaction(self.other(meanwhile)) as session:
            if record is None:
                give_up = reconciling.missed(session, question, **moment, timing=TIMING)
            else:
                give_up = question.settling
                said = read_call(record, now=self.now)
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

    @rule(ended=st.booleans(), advance=st.booleans())
    def look_after(self, *, ended: bool, advance: bool) -> None:
        if advance:
            self.advance()
        moment = {"now": self.now, "real": self.real}
        with self.transaction() as session:
            unwanted = withdrawing.unwanted(session, **moment, timing=TIMING, limit=50)
        for call_id, _ in unwanted:
            ring = self.provider.of(call_id)
            if ended and ring is not None and ring.live:
                self.provider.go_on(ring, "ended", WITHDRAWN, now=self.now)

    # People and clocks

    @rule(seconds=st.sampled_from([0.3, 1, 3, 10, 31, 31, 61, 61, 61, 301, 901, 4000]), hours=st.integers(-40, 9))
    def pass_time(self, seconds: float, hours: int) -> None:
        """Now and then the campaign's clock alone, as in a rehearsal: no lease and no quiet period ends by it."""
        self.wait(timedelta(seconds=seconds))
        self.now += timedelta(hours=max(0, hours))

    @rule(deed=st.sampled_from(DEEDS), name=st.sampled_from(sorted(CAMPAIGNS)), turn=st.integers(0, 3))
    def order(self, deed: str, name: str, turn: int) -> None:
        """What people do to everybody. More often they let go on than they stop, or nothing would ever happen."""
        match deed:
            case "freeze" | "unfreeze":
                self.freeze(frozen=deed == "freeze")
            case "suppress":
                self.suppress(self.people[turn])
            case "mend the account":
                with self.transaction() as session:
                    session.execute(update(Account).values(stop_reason=None))
            case "cancel" if turn:
                pass  # nothing follows it
            case _:
                self.command(name, Command(deed))

    @rule(turn=which, decision=st.sampled_from([Decision.ANSWERED, Decision.NO_ANSWER, Decision.UNKNOWN]))
    def decide(self, turn: int, decision: Decision) -> None:
        """A person looks at the provider's own list, and tells the truth."""
        with self.transaction() as session:
            waiting = reviewing.to_decide(session, campaign_id=None, limit=10)
            if not waiting:
                return
            call_id = waiting[turn % len(waiting)].id
            ring = self.provider.of(call_id)
            if ring is not None and ring.live:
                return
            said = Decision.NOT_PLACED if ring is None else decision
            moment = {"now": self.now, "real": self.real}
            ending = reviewing.decide(session, call_id, said, who="test", why="seen", **moment, timing=TIMING)
            if ending is not None:
                over = Ended(call_id, ending, learned="decided", give_up=True)
                settling.settle(session, over, now=self.now, timing=TIMING)

    # What must hold

    @invariant()
    def everything_promised_holds(self) -> None:
        with self.transaction() as session:
            check(session, self.seen, self.done, rate=RATE)

    def teardown(self) -> None:
        if not hasattr(self, "account_id"):
            return
        self.come_to_rest()

    def come_to_rest(self) -> None:
        """Nobody calls any more, what is lost is asked about, and what was said arrives: then nobody hangs."""
        for name in CAMPAIGNS:
            self.command(name, Command.PAUSE)
        for ring in self.provider.live():
            self.provider.go_on(ring, "ended", "customer-busy", now=self.now)
        self.sending.clear()
        self.questions.clear()
        for minutes in (16, 6, 2, 2, 2, 6):
            self.wait(timedelta(minutes=minutes))
            self.claim("", lost=False)
            while self.offered:
                self.intend(0, "", again=False)
            self.apply(self.due())
            self.ask("")
            while self.questions:
                self.answer(0, "", away=False)
        self.everything_promised_holds()
        with self.transaction() as session:
            states = set(session.scalars(select(Prospect.state)))
        assert states <= FINAL | {ProspectState.WAITING, ProspectState.HELD, ProspectState.REVIEW}, states
        assert self.due() == []


def test_no_order_of_claims_answers_events_and_clocks_breaks_a_promise(database: str) -> None:
    longer = int(os.environ.get("MACHINE_EXAMPLES", "0"))
    how = settings(
        max_examples=longer or 15,
        stateful_step_count=80 if longer else 50,
        derandomize=not longer,
        database=None,
        deadline=None,
        print_blob=bool(longer),
        suppress_health_check=list(HealthCheck),
    )
    with db.engine(database).connect() as connection:
        # Nothing here outlives the process, so nothing waits for a disk.
        name = connection.engine.url.database
        connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        connection.commit()
    db.engine(database).dispose()
    run_machine(lambda: Machine(database), settings=how)
