"""A provider of calls in memory: what it was asked for, what it does with it, and what it will say about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent, Throttled
from campaigns.vapi.requests import CreateCall

FATES = (
    *("accepted", "accepted", "accepted", "accepted", "blocked", "lost answer", "lost answer"),
    *("lost request", "lost request", "not sent", "throttled", "no line", "refused", "account refused"),
)
"""What may become of a request; good ones more often."""

WORDS = ("queued", "ringing", "in-progress", "forwarding", "ended")
REASONS = (
    *("customer-ended-call", "customer-busy", "customer-did-not-answer", "voicemail", "assistant-error"),
    *("call.start.error-subscription-concurrency-limit-reached", "a-reason-nobody-knows"),
)
WITHDRAWN = "manually-canceled"


@dataclass
class Ring:
    """One call at the provider."""

    id: str
    ours: UUID
    number: str
    created_at: datetime
    listed_from: datetime
    """Real time from which a listing has it."""
    blocked: bool
    status: str = "queued"
    reason: str | None = None
    updated_at: datetime = field(init=False)
    ended_at: datetime | None = None
    erased: bool = False

    def __post_init__(self) -> None:
        self.updated_at = self.created_at

    @property
    def live(self) -> bool:
        return self.status != "ended"


class Provider:
    """At most one request for each of our calls may come; each that it takes is a call that is live for a while."""

    def __init__(self) -> None:
        self.requests: Counter[UUID] = Counter()
        self.rings: dict[str, Ring] = {}
        self.untold: list[dict[str, Any]] = []
        """What it will push, if it is not lost on the way."""
        self.told: list[dict[str, Any]] = []

    def post(
        self, request: CreateCall, fate: str, *, now: datetime, real: datetime, lag: timedelta
    ) -> Mapping[str, Any] | CallFailure:
        """The answer to a request, whether or not anybody will hear it."""
        body = json.loads(request.content())
        ours = UUID(body["name"])
        if fate == "not sent":
            return NotSent("no connection")
        self.requests[ours] += 1
        assert self.requests[ours] == 1, f"call {ours} was requested twice"
        match fate:
            case "lost request":
                return CallUnclear("the provider answered 500", status=500)
            case "throttled":
                return Throttled("later", status=429, retry_after=timedelta(seconds=5))
            case "no line":
                return Throttled("no line", status=429, no_line=True)
            case "refused":
                return CallRefused("no such number", status=400)
            case "account refused":
                return AccountRefused("bad key", status=401)
        number = body["customer"]["number"]
        others = [ring for ring in self.rings.values() if ring.live and ring.number == number]
        assert not others, "two live calls ring one number"
        ring = Ring(f"ring-{len(self.rings) + 1}", ours, number, now, real + lag, blocked=fate == "blocked")
        self.rings[ring.id] = ring
        self._tell(ring)
        if fate == "lost answer":
            return CallUnclear("the provider's answer did not arrive")
        limits = {"concurrencyBlocked": True, "remainingConcurrentCalls": 0} if ring.blocked else {}
        return self.record(ring) | ({"subscriptionLimits": limits} if limits else {})

    def go_on(self, ring: Ring, word: str, reason: str, *, now: datetime) -> None:
        """The call moves on, and the provider says so."""
        ring.status = word
        ring.updated_at = now
        if word == "ended":
            ring.reason, ring.ended_at = reason, now
        self._tell(ring)
        if word == "ended":
            self._report(ring)

    def contradict(self, ours: UUID, number: str, word: str, *, now: datetime) -> None:
        """Speak of a call that there should not be: it refused it, or did not list it when it was asked."""
        self._tell(Ring(f"odd-{ours}", ours, number, now, now, blocked=False, status=word))

    def live(self) -> list[Ring]:
        return [ring for ring in self.rings.values() if ring.live]

    def of(self, ours: UUID) -> Ring | None:
        return next((ring for ring in self.rings.values() if ring.ours == ours), None)

    def look_up(self, ours: UUID, provider_id: str | None, *, real: datetime) -> Mapping[str, Any] | None:
        """What it says when it is asked: by its own id at once, in a listing when that has caught up."""
        ring = self.of(ours) if provider_id is None else self.rings[provider_id]
        if ring is None or ring.erased or (provider_id is None and ring.listed_from > real):
            return None
        return self.record(ring)

    def record(self, ring: Ring) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": ring.id,
            "name": str(ring.ours),
            "type": "outboundPhoneCall",
            "status": ring.status,
            "createdAt": ring.created_at.isoformat(),
            "updatedAt": ring.updated_at.isoformat(),
        }
        if ring.ended_at is not None:
            found |= {"endedReason": ring.reason, "endedAt": ring.ended_at.isoformat()}
        return found

    def _tell(self, ring: Ring) -> None:
        ended = {"endedReason": ring.reason} if ring.status == "ended" else {}
        self._push(
            ring, {"type": "status-update", "status": ring.status, "timestamp": _stamp(ring.updated_at), **ended}
        )

    def _report(self, ring: Ring) -> None:
        spoke = ring.reason == "customer-ended-call"
        turns = [{"role": "user", "message": "yes"}] if spoke else []
        report = {
            "type": "end-of-call-report",
            "endedReason": ring.reason,
            "timestamp": _stamp(ring.updated_at),
            "endedAt": ring.updated_at.isoformat(),
            "artifact": {"messages": turns},
            "cost": 0.05,
        }
        self._push(ring, report)

    def _push(self, ring: Ring, message: dict[str, Any]) -> None:
        self.untold.append({"message": message | {"call": {"id": ring.id, "name": str(ring.ours)}}})


def nameless(body: dict[str, Any]) -> dict[str, Any]:
    """The same message without our id, as a report may come."""
    message = body["message"]
    return {"message": message | {"call": {"id": message["call"]["id"]}}}


def _stamp(moment: datetime) -> float:
    return moment.timestamp() * 1000
