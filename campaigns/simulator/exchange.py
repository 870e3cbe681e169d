"""Lines, the queue for them, and the life of every call. One event loop, no task per call: only timers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from campaigns.simulator import payloads
from campaigns.simulator.calls import PLAIN_PHONE_NUMBER, Call, Moment, assistant_of
from campaigns.simulator.chance import dice, pick
from campaigns.simulator.clock import Clock, real_now
from campaigns.simulator.delivery import Delivery
from campaigns.simulator.fate import draw
from campaigns.simulator.requests import Refusal
from campaigns.simulator.scenario import Outcome, OverConcurrency, Scenario

NO_LINE = "call.start.error-subscription-concurrency-limit-reached"
CUT_SHORT = "exceeded-max-duration"
HUNG_UP = "manually-canceled"
REFUSING = timedelta(seconds=0.4)  # simulated, between a 201 and the end for lack of a line


class Exchange:
    """Everything that the simulator remembers. Must be used from one event loop."""

    def __init__(self, scenario: Scenario, clock: Clock, delivery: Delivery, new_id: Callable[[], str]) -> None:
        self.scenario = scenario
        self.clock = clock
        self.delivery = delivery
        self.closing = asyncio.Event()
        """Set when the process is about to end: nothing may wait any longer."""
        self.calls: dict[str, Call] = {}
        """Every accepted call by id, oldest first."""
        self.accepted_at: list[float] = []
        """Monotonic seconds at which POSTs were accepted."""
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
        self._lines = 0
        self._open = 0
        self._waiting: deque[Call] = deque()
        self._open_to: Counter[str] = Counter()
        self._calls_to: Counter[str] = Counter()
        self._posts_to: Counter[str] = Counter()

    @property
    def free_lines(self) -> int:
        """Lines that are not taken; negative after the limit was lowered under running calls."""
        return self.scenario.concurrency - self._lines

    def change(self, changes: Mapping[str, Any]) -> None:
        """Take new settings for what happens from now on. Wrong ones change nothing and raise SimulatorError."""
        self.scenario = self.scenario.changed(changes)
        self._start_waiting()

    def place(self, body: Mapping[str, Any], base_url: str) -> tuple[Call, str | None]:
        """Accept a checked POST: its call, and which fault its answer must meet. Raises Refusal when not accepted."""
        number = body["customer"]["number"]
        full, form = self.free_lines <= 0, self.scenario.over_concurrency
        if full:
            self.over_concurrency[form.value] += 1
        if full and form is OverConcurrency.REJECT:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Over Concurrency Limit")
        fault = self._fault_of_post(number)
        if fault == "refuse_500":
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")
        call = self._remembered(body, number, base_url)
        self._tell(call, "status-update", payloads.status_update)
        now = call.accepted.simulated
        if not full:
            self._dial(call, now)
        elif form is OverConcurrency.BLOCKED:
            call.blocked = True
            self._waiting.append(call)
        else:
            call.refused_line = True
            self._after(call, now + REFUSING, self._end, NO_LINE)
        return call, fault

    def hang_up(self, call: Call) -> bool:
        """End a call that has not ended; False when it has."""
        if call.ended is not None:
            return False
        if call in self._waiting:
            self._waiting.remove(call)
        if call.timer is not None:
            call.timer.cancel()
        self._end(call, max(self.clock.now(), call.updated), HUNG_UP)
        return True

    def close(self) -> None:
        """Stop every timer."""
        for call in self.calls.values():
            if call.timer is not None:
                call.timer.cancel()

    def _fault_of_post(self, number: str) -> str | None:
        """Drawn for every POST that passed the limits, so that one refused is not refused for ever."""
        nth = self._posts_to[number]
        self._posts_to[number] += 1
        roll = dice(self.scenario.seed, number, nth, "post").random()
        fault = pick(self.scenario.post_faults.shares(), roll)
        if fault is not None:
            self.faults[fault] += 1
        return fault

    def _remembered(self, body: Mapping[str, Any], number: str, base_url: str) -> Call:
        now = Moment(real_now(), self.clock.now())
        nth = self._calls_to[number]
        call = Call(
            id=self._new_id(),
            body=body,
            number=number,
            nth=nth,
            fate=draw(self.scenario, number, nth),
            accepted=now,
            updated=now.simulated,
            assistant=assistant_of(body, self.scenario),
            phone_number=PLAIN_PHONE_NUMBER | self.scenario.phone_numbers.get(body["phoneNumberId"], {}),
            base_url=base_url,
        )
        self.calls[call.id] = call
        self.accepted_at.append(time.monotonic())
        if self._open_to[number]:
            self.overlaps[number] += 1
        self._open_to[number] += 1
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        if self.free_lines > 0 or self.scenario.over_concurrency is OverConcurrency.BLOCKED:
            # One that only ends for lack of a line rings nobody; counting it would make fates depend on timing.
            self._calls_to[number] += 1
        return call

    def _dial(self, call: Call, at: datetime) -> None:
        call.on_line = True
        self._lines += 1
        self.most_lines = max(self.most_lines, self._lines)
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
        self._open -= 1
        self._open_to[call.number] -= 1
        self._tell(call, "status-update", payloads.status_update)
        self._after(call, at + timedelta(seconds=call.fate.processing), self._report)
        if call.on_line:
            call.on_line = False
            self._lines -= 1
            self._start_waiting()

    def _report(self, call: Call, at: datetime) -> None:
        call.processed, call.updated, call.timer = True, at, None
        if call.answered is not None or self.scenario.webhooks.report_unanswered:
            self._tell(call, "end-of-call-report", payloads.end_of_call_report)

    def _start_waiting(self) -> None:
        while self._waiting and self.free_lines > 0:
            self._dial(self._waiting.popleft(), self.clock.now())

    def _tell(self, call: Call, kind: str, message: Callable[[Call, Scenario], dict[str, Any]]) -> None:
        if self.delivery.wanted(call, kind):
            self.delivery.send(call, message(call, self.scenario), self.scenario)

    def _after(self, call: Call, at: datetime, step: Callable[..., None], *details: object) -> None:
        """Take `step` when the simulated time reaches `at`.

        The step is told the planned time, not when it ran, so that delays neither add up nor show in payloads.
        """
        delay = max(self.clock.real_seconds_until(at), 0)
        call.timer = asyncio.get_running_loop().call_later(delay, partial(step, call, at, *details))
