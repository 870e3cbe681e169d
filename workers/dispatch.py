"""Claiming: due prospects become calls to place."""

from __future__ import annotations

from uuid import UUID

from campaigns import clock
from campaigns.pipeline import dispatching, halting
from campaigns.settings import settings
from workers.app import app, for_each, hint, log, transaction
from workers.calls import place_calls


@app.task(name="dispatch.tick")
def tick() -> bool:
    """Claim for every account that has work. Run twice, the second finds the lines taken and claims nothing.

    False where it failed for each of them.
    """
    with transaction() as session:
        frozen = halting.guard_home(session, now=clock.read(session).now)
    if frozen:
        log.error("dialling is frozen, `outbound status` says why: %s", ", ".join(frozen))
    with transaction() as session:
        accounts = dispatching.accounts_with_work(session)
    return for_each("claiming for account", accounts, claim)


@app.task(name="dispatch.refill")
def refill(account_id: str) -> None:
    """Claim for one account, just after one of its lines came free. Run twice, it claims only what is free."""
    claim(UUID(account_id))


def claim(account_id: UUID) -> None:
    """Claim what fits and offer it to the callers."""
    with transaction() as session:
        if halting.moved(session) is not None:
            return
        moment = clock.read(session)
        offered = dispatching.claim_due(session, account_id, now=moment.now, real=moment.real, timing=settings().timing)
        lots = dispatching.lots(session, offered)
    for lot in lots:
        hint(place_calls, *map(str, lot))
