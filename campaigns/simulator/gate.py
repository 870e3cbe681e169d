"""What every request to the provider meets first: outages, the bearer key, the rate limit."""

from __future__ import annotations

import hmac
import time
from http import HTTPStatus

from fastapi import Request

from campaigns.simulator.clock import Clock
from campaigns.simulator.exchange import Broken
from campaigns.simulator.rates import SlidingSecond
from campaigns.simulator.requests import Refusal
from campaigns.simulator.scenario import KeyRevoked, Outage, OutageKind, Scenario

WRONG_KEY = (
    "Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa."  # Vapi's words
)


class Gate:
    """Lets requests pass, or raises Refusal or Broken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened = time.monotonic()
        self._requests = SlidingSecond()
        self._posts = SlidingSecond()
        self._with_key = 0

    def weather(self, scenario: Scenario) -> None:
        """Raise what a request meets during an outage."""
        if not self._is_out(scenario.outage):
            return
        if scenario.outage.kind is OutageKind.RESET:
            raise Broken
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")

    def admit(self, request: Request, scenario: Scenario) -> None:
        """Let a request pass that comes outside of outages, has the key and keeps to the rate."""
        self.weather(scenario)
        expected = f"Bearer {scenario.key}".encode()
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            raise Refusal(HTTPStatus.UNAUTHORIZED, WRONG_KEY)
        self._with_key += 1
        if self._is_revoked(scenario.key_revoked):
            raise Refusal(HTTPStatus.UNAUTHORIZED, WRONG_KEY)
        _within(self._requests, scenario.requests_per_second)

    def admit_post(self, request: Request, scenario: Scenario) -> None:
        """The same for a `POST /call`, which has a rate of its own."""
        self.admit(request, scenario)
        _within(self._posts, scenario.posts_per_second)

    def _is_out(self, outage: Outage) -> bool:
        now, running = self._clock.now(), time.monotonic() - self._opened
        return (
            outage.now
            or any(start <= now < end for start, end in outage.spans)
            or any(start <= running < end for start, end in outage.real_seconds)
        )

    def _is_revoked(self, revoked: KeyRevoked) -> bool:
        return (
            revoked.now
            or (revoked.after_requests is not None and self._with_key > revoked.after_requests)
            or (revoked.at is not None and self._clock.now() >= revoked.at)
        )


def _within(passed: SlidingSecond, limit: int | None) -> None:
    if passed.wait_before(limit, time.monotonic()) > 0:
        raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "Rate limit exceeded")
