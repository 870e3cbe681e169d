"""Ending every live call of a campaign that was stopped, those included whose request was on its way then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from campaigns import clock, db
from campaigns.errors import OutboundError
from campaigns.pipeline import scheduling, withdrawing
from campaigns.pipeline.withdrawing import LiveCall
from campaigns.rules.call_state import CallState
from campaigns.rules.timing import Timing
from campaigns.settings import secret
from campaigns.vapi.client import Client, HangUp, HangUpResult

AT_ONCE = 8  # orders side by side: two requests of 0.3 s each, so 100 lines take eight seconds
LONGEST = timedelta(seconds=60)  # for all of them; then those not reached are named, and the person is not kept waiting
ON_THE_WAY = Timing().send_budget + timedelta(seconds=1)  # in which a request that was about to leave becomes a call


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of ending one call."""

    call_id: UUID
    result: HangUpResult
    why: str


@dataclass(slots=True)
class HungUp:
    """What came of ending all of them."""

    calls: list[Tried] = field(default_factory=list)

    @property
    def over(self) -> set[UUID]:
        """Those that are over now."""
        return {each.call_id for each in self.calls if each.result is not HangUpResult.IMPOSSIBLE}


def hang_up_all(url: str, campaign: str, *, who: str, why: str | None) -> HungUp:
    """End every call of the campaign that is live or becomes live while a request may still leave; each is tried once.

    Each result is kept in the audit.
    """
    began = time.monotonic()
    done = HungUp()
    while True:
        with db.transaction(url) as session:
            campaign_id = scheduling.find(session, campaign).id
            sending = any(state is CallState.PLACING for _, state in scheduling.still_in_flight(session, campaign_id))
            tried = {each.call_id for each in done.calls}
            live = [each for each in withdrawing.live_calls(session, campaign_id) if each.call_id not in tried]
        passed = timedelta(seconds=time.monotonic() - began)
        for call, result in _try(live, at_most=LONGEST - passed):
            done.calls.append(Tried(call.call_id, result.result, result.why))
            with db.transaction(url) as session:
                now = clock.read(session).now
                withdrawing.record_hang_up(
                    session, call, result=result.result, detail=result.why, who=who, why=why, now=now
                )
        if not live and (not sending or passed > ON_THE_WAY):
            return done
        time.sleep(0.1)


def _try(live: Sequence[LiveCall], *, at_most: timedelta) -> list[tuple[LiveCall, HangUp]]:
    if not live:
        return []
    account = live[0].account  # one campaign, one account
    try:
        provider = Client.of(account, secret(account.key_env))
    except OutboundError as problem:
        return [(call, HangUp(HangUpResult.IMPOSSIBLE, str(problem))) for call in live]
    with provider, ThreadPoolExecutor(AT_ONCE) as pool:
        orders = {pool.submit(provider.hang_up, call.provider_id): call for call in live}
        wait(orders, timeout=max(0.0, at_most.total_seconds()))
        for order in orders:
            order.cancel()  # what has begun is waited for, as long as one request may take
    return [(call, _result(order)) for order, call in orders.items()]


def _result(order: Future[HangUp]) -> HangUp:
    if order.cancelled():
        return HangUp(HangUpResult.IMPOSSIBLE, f"not reached within {LONGEST.total_seconds():g} s")
    try:
        return order.result()
    except OutboundError as problem:
        return HangUp(HangUpResult.IMPOSSIBLE, str(problem))
