"""A call and its messages in Vapi's shape."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from campaigns.simulator.calls import PLAIN_PHONE_NUMBER, Call
from campaigns.simulator.clock import epoch_ms, iso
from campaigns.simulator.conversation import Story, tell
from campaigns.simulator.scenario import Scenario

_ECHOED = [
    "assistantId",
    "assistant",
    "assistantVersion",
    "assistantOverrides",
    "squadId",
    "squad",
    "squadVersion",
    "squadOverrides",
    "phoneNumberId",
    "customer",
    "name",
]
_STORAGE = "https://storage.simulated.example/recordings"


def call_object(call: Call, scenario: Scenario) -> dict[str, Any]:
    """What `GET /call/{id}` answers at this moment."""
    fields = _bare_call(call, scenario)
    if not call.processed:
        return fields
    story = tell(call, scenario.seed)
    return fields | _costs(story) | {"analysis": story.analysis, "artifact": _artifact(call, story)}


def accepted(call: Call, scenario: Scenario, *, remaining: int) -> dict[str, Any]:
    """What `POST /call` answers. `remaining` lines are still free."""
    limits = {
        "concurrencyBlocked": call.blocked,
        "concurrencyLimit": scenario.concurrency,
        "remainingConcurrentCalls": max(remaining, 0),
    }
    return {"subscriptionLimits": limits} | _bare_call(call, scenario)


def status_update(call: Call, scenario: Scenario) -> dict[str, Any]:
    """The message that a call's status changed."""
    fields: dict[str, Any] = {"status": call.status}
    if call.status == "forwarding" and call.destination is not None:
        fields["destination"] = call.destination
    if call.status == "ended":
        fields["endedReason"] = call.ended_reason
        if call.answered is not None:
            story = tell(call, scenario.seed)
            fields["artifact"] = {
                "messages": story.messages,
                "messagesOpenAIFormatted": story.openai_messages,
                "transcript": "",
            }
    return _message("status-update", call, fields, _bare_call(call, scenario))


def hang(call: Call, scenario: Scenario) -> dict[str, Any]:
    """The message that the assistant stalls."""
    return _message("hang", call, {}, _bare_call(call, scenario))


def end_of_call_report(call: Call, scenario: Scenario) -> dict[str, Any]:
    """The message that the call is over and everything about it is known."""
    story = tell(call, scenario.seed)
    about = _bare_call(call, scenario) | _costs(story)
    fields: dict[str, Any] = {
        "endedReason": call.ended_reason,
        "cost": story.cost,
        "costs": story.costs,
        "analysis": story.analysis,
        "artifact": _artifact(call, story),
        **{name: about[name] for name in ("startedAt", "endedAt") if name in about},
    }
    return _message("end-of-call-report", call, fields, about)


def saved(resource_id: str, fields: Mapping[str, Any], scenario: Scenario, since: datetime) -> dict[str, Any]:
    """A saved assistant or squad."""
    return _resource(resource_id, scenario, since) | dict(fields)


def phone_number(number_id: str, scenario: Scenario, since: datetime) -> dict[str, Any]:
    """A phone number, the carrier's credentials included, as Vapi shows it."""
    return _resource(number_id, scenario, since) | PLAIN_PHONE_NUMBER | scenario.phone_numbers.get(number_id, {})


def _resource(resource_id: str, scenario: Scenario, since: datetime) -> dict[str, Any]:
    return {"id": resource_id, "orgId": scenario.org_id, "createdAt": iso(since), "updatedAt": iso(since)}


def _bare_call(call: Call, scenario: Scenario) -> dict[str, Any]:
    """The call without what only post-processing adds."""
    sid = "CA" + call.id.replace("-", "")
    carrier = call.phone_number.get("provider", "twilio")
    transport = {"provider": carrier, "conversationType": "voice", "accountSid": PLAIN_PHONE_NUMBER["twilioAccountSid"]}
    dialled = call.ringing is not None
    fields: dict[str, Any] = {
        "id": call.id,
        "orgId": scenario.org_id,
        "type": "outboundPhoneCall",
        "createdAt": iso(call.accepted.simulated),
        "updatedAt": iso(call.updated),
        "status": call.status,
        **{name: call.body[name] for name in _ECHOED if name in call.body},
        "phoneCallProvider": carrier,
        "phoneCallTransport": "pstn",
        "transport": transport | ({"callSid": sid} if dialled else {}),
        "cost": 0,
        "monitor": {
            "listenUrl": f"{call.base_url.replace('http', 'ws', 1)}/call/{call.id}/listen",
            "controlUrl": f"{call.base_url}/call/{call.id}/control",
        },
    }
    if dialled:
        fields["phoneCallProviderId"] = sid
    if call.answered is not None:
        fields["startedAt"] = iso(call.answered.simulated)
    if call.ended is not None:
        fields |= {"endedAt": iso(call.ended.simulated), "endedReason": call.ended_reason}
    if call.destination is not None:
        fields["destination"] = call.destination
    if call.ended_message is not None:
        fields["endedMessage"] = call.ended_message
    return fields


def _costs(story: Story) -> dict[str, Any]:
    return {"cost": story.cost, "costs": story.costs, "costBreakdown": story.breakdown}


def _artifact(call: Call, story: Story) -> dict[str, Any]:
    stem = f"{_STORAGE}/{call.id}"
    spoken: dict[str, Any] = {
        "messages": story.messages,
        "messagesOpenAIFormatted": story.openai_messages,
        "transcript": story.transcript,
        "logUrl": f"{stem}-log.jsonl.gz",
    }
    if not story.messages:
        return spoken
    return spoken | {
        "recordingUrl": f"{stem}-mono.wav",
        "stereoRecordingUrl": f"{stem}-stereo.wav",
        "recording": {
            "stereoUrl": f"{stem}-stereo.wav",
            "mono": {
                "combinedUrl": f"{stem}-mono.wav",
                "assistantUrl": f"{stem}-assistant.wav",
                "customerUrl": f"{stem}-customer.wav",
            },
        },
        "presignedMonoUrl": f"{stem}-mono.wav?signature=simulated",
        "presignedUrlsExpiresAt": iso(call.updated + timedelta(hours=1)),
        "variableValues": call.variables,
        **(
            {"structuredOutputs": story.structured_outputs, "structuredOutputsLastUpdatedAt": iso(call.updated)}
            if story.structured_outputs
            else {}
        ),
    }


def _message(kind: str, call: Call, fields: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "message": {
            "type": kind,
            "timestamp": epoch_ms(call.updated),
            **fields,
            "call": about,
            "assistant": call.assistant,
            "customer": call.body["customer"],
            "phoneNumber": {name: value for name, value in call.phone_number.items() if name != "status"},
        }
    }
