"""One accepted call, as the simulator remembers it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from campaigns.simulator.fate import Fate
from campaigns.simulator.scenario import Scenario

Status = Literal["queued", "ringing", "in-progress", "forwarding", "ended"]

DEFAULT_SERVER_MESSAGES = [
    "conversation-update",
    "end-of-call-report",
    "function-call",
    "hang",
    "speech-update",
    "status-update",
    "tool-calls",
    "transfer-destination-request",
    "handoff-destination-request",
    "user-interrupted",
    "assistant.started",
]
"""What Vapi sends when the assistant does not say."""

LONGEST_CALL = 600  # seconds: Vapi's default for maxDurationSeconds

PLAIN_ASSISTANT: dict[str, Any] = {
    "name": "Rehearsal assistant",
    "firstMessage": "Hello {{name}}, I am calling about your appointment.",
    "model": {
        "provider": "openai",
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Ask {{name}} whether the appointment still suits."}],
    },
    "voice": {"provider": "11labs", "voiceId": "sarah"},
    "transcriber": {"provider": "deepgram", "model": "nova-3", "language": "en"},
}
"""What a saved assistant looks like when the scenario says no more about it."""

PLAIN_PHONE_NUMBER: dict[str, Any] = {
    "provider": "twilio",
    "number": "+14155550199",
    "name": "Rehearsal line",
    "status": "active",
    "twilioAccountSid": "AC0000000000000000000000000000simu",
    "twilioAuthToken": "simulated-twilio-auth-token-never-store-me",
    "twilioApiKey": "SK0000000000000000000000000000simu",
    "twilioApiSecret": "simulated-twilio-api-secret-never-store-me",
}
"""Vapi sends the carrier's credentials along, so the stand-in does too: whoever stores them has a test that fails."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, on both clocks."""

    real: datetime
    simulated: datetime


@dataclass(slots=True, eq=False)
class Call:
    """One accepted POST and what became of it."""

    id: str
    body: Mapping[str, Any]
    number: str
    nth: int
    """How many calls this number had before."""
    fate: Fate
    accepted: Moment
    updated: datetime
    assistant: Mapping[str, Any]
    """With the overrides applied."""
    phone_number: Mapping[str, Any]
    base_url: str
    status: Status = "queued"
    overlapped: tuple[str, ...] = ()
    """Calls to the same number that had not ended when this one was accepted."""
    blocked: bool = False
    """Accepted when every line was taken."""
    dialled: Moment | None = None
    """Since when it has had a line; None when it never got one."""
    ringing: Moment | None = None
    answered: Moment | None = None
    ended: Moment | None = None
    ended_reason: str | None = None
    ended_message: str | None = None
    destination: Mapping[str, Any] | None = None
    """To whom it was transferred."""
    processed: bool = False
    """Post-processing is done: analysis, artifact and cost exist."""
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    last_sent: asyncio.Future[None] | None = field(default=None, repr=False)
    """Done when the previous message about this call has been tried once."""
    held: Any = field(default=None, repr=False)
    """A message that the next one must overtake."""
    late: list[Any] = field(default_factory=list, repr=False)
    """Messages that wait for the call's report."""
    early: asyncio.Future[None] | None = field(default=None, repr=False)
    """Done when the first message has arrived, where the POST's answer must wait for it."""

    @property
    def overrides(self) -> Mapping[str, Any]:
        """What the POST laid over the assistant or the squad."""
        return self.body.get("assistantOverrides") or self.body.get("squadOverrides") or {}

    @property
    def server(self) -> Mapping[str, Any] | None:
        """Where messages go, in Vapi's order: the assistant's server, else the phone number's."""
        for holder in (self.assistant, self.phone_number):
            server: Mapping[str, Any] = holder.get("server") or {}
            if server.get("url"):
                return server
        return None

    @property
    def reference(self) -> str | None:
        """What the caller calls it: the customer's external id, else the name, else the metadata."""
        metadata = self.overrides.get("metadata")
        said = self.body["customer"].get("externalId") or self.body.get("name")
        return said or (json.dumps(metadata, sort_keys=True) if metadata else None)

    @property
    def variables(self) -> dict[str, Any]:
        """What may be put into the assistant's texts, innermost last."""
        values: dict[str, Any] = {}
        for holder in (self.body, self.body["customer"]):
            for name in ("assistantOverrides", "squadOverrides"):
                values |= (holder.get(name) or {}).get("variableValues") or {}
        return values

    @property
    def server_messages(self) -> list[str]:
        """Which messages the assistant wants."""
        wanted = self.assistant.get("serverMessages")
        return DEFAULT_SERVER_MESSAGES if wanted is None else wanted

    @property
    def longest(self) -> float:
        """The longest conversation allowed, in simulated seconds."""
        return float(self.assistant.get("maxDurationSeconds") or LONGEST_CALL)

    @property
    def talked(self) -> float:
        """Simulated seconds of conversation so far; 0 when nothing picked up."""
        if self.answered is None or self.ended is None:
            return 0
        return max((self.ended.simulated - self.answered.simulated).total_seconds(), 0)


def assistant_of(body: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
    """The assistant that speaks in this call, with every override laid over it."""
    effective: dict[str, Any] = {}
    for layer in _layers(body, scenario):
        effective.update(layer)
    for only_of_the_call in ("variableValues", "tools:append"):
        effective.pop(only_of_the_call, None)
    return effective


def squad(squad_id: str, scenario: Scenario) -> Mapping[str, Any]:
    """A saved squad: one member while the scenario says no more about it."""
    return {"name": "Rehearsal squad", "members": [{"assistantId": "rehearsal-assistant"}]} | scenario.squads.get(
        squad_id, {}
    )


def _layers(body: Mapping[str, Any], scenario: Scenario) -> Iterator[Mapping[str, Any]]:
    team = body.get("squad") or (squad(body["squadId"], scenario) if body.get("squadId") else None)
    # Of a squad, the first member begins; the rehearsal ends before it hands over.
    first = team["members"][0] if team else body
    if first.get("assistant"):
        yield first["assistant"]
    else:
        yield PLAIN_ASSISTANT
        yield scenario.assistants.get(first.get("assistantId") or "", {})
    if team:
        yield first.get("assistantOverrides") or {}
        yield team.get("membersOverrides") or {}
    for holder in (body, body["customer"]):
        for name in ("assistantOverrides", "squadOverrides"):
            yield holder.get(name) or {}
