"""Lines, the queue for them, and the life of every call. One event loop, no task per call: only timers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from campaigns.simulator import payloads
from campaigns.simulator.calls import PLAIN_PHONE_NUMBER, Call, Moment, assistant_of
from campaigns.simulator.chance import between, dice, pick
from campaigns.simulator.clock import Clock, real_now
from campaigns.simulator.delivery import Delivery
from campaigns.simulator.fate import draw
from campaigns.simulator.faults import status_of
from campaigns.simulator.rates import SlidingSecond
from campaigns.simulator.requests import Refusal
from campaigns.simulator.scenario import Outcome, OverConcurrency, OverLimit, Scenario

NO_LINE = "call.start.error-subscription-concurrency-limit-reached"
CUT_SHORT = "exceeded-max-duration"
HUNG_UP = "manually-canceled"
SPOKEN = "assistant-ended-call-after-message-spoken"
FORWARDED = "assistant-forwarded-call"
DAY_USED_UP = "call.start.error-vapi-number-outbound-daily-limit"
FORWARDING = timedelta(seconds=20)  # simulated: the transferred conversation, as far as the provider listens
REFUSING = timedelta(seconds=0.4)  # simulated, between a 201 and the end for lack of a line


def spoilt(status: int) -> Refusal:
    """The answer of a fault with a status of its own."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return Refusal(status, "Internal server error")
    return Refusal(status, HTTPStatus(status).phrase if status in set(HTTPStatus) else "Simulated fault")


class Broken(Exception):
    """The connection breaks without an answer."""


class Exchange:
    """Everything that the simulator remembers. Must be used from one event loop."""

    def __init__(self, scenario: Scenario, clock: Clock, delivery: Delivery, new_id: Callable[[], str]) -> None:
        self.scenario = scenario
        self._started_with = scenario
        self.clock = clock
        self.delivery = delivery
        self.closing = asyncio.Event()
        """Set when the process is about to end: nothing may wait any longer."""
        self.calls: dict[str, Call] = {}
        """Every accepted call by id, oldest first."""
        self.in_order: list[Call] = []
        """The same, for searching by time."""
        self.accepted = SlidingSecond()
        """The POSTs that were accepted."""
        self.names: Counter[str] = Counter()
        self.references: Counter[str] = Counter()
        """How often each name, and each of the caller's own ids, was accepted."""
        self.ended: Counter[str] = Counter()
        """Calls that ended, by the reason."""
        self.refused: Counter[int] = Counter()
        """POSTs not accepted, by the status they were answered with."""
        self.faults: Counter[str] = Counter()
        self.over_concurrency: Counter[str] = Counter()
        """POSTs that met full lines, by what they were told."""
        self.overlaps: Counter[str] = Counter()
        """Numbers for which a POST was accepted while an earlier call to them had not ended."""
        self.most_lines = 0
        self.most_open = 0
        self._new_id = new_id
        self._open = 0
        self._busy_real = 0.0
        self._busy_simulated = 0.0
        self._on_lines: dict[str, Call] = {}
        self._waiting: dict[str, Call] = {}
        self._open_to: dict[str, dict[str, Call]] = {}
        self._phone_numbers: dict[str, Mapping[str, Any]] = {}
        self._named: Counter[str] = Counter()
        self._made: Counter[tuple[str, date]] = Counter()
        self._calls_to: Counter[str] = Counter()
        self._posts_to: Counter[str] = Counter()

    @property
    def free_lines(self) -> int:
        """Lines that are not taken; negative after the limit was lowered under running calls."""
        return self.scenario.concurrency - len(self._on_lines)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Take new settings for what happens from now on. Wrong ones change nothing and raise SimulatorError."""
        self._take(self.scenario.changed(changes))

    def reset(self) -> None:
        """Go back to the scenario that it started with."""
        self._take(self._started_with)

    def exists(self, kind: str, wanted: str) -> bool:
        """Whether there is such an assistant, squad or phone number: listed, if any is, and not deleted since."""
        listed: Mapping[str, Any] = getattr(self.scenario, kind)
        gone_after = self.scenario.gone_after.get(wanted)
        return (not listed or wanted in listed) and (gone_after is None or self._named[wanted] < gone_after)

    def place(self, body: Mapping[str, Any], base_url: str) -> tuple[Call, str | None]:
        """Accept a checked POST: its call, and which fault its answer must meet.

        Raises Refusal or Broken when it is not accepted.
        """
        number = body["customer"].get("number") or body["customer"]["sipUri"]
        full, form = self.free_lines <= 0, self.scenario.over_concurrency
        used_up = self._over_limit(body["phoneNumberId"])
        if full:
            self.over_concurrency[form.value] += 1
        if full and form is OverConcurrency.REJECT:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Over Concurrency Limit")
        if used_up is OverLimit.REJECT:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Daily Outbound Call Limit Of This Phone Number Is Reached.")
        fault = self._fault_of_post(number)
        if fault is not None and fault.startswith("refuse_"):
            status = status_of(fault)
            raise Broken if status is None else spoilt(status)
        refused = DAY_USED_UP if used_up else NO_LINE if full and form is OverConcurrency.ENDED else None
        call = self._remembered(body, number, base_url, rings=refused is None)
        self._tell(call, "status-update", payloads.status_update)
        now = call.accepted.simulated
        if refused is not None:
            self._after(call, now + REFUSING, self._end, refused)
        elif full:
            call.blocked = True
            self._waiting[call.id] = call
        else:
            self._dial(call, now)
        return call, fault

    def slowness(self, call: Call) -> float:
        """Real seconds that a slow answer about a call takes."""
        return between(dice(self.scenario.seed, call.number, call.nth, "slow"), self.scenario.post_faults.slow_seconds)

    def shown(self, call: Call) -> bool:
        """Whether the provider's index has got as far as this call."""
        lag = self.scenario.listing.lag_seconds
        return not lag or call.accepted.real <= real_now() - timedelta(seconds=lag)

    def found(self, call_id: str) -> Call | None:
        """The call of an id, as far as `GET /call/{id}` knows it."""
        call = self.calls.get(call_id)
        return call if call is None or not self.scenario.listing.hides_reads or self.shown(call) else None

    def end_now(self, call: Call, reason: str) -> bool:
        """End a call that has not ended; False when it has."""
        if call.ended is not None:
            return False
        self._waiting.pop(call.id, None)
        if call.timer is not None:
            call.timer.cancel()
        self._end(call, self._next_moment(call), reason)
        return True

    def forward(self, call: Call, destination: Mapping[str, Any]) -> None:
        """Transfer a conversation."""
        if call.timer is not None:
            call.timer.cancel()
        at = self._next_moment(call)
        call.status, call.destination, call.updated = "forwarding", destination, at
        self._tell(call, "status-update", payloads.status_update)
        self._after(call, at + FORWARDING, self._end, FORWARDED)

    def busy_line_seconds(self) -> tuple[float, float]:
        """Real and simulated seconds that lines were taken, added up over all of them."""
        now = Moment(real_now(), self.clock.now())
        real, simulated = self._busy_real, self._busy_simulated
        for call in self._on_lines.values():
            if call.dialled is not None:
                real += (now.real - call.dialled.real).total_seconds()
                simulated += max((now.simulated - call.dialled.simulated).total_seconds(), 0)
        return real, simulated

    def close(self) -> None:
        """Stop every timer."""
        for call in self.calls.values():
            if call.timer is not None:
                call.timer.cancel()

    def _take(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._phone_numbers.clear()
        self._start_waiting()

    def _next_moment(self, call: Call) -> datetime:
        """Now, but not before what was last said of the call."""
        return max(self.clock.now(), call.updated)

    def _over_limit(self, phone_number_id: str) -> OverLimit | None:
        limit = self.scenario.limits.get(phone_number_id)
        if limit is None or self._made[phone_number_id, self.clock.now().date()] < limit.per_day:
            return None
        return limit.over

    def _fault_of_post(self, number: str) -> str | None:
        """Scripted or drawn for every POST that passed the limits, so that one refused is not refused for ever."""
        nth = self._posts_to[number]
        self._posts_to[number] += 1
        person = self.scenario.people.get(number)
        if person is not None and nth < len(person.faults):
            fault = None if person.faults[nth] == "none" else person.faults[nth]
        else:
            roll = dice(self.scenario.seed, number, nth, "post").random()
            fault = pick(self.scenario.post_faults.shares(), roll)
        if fault is not None:
            self.faults[fault] += 1
        return fault

    def _remembered(self, body: Mapping[str, Any], number: str, base_url: str, *, rings: bool) -> Call:
        now = Moment(real_now(), self.clock.now())
        nth = self._calls_to[number]
        earlier = self._open_to.setdefault(number, {})
        call = Call(
            id=self._new_id(),
            body=body,
            number=number,
            nth=nth,
            fate=draw(self.scenario, number, nth),
            accepted=now,
            updated=now.simulated,
            assistant=assistant_of(body, self.scenario),
            phone_number=self._phone_number(body["phoneNumberId"]),
            base_url=base_url,
            overlapped=tuple(earlier),
        )
        self.calls[call.id] = call
        self.in_order.append(call)
        self.accepted.wait_before(None, time.monotonic())
        if name := body.get("name"):
            self.names[name] += 1
        if call.reference:
            self.references[call.reference] += 1
        for kind in ("assistantId", "squadId", "phoneNumberId"):
            if body.get(kind):
                self._named[body[kind]] += 1
        self._made[body["phoneNumberId"], now.simulated.date()] += 1
        if earlier:
            self.overlaps[number] += 1
        earlier[call.id] = call
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        if rings:
            # One that only ends for lack of a line rings nobody; counting it would make fates depend on timing.
            self._calls_to[number] += 1
        return call

    def _phone_number(self, wanted: str) -> Mapping[str, Any]:
        """One object for all calls from a number: a long rehearsal remembers many."""
        if wanted not in self._phone_numbers:
            self._phone_numbers[wanted] = PLAIN_PHONE_NUMBER | self.scenario.phone_numbers.get(wanted, {})
        return self._phone_numbers[wanted]

    def _dial(self, call: Call, at: datetime) -> None:
        call.dialled = Moment(real_now(), at)
        self._on_lines[call.id] = call
        self.most_lines = max(self.most_lines, len(self._on_lines))
        dialled = at + timedelta(seconds=call.fate.dial)
        if call.fate.ring is None:
            self._after(call, dialled, self._end, call.fate.ended_reason)
        else:
            self._after(call, dialled, self._ring, call.fate.ring)

    def _ring(self, call: Call, at: datetime, seconds: float) -> None:
        call.status, call.ringing, call.updated = "ringing", Moment(real_now(), at), at
        self._tell(call, "status-update", payloads.status_update)
        over = at + timedelta(seconds=seconds)
        if call.fate.talk is None:
            self._after(call, over, self._end, call.fate.ended_reason)
        else:
            self._after(call, over, self._answer, call.fate.talk)

    def _answer(self, call: Call, at: datetime, seconds: float) -> None:
        call.status, call.answered, call.updated = "in-progress", Moment(real_now(), at), at
        self._tell(call, "status-update", payloads.status_update)
        reason = call.fate.ended_reason if seconds <= call.longest else CUT_SHORT
        seconds = min(seconds, call.longest)
        over, stall = at + timedelta(seconds=seconds), call.fate.stalls_after
        if stall is not None and stall < seconds:
            self._after(call, at + timedelta(seconds=stall), self._stall, over, reason)
        else:
            self._after(call, over, self._end, reason)

    def _stall(self, call: Call, at: datetime, over: datetime, reason: str) -> None:
        call.updated = at
        self._tell(call, "hang", payloads.hang)
        self._after(call, over, self._end, reason)

    def _end(self, call: Call, at: datetime, reason: str) -> None:
        call.status, call.ended, call.ended_reason, call.updated = "ended", Moment(real_now(), at), reason, at
        if call.fate.outcome in {Outcome.FAILED, Outcome.PIPELINE_ERROR} and reason == call.fate.ended_reason:
            call.ended_message = "The simulator ended this call on purpose."
        self.ended[reason] += 1
        self._open -= 1
        del self._open_to[call.number][call.id]
        if not self._open_to[call.number]:
            del self._open_to[call.number]
        self._tell(call, "status-update", payloads.status_update)
        self._after(call, at + timedelta(seconds=call.fate.processing), self._report)
        if self._on_lines.pop(call.id, None) is not None and call.dialled is not None:
            self._busy_real += (call.ended.real - call.dialled.real).total_seconds()
            self._busy_simulated += (at - call.dialled.simulated).total_seconds()
            self._start_waiting()

    def _report(self, call: Call, at: datetime) -> None:
        call.processed, call.updated, call.timer = True, at, None
        if call.answered is not None or self.scenario.webhooks.report_unanswered:
            self._tell(call, "end-of-call-report", payloads.end_of_call_report)
        self.delivery.finish(call)

    def _start_waiting(self) -> None:
        while self._waiting and self.free_lines > 0:
            call = self._waiting.pop(next(iter(self._waiting)))
            self._dial(call, self.clock.now())

    def _tell(self, call: Call, kind: str, message: Callable[[Call, Scenario], dict[str, Any]]) -> None:
        if self.delivery.wanted(call, kind):
            self.delivery.send(call, message(call, self.scenario), self.scenario)

    def _after(self, call: Call, at: datetime, step: Callable[..., None], *details: object) -> None:
        """Take `step` when the simulated time reaches `at`.

        The step is told the planned time, not when it ran, so that delays neither add up nor show in payloads.
        """
        delay = max(self.clock.real_seconds_until(at), 0)
        call.timer = asyncio.get_running_loop().call_later(delay, partial(step, call, at, *details))
