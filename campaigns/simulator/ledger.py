"""What really happened: the simulator's own account, for a test to hold against what the caller believes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from campaigns.simulator.calls import Call, Moment
from campaigns.simulator.clock import iso
from campaigns.simulator.exchange import Exchange
from campaigns.simulator.rates import most_in_a_second


def ledger(exchange: Exchange, *, with_calls: bool) -> dict[str, Any]:
    """Totals and, if wanted, every accepted POST, oldest first. Computed when asked for."""
    names = Counter(name for call in exchange.calls.values() if (name := call.body.get("name")))
    totals = {
        "accepted": len(exchange.calls),
        "refused": {str(status): count for status, count in sorted(exchange.refused.items())},
        "ended": dict(Counter(call.ended_reason for call in exchange.calls.values() if call.ended_reason)),
        "post_faults": dict(exchange.faults),
        "over_concurrency": dict(exchange.over_concurrency),
        "max_concurrent_calls": exchange.most_lines,
        "max_open_calls": exchange.most_open,
        "max_posts_in_a_second": most_in_a_second(exchange.accepted_at),
        "overlapping_calls": dict(exchange.overlaps),
        "repeated_names": {name: count for name, count in names.items() if count > 1},
        "webhooks": dict(sorted(exchange.delivery.counts.items())),
    }
    calls = [_entry(call) for call in exchange.calls.values()] if with_calls else []
    return {"totals": totals, "calls": calls}


def _entry(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "name": call.body.get("name"),
        "metadata": call.overrides.get("metadata"),
        "number": call.number,
        "nth": call.nth,
        "status": call.status,
        "outcome": call.fate.outcome.value,
        "ended_reason": call.ended_reason,
        "blocked": call.blocked,
        "accepted": _times(call.accepted),
        "ringing": _times(call.ringing),
        "answered": _times(call.answered),
        "ended": _times(call.ended),
    }


def _times(moment: Moment | None) -> dict[str, str] | None:
    return None if moment is None else {"real": iso(moment.real), "simulated": iso(moment.simulated)}
