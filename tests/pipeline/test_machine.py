"""Claims, intents, answers, events, questions, commands and clocks in any order, and the promises after each of them.

Workers are played by their transactions, in the order in which `workers/` makes them. Two of them overlap where it
matters: `meanwhile` commits something between what a transaction read without a lock and the first lock it takes.
`MACHINE_EXAMPLES=500` makes a longer search, each time another one.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import func, select, text

from campaigns import db
from campaigns.errors import CallFailure, NotSent
from campaigns.models import Base, Call, Event, Person, Prospect
from campaigns.pipeline import (
    dispatching,
    ingesting,
    reconciling,
    reviewing,
    withdrawing,
)
from campaigns.pipeline.reviewing import Decision
from campaigns.rules.call_state import CallState
from campaigns.rules.campaign_state import Command
from campaigns.rules.prospect_state import FINAL, ProspectState
from campaigns.vapi.events import read_call
from tests import factories
from tests.pipeline.beginning import CAMPAIGNS, two_campaigns
from tests.pipeline.provider import FATES, REASONS, WITHDRAWN, WORDS, Ring, nameless
from tests.pipeline.standing import check
from tests.pipeline.workers import TIMING, Workers

DEEDS = (
    *("resume", "resume", "unfreeze", "unfreeze", "mend the account", "mend the account"),
    *("pause", "freeze", "suppress", "cancel"),
)

which = st.integers(0, 7)
hearing = st.sampled_from(["now", "now", "now", "late", "never"])
reasons = st.sampled_from(REASONS)
meanwhiles = st.sampled_from(["", "", "claim", "intend", "events", "ask", "pause", "freeze", "suppress"])


class Machine(Workers, RuleBasedStateMachine):
    """An account with three lines, two campaigns that share people, and a provider that says what it likes."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch) -> None:
        super().__init__(url)
        self.patch = patch

    @initialize(
        speed=st.sampled_from([1, 20]),
        rate=st.sampled_from([2.0, 50.0]),
        trusting=st.booleans(),
        hour=st.sampled_from([15, 24.8]),
        trouble=st.sampled_from(["", "", "refused", "lost request", "assistant-error"]),
    )
    def begin(self, speed: int, rate: float, hour: float, trouble: str, *, trusting: bool) -> None:
        """A fast account has its calls prepared in lots; with a `trouble`, that is what becomes of most of them."""
        self.speed, self.rate, self.trouble = speed, rate, trouble
        self.now = datetime(2027, 3, 2, tzinfo=factories.REAL.tzinfo) + timedelta(hours=hour)
        self.real = factories.REAL
        # The same rows in the same places and calls of the same ids in each run: whatever ties, ties alike.
        ids = random.Random(0)  # noqa: S311 - names, not secrets
        self.patch.setattr(dispatching, "uuid4", lambda: UUID(int=ids.getrandbits(128)))
        with self.transaction() as session:
            session.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY"))
            unresolved = "not_placed" if trusting else "review"
            self.account_id, self.people = two_campaigns(
                session, self.now, calls_per_second=rate, unresolved=unresolved
            )

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
            self.send(0, self.trouble if self.trouble in FATES else fate, 30, heard, died=False)

    def speak(self, what: tuple[int, str, str, str, bool]) -> None:
        turn, word, reason, meanwhile, repeated = what
        if self.provider.live():
            self.go_on(turn, word, self.trouble if self.trouble in REASONS else reason)
        while self.provider.untold:
            self.deliver([0], lost=False, bare=False)
        if repeated:
            self.store(self.provider.told[-2:])
        self.events(meanwhile, swept=False)

    @rule(minutes=st.sampled_from([2, 2, 6, 16]), rounds=st.integers(1, 3))
    def look_up(self, minutes: int, rounds: int) -> None:
        for _ in range(rounds):
            self.wait(timedelta(minutes=minutes))
            self.look_up_all()

    def look_up_all(self) -> None:
        self.apply(self.due())
        self.ask("")
        while self.questions:
            self.answer(0, "", away=False)

    # Each rule is as likely as any other, and Hypothesis likes best the one with the fewest arguments.
    dials = rule(how=st.tuples(st.sampled_from([True, True, False]), st.sampled_from(FATES), hearing, meanwhiles))
    dial_one, dial_two, dial_three = dials(dial), dials(dial), dials(dial)
    words = st.sampled_from(["ended", "ended", "ringing", "in-progress"])
    speaks = rule(what=st.tuples(which, words, reasons, meanwhiles, st.booleans()))
    speak_one, speak_two, speak_three = speaks(speak), speaks(speak), speaks(speak)

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
            self.check_request(prepared)
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

    @rule(turn=which, word=st.sampled_from(WORDS))
    def contradict(self, turn: int, word: str) -> None:
        with self.transaction() as session:
            given_up = select(Call.id, Person.number).join(Person, Person.id == Call.person_id).order_by(Call.slot_at)
            given_up = given_up.where(Call.state == CallState.NOT_PLACED, Call.intent_at.is_not(None))
            found = session.execute(given_up).all()
        if found:
            call_id, number = found[turn % len(found)]
            self.provider.contradict(call_id, number, word, now=self.now)

    @precondition(lambda self: self.erasable())
    @rule(turn=which)
    def erase(self, turn: int) -> None:
        """Somebody has the provider forget a call that is over."""
        found = self.erasable()
        found[turn % len(found)].erased = True

    def erasable(self) -> list[Ring]:
        # Not before we have heard of the call: nothing could tell it from one that was never placed.
        return [ring for ring in self.provider.rings.values() if not ring.live and ring.ours in self.spoken]

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
        self.learn(question, self.provider.look_up(question.call_id, question.provider_id, real=self.real), meanwhile)

    @rule(ended=st.booleans(), advance=st.booleans())
    def look_after(self, *, ended: bool, advance: bool) -> None:
        if advance:
            self.advance()
        moment = {"now": self.now, "real": self.real}
        with self.transaction() as session:
            unwanted = withdrawing.unwanted(session, **moment, limit=50)
        for call_id, _ in unwanted:
            with self.transaction() as session:
                if withdrawing.take_back(session, call_id, **moment, timing=TIMING) is None:
                    continue
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
                self.mend_the_account()
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
        call = waiting[turn % len(waiting)]
        ring = self.provider.of(call.id)
        if call.state is CallState.NOT_PLACED:
            self.say(call.id, Decision.SEEN)
        elif ring is None:
            assert Decision.NOT_PLACED in call.choices, "nobody can say that a call was not placed"
            self.say(call.id, Decision.NOT_PLACED)
        elif not ring.live:
            assert Decision.NOT_PLACED not in call.choices or call.id not in self.spoken, (
                "it was placed: it was heard of"
            )
            self.say(call.id, decision)

    # What must hold

    @invariant()
    def everything_promised_holds(self) -> None:
        with self.transaction() as session:
            check(session, self.seen, self.done, rate=self.rate)
            pushed = session.scalar(select(func.count()).where(Event.learned == "pushed")) or 0
        assert pushed <= len(self.provider.told), "a message was stored twice"

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
            self.look_up_all()
        with self.transaction() as session:
            in_review = len(reviewing.to_decide(session, campaign_id=None, limit=50))
        for _ in range(in_review):
            self.decide(0, Decision.UNKNOWN)
        self.everything_promised_holds()
        with self.transaction() as session:
            states = set(session.scalars(select(Prospect.state)))
        assert states <= FINAL | {ProspectState.WAITING, ProspectState.HELD}, states
        assert self.due() == []


def test_no_order_of_claims_answers_events_and_clocks_breaks_a_promise(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = int(os.environ.get("MACHINE_EXAMPLES", "0"))
    how = settings(
        max_examples=longer or 14,
        stateful_step_count=80 if longer else 40,
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
    run_machine(lambda: Machine(database, monkeypatch), settings=how)
