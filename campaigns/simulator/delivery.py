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

import httpx

from campaigns.simulator.calls import Call
from campaigns.simulator.chance import dice
from campaigns.simulator.clock import epoch_ms, real_now
from campaigns.simulator.scenario import Scenario

AT_ONCE = 64  # a receiver of one process does not gain from more, and a hanging one must not pile up sockets
PATIENCE = 20  # seconds: Vapi's default for timeoutSeconds
KEEP_IDLE = 2  # seconds; shorter than the 5 that common servers keep, so that none is lost on a closing connection


@dataclass(frozen=True, slots=True)
class _Letter:
    """One message, ready to go."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    secret: str | None
    patience: float
    plan: Mapping[str, Any]

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
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE, keepalive_expiry=KEEP_IDLE)
        # The transport without its client: no cookies, redirects or proxies, and half the work per message.
        self._network = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    def wanted(self, call: Call, kind: str) -> bool:
        """Whether the call has a server that asked for messages of this kind."""
        return call.server is not None and kind in call.server_messages

    def send(self, call: Call, message: Mapping[str, Any], scenario: Scenario) -> None:
        """Put one message on its way and return at once. Lost and doubled ones are drawn here."""
        server = call.server
        if server is None:
            return
        content = message["message"]
        rng = dice(scenario.seed, call.number, call.nth, "webhook", content["type"], content.get("status"))
        lost, doubled = rng.random() < scenario.webhooks.lost, rng.random() < scenario.webhooks.doubled
        self.counts["messages"] += 1
        if lost:
            self.counts["lost"] += 1
            return
        letter = _Letter(
            url=server["url"],
            body=json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(),
            headers=server.get("headers") or {},
            secret=scenario.credentials.get(server.get("credentialId") or ""),
            patience=float(server.get("timeoutSeconds") or PATIENCE),
            plan=server.get("backoffPlan") or {},
        )
        previous, done = call.last_sent, asyncio.get_running_loop().create_future()
        call.last_sent = done
        self._start(self._deliver(letter, previous, done, doubled=doubled))

    async def close(self) -> None:
        """Stop sending."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._network.aclose()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver(
        self, letter: _Letter, previous: asyncio.Future[None] | None, done: asyncio.Future[None], *, doubled: bool
    ) -> None:
        try:
            if previous is not None:
                await previous
            settled = await self._attempt(letter)
        finally:
            done.set_result(None)
        if doubled:
            self.counts["doubled"] += 1
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
                    status = await self._post(letter)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # OSError: TimeoutError is one
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

    async def _post(self, letter: _Letter) -> int:
        request = httpx.Request("POST", letter.url, headers=letter.signed(), content=letter.body)
        response = await self._network.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response.status_code
