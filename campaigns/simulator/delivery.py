"""Webhooks on their way: signed, in the order of each call's life, retried as the server's plan says."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import h11

from campaigns.simulator.calls import Call
from campaigns.simulator.chance import between, dice
from campaigns.simulator.clock import epoch_ms, real_now
from campaigns.simulator.fate import fault_of_letter
from campaigns.simulator.faults import LetterFault
from campaigns.simulator.scenario import Scenario
from campaigns.simulator.sending import Sender

AT_ONCE = 64  # a receiver of one process does not gain from more, and a hanging one must not pile up sockets
PATIENCE = 20  # seconds: Vapi's default for timeoutSeconds
REPORT = "end-of-call-report"


@dataclass(frozen=True, slots=True)
class _Letter:
    """One message, ready to go."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    secret: str | None
    patience: float
    plan: Mapping[str, Any]
    doubled: bool

    def signed(self) -> dict[str, str]:
        """The headers of one attempt. The timestamp is real time, as a receiver's replay window is."""
        headers = {"content-type": "application/json", "user-agent": "outbound-simulator", **self.headers}
        if self.secret is None:
            return headers
        timestamp = str(epoch_ms(real_now()))
        content = timestamp.encode() + b"." + self.body
        signature = hmac.new(self.secret.encode(), content, hashlib.sha256).hexdigest()
        return headers | {"x-timestamp": timestamp, "x-signature": signature}

    def delay_after(self, attempt: int) -> float:
        """Real seconds to wait after the failed attempt number `attempt` (from 0)."""
        base = float(self.plan.get("baseDelaySeconds", 0))
        return base * 2**attempt if self.plan.get("type") == "exponential" else base


class Delivery:
    """Sends messages. The first attempts of one call's messages keep their order; retries and doubles may overtake."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sender = Sender()

    def wanted(self, call: Call, kind: str) -> bool:
        """Whether the call has a server that asked for messages of this kind."""
        return call.server is not None and kind in call.server_messages

    def send(self, call: Call, message: Mapping[str, Any], scenario: Scenario) -> None:
        """Put one message on its way and return at once, unless a fault that is scripted or drawn here keeps it."""
        server = call.server
        if server is None:
            return
        self.counts["messages"] += 1
        kind, label = message["message"]["type"], message["message"].get("status") or message["message"]["type"]
        fault = fault_of_letter(scenario, call.number, call.nth, label)
        if fault is not LetterFault.NONE and fault is not LetterFault.EARLY:
            self.counts[fault.value] += 1
        if fault is LetterFault.LOST:
            self._release(call)
            return
        letter = _Letter(
            url=server["url"],
            body=json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(),
            headers=server.get("headers") or {},
            secret=scenario.credentials.get(server.get("credentialId") or ""),
            patience=float(server.get("timeoutSeconds") or PATIENCE),
            plan=server.get("backoffPlan") or {},
            doubled=fault is LetterFault.DOUBLED,
        )
        if fault is LetterFault.LATE:
            if kind == REPORT:
                rng = dice(scenario.seed, call.number, call.nth, "late")
                self._start(self._deliver_later(letter, between(rng, scenario.webhooks.late_seconds)))
            else:
                call.late.append(letter)
            return
        if fault is LetterFault.REORDERED and call.held is None and kind != REPORT:
            call.held = letter
            return
        self._queue(call, letter)
        if fault is LetterFault.EARLY:
            call.early = call.last_sent
        self._release(call)

    def finish(self, call: Call) -> None:
        """Send what was kept back until the call's life is over."""
        self._release(call)
        for letter in call.late:
            self._queue(call, letter)
        call.late.clear()

    def _release(self, call: Call) -> None:
        """Send the message that was to be overtaken."""
        if call.held is not None:
            self._queue(call, call.held)
            call.held = None

    def _queue(self, call: Call, letter: _Letter) -> None:
        """Send a letter once the first attempt of the call's previous one has been made."""
        previous, done = call.last_sent, asyncio.get_running_loop().create_future()
        call.last_sent = done
        self._start(self._deliver(letter, previous, done))

    async def close(self) -> None:
        """Stop sending."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._sender.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(
        self, letter: _Letter, previous: asyncio.Future[None] | None, done: asyncio.Future[None]
    ) -> None:
        try:
            if previous is not None:
                await previous
            settled = await self._attempt(letter)
        finally:
            done.set_result(None)
        await self._repeat(letter, settled=settled)

    async def _deliver_later(self, letter: _Letter, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._repeat(letter, settled=await self._attempt(letter))

    async def _repeat(self, letter: _Letter, *, settled: bool) -> None:
        if letter.doubled:
            await self._attempt(letter)
        for attempt in range(int(letter.plan.get("maxRetries", 0))):
            if settled:
                break
            await asyncio.sleep(letter.delay_after(attempt))
            self.counts["retries"] += 1
            settled = await self._attempt(letter)
        if not settled:
            self.counts["given_up"] += 1

    async def _attempt(self, letter: _Letter) -> bool:
        """Whether no further attempt is due: it was taken, or refused with a status that the plan excludes."""
        async with self._slots:
            self.counts["attempts"] += 1
            try:
                async with asyncio.timeout(letter.patience):
                    status = await self._sender.post(letter.url, letter.signed(), letter.body)
            except (OSError, ValueError, h11.ProtocolError) as error:  # OSError: TimeoutError is one
                self.counts[f"failed: {type(error).__name__}"] += 1
                return False
        self.counts[f"answered {status}"] += 1
        if 200 <= status < 300:
            self.counts["delivered"] += 1
            return True
        if status in letter.plan.get("excludedStatusCodes", ()):
            self.counts["given_up"] += 1
            return True
        return False
