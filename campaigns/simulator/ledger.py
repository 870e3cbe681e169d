"""What really happened: the simulator's own account, for a test to hold against what the caller believes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.simulator.calls import Call, Moment
from campaigns.simulator.clock import iso
from campaigns.simulator.exchange import Exchange


def ledger(exchange: Exchange, *, with_calls: bool) -> dict[str, Any]:
    """Totals and, if wanted, every accepted POST, oldest first.

    The totals are kept as calls come: who asks often must not hold up the calls.
    """
    real, simulated = exchange.busy_line_seconds()
    totals = {
        "accepted": len(exchange.calls),
        "refused": {str(status): count for status, count in sorted(exchange.refused.items())},
        "ended": dict(exchange.ended),
        "post_faults": dict(exchange.faults),
        "over_concurrency": dict(exchange.over_concurrency),
        "max_concurrent_calls": exchange.most_lines,
        "busy_line_seconds": {"real": round(real, 3), "simulated": round(simulated, 3)},
        "max_open_calls": exchange.most_open,
        "max_posts_in_a_second": exchange.accepted.most,
        "overlapping_calls": dict(exchange.overlaps),
        "repeated_names": {name: count for name, count in exchange.names.items() if count > 1},
        "repeated_references": {name: count for name, count in exchange.references.items() if count > 1},
        "webhooks": dict(sorted(exchange.delivery.counts.items())),
    }
    calls = [_entry(call, exchange) for call in exchange.calls.values()] if with_calls else []
    return {"totals": totals, "calls": calls, "references": _references(calls)}


def _references(calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was accepted under each of the caller's own ids, with the ids of whom it overlapped."""
    found: dict[str, Any] = {}
    for call in calls:
        if call["reference"] is not None:
            about = found.setdefault(call["reference"], {"accepted": 0, "at": [], "calls": [], "overlapped": []})
            about["accepted"] += 1
            about["at"].append(call["accepted"]["real"])
            about["calls"].append(call["id"])
            about["overlapped"] += [other["reference"] or other["id"] for other in call["overlapped"]]
    return found


def _entry(call: Call, exchange: Exchange) -> dict[str, Any]:
    return {
        "id": call.id,
        "name": call.body.get("name"),
        "reference": call.reference,
        "external_id": call.body["customer"].get("externalId"),
        "metadata": call.overrides.get("metadata"),
        "number": call.number,
        "nth": call.nth,
        "status": call.status,
        "outcome": call.fate.outcome.value,
        "ended_reason": call.ended_reason,
        "blocked": call.blocked,
        "overlapped": [{"id": other, "reference": exchange.calls[other].reference} for other in call.overlapped],
        "accepted": _times(call.accepted),
        "dialled": _times(call.dialled),
        "ringing": _times(call.ringing),
        "answered": _times(call.answered),
        "ended": _times(call.ended),
    }


def _times(moment: Moment | None) -> dict[str, str] | None:
    return None if moment is None else {"real": iso(moment.real), "simulated": iso(moment.simulated)}
