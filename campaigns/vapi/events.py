"""Vapi's messages, translated: what it pushes to a webhook, and what it answers when asked for a call.

Pushed or asked for, everything becomes a `Message` in our words, with a redacted body that is safe to store.
Vapi promises no order, no delivery id and no fixed form: only what is no JSON object at all is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson

from campaigns.errors import MalformedMessage
from campaigns.rules.call_status import CallStatus
from campaigns.rules.outcome import Ending
from campaigns.vapi.endings import Json, instant, is_finished, mapping, read_ending, text
from campaigns.vapi.redaction import DEEPEST, is_deeper, redacted, storable
from campaigns.vapi.replies import refusal

CALL_ID_KEY: Final = "call_id"
"""The key of our call id in the metadata of `assistantOverrides` or `squadOverrides`."""

ASKED: Final = "call"
"""The `type` of a Message made of an answer, which carries no word of the provider's for itself."""

_LONGEST_NAME: Final = 200  # characters; Vapi's ids have 36 and its types 32
_LONGEST_KEY: Final = 200  # characters; an index entry in PostgreSQL holds about 2 700 bytes


class MessageKind(StrEnum):
    """What is to be done with a message."""

    STATUS = "status"
    """The call moved on; an answer to our asking is one of these, too."""
    REPORT = "report"
    """The call is over and everything about it is known."""
    HANG = "hang"
    """The assistant kept the person waiting. Counted; the call goes on."""
    DELETED = "deleted"
    """The provider erased its record of the call. Without a status, the call was not over: ask."""
    REQUEST = "request"
    """A question to which we give the answer that we do not serve it: see `reply_to`."""
    OTHER = "other"
    """Told for information. Counted."""
    UNKNOWN = "unknown"
    """A type that we have never heard of. Kept, and it changes nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the answer to placing a call says of the account's lines. None where it does not say."""

    blocked: bool
    """True: this call could not start, because all lines were in use. It may yet be dialled."""
    limit: int | None
    remaining: int | None
    """Lines still allowed, roughly: whether this call is counted is told both ways. Do no exact sums with it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing the provider said about a call, in our words. `None` means that it did not say."""

    type: str
    """The provider's own word."""
    kind: MessageKind
    provider_id: str | None
    """The provider's id of the call."""
    call_id: UUID | None
    """Our own id of the call, as we sent it along. Proven by nothing but its place: look it up within the account."""
    status: CallStatus | None
    occurred_at: datetime | None
    ending: Ending | None
    """For a call that has ended."""
    limits: Limits | None
    control_url: str | None
    """Where the live call takes orders, with no further key. A secret; check its host before use."""
    dedupe_key: str
    """Equal for two deliveries of the same message, within an account. At most 200 characters."""
    outbound: bool
    """False where the provider says that somebody called us, or that no telephone was in it."""
    body: Mapping[str, Any]
    """What was received: redacted, and storable as jsonb."""


_KINDS: Final[Mapping[str, MessageKind]] = {
    "status-update": MessageKind.STATUS,
    "end-of-call-report": MessageKind.REPORT,
    "hang": MessageKind.HANG,
    "call.deleted": MessageKind.DELETED,
    "assistant-request": MessageKind.REQUEST,
    "tool-calls": MessageKind.REQUEST,
    "function-call": MessageKind.REQUEST,
    "transfer-destination-request": MessageKind.REQUEST,
    "handoff-destination-request": MessageKind.REQUEST,
    "knowledge-base-request": MessageKind.REQUEST,
    "call.endpointing.request": MessageKind.REQUEST,
    "voice-request": MessageKind.REQUEST,
    "campaign.predial": MessageKind.REQUEST,
    **dict.fromkeys(
        (
            *("assistant.started", "assistant.speechStarted", "speech-update", "user-interrupted", "voice-input"),
            *("conversation-update", "transcript", "model-output", "language-changed", "language-change-detected"),
            *("transfer-update", "phone-call-control", "call.delete.failed", "call.artifact.upload"),
            *("chat.created", "chat.deleted", "session.created", "session.updated", "session.deleted"),
            *("campaign.started", "campaign.cancelled", "campaign.ended", "campaign.archived", "campaign.unarchived"),
            *("campaign.job.continued", "contact.dispatched", "contact.completed", "contact.failed"),
            *("contact.skipped", "contact.predial-failed"),
        ),
        MessageKind.OTHER,
    ),
}

_STATUSES: Final[Mapping[str, CallStatus]] = {
    "scheduled": CallStatus.SCHEDULED,
    "queued": CallStatus.QUEUED,
    "ringing": CallStatus.RINGING,
    "in-progress": CallStatus.IN_PROGRESS,
    "forwarding": CallStatus.FORWARDING,
    "ended": CallStatus.ENDED,
}


def read_message(body: bytes, *, message_id: str | None = None, with_ending: bool = True) -> Message:
    """What the webhook's `body` says. `message_id` is the sender's id of the message, where one was proven.

    `with_ending=False` leaves the ending out, for a message that is stored now and read again when it is applied.

    Raises MalformedMessage where `body` is not a JSON object, and for nothing else: unknown types, missing parts
    and nulls are read as far as they go.
    """
    received = _parsed(body)
    return _pushed(received, redacted(received), message_id=message_id, with_ending=with_ending)


def read_stored(body: Mapping[str, Any]) -> Message:
    """What a webhook said of which `body` was stored. Secrets are no longer in it."""
    return _pushed(body, body, message_id=None, with_ending=True)


def _pushed(received: Json, stored: Json, *, message_id: str | None, with_ending: bool) -> Message:
    message = mapping(received, "message") or received
    call = mapping(message, "call") or mapping(received, "call")
    kind_of = text(message.get("type")) or ("tool-calls" if message.get("toolCallList") else "unknown")
    # A subscription may carry its filter: transcript[transcriptType="final"].
    kind = _KINDS.get(kind_of.partition("[")[0], MessageKind.UNKNOWN)
    provider_id = (
        _name(mapping(message, "call"), "id") or _name(message, "callId") or _name(mapping(received, "call"), "id")
    )
    call_id = _our_id(message, call)
    status = _pushed_status(kind, message, call)
    occurred_at = instant(message.get("timestamp"))
    return Message(
        type=kind_of[:_LONGEST_NAME],
        kind=kind,
        provider_id=provider_id,
        call_id=call_id,
        status=status,
        occurred_at=occurred_at or instant(call.get("updatedAt")),
        ending=(
            read_ending(message, call, complete=kind is MessageKind.REPORT)
            if with_ending and status is CallStatus.ENDED
            else None
        ),
        limits=_limits(message) or _limits(call),
        control_url=_control_url(call),
        dedupe_key=_pushed_key(kind, kind_of, provider_id or call_id, status, message, message_id, stored),
        outbound=_is_outbound(call),
        body=stored,
    )


def read_call(call: Mapping[str, Any], *, now: datetime, waited: bool = False) -> Message:
    """What the provider answered about one call: to creating it, to asking for it, or as one of a listing.

    `now` tells whether an ended call can still be worked on, and so whether its ending is complete; where we have
    `waited` for that long ourselves, it is, whatever the provider's clock says.
    Raises MalformedMessage where `call` is not a JSON object.
    """
    if not isinstance(call, Mapping):
        raise MalformedMessage("the provider's answer is not a call: expected a JSON object")
    received: Json = storable(call)
    provider_id = _name(received, "id")
    call_id = _our_id({}, received)
    status = _status(received)
    ending = None
    if status is CallStatus.ENDED:
        ending = read_ending({}, received, complete=waited or is_finished(received, now))
    stored = redacted(received)
    return Message(
        type=ASKED,
        kind=MessageKind.STATUS,
        provider_id=provider_id,
        call_id=call_id,
        status=status,
        occurred_at=instant(received.get("updatedAt")) or instant(received.get("createdAt")),
        ending=ending,
        limits=_limits(received),
        control_url=_control_url(received),
        dedupe_key=_asked_key(provider_id or call_id, status, ending, received, stored),
        outbound=_is_outbound(received),
        body=stored,
    )


def our_call(call: Mapping[str, Any]) -> UUID | None:
    """Which of our calls the provider's record is of: all that is read of the many in a listing."""
    return _our_id({}, dict(call))


def reply_to(message: Message) -> dict[str, Any]:
    """The body to answer the webhook with: that we do not serve a request, or nothing in particular for the rest."""
    return refusal(message.type, mapping(message.body, "message") or message.body)


def _parsed(body: bytes) -> Json:
    try:
        parsed = _loaded(body)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        raise MalformedMessage(f"the webhook's body is {reason}: {len(body)} bytes") from None
    if not isinstance(parsed, dict):
        raise MalformedMessage(f"the webhook's body is a JSON {type(parsed).__name__}, expected an object")
    if is_deeper(parsed, DEEPEST):
        raise MalformedMessage(f"the webhook's body is nested too deeply: more than {DEEPEST} levels")
    # NUL and lone surrogates can only have come as escapes: without any, what was parsed is storable as it is.
    received: Json = storable(parsed) if b"\\u" in body else parsed
    return received


def _loaded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        # Slower and more tolerant: a broken character inside a report must not cost the report, and becomes U+FFFD.
        words = body.decode("utf-8-sig", "replace")
        return json.loads(words, parse_int=_integer, parse_float=_float, parse_constant=_no_number)


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= 300 else None  # Python itself refuses beyond 4 300 digits


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _no_number(_: str) -> None:
    """NaN and Infinity, which JSON does not know and PostgreSQL refuses."""


def _our_id(message: Json, call: Json) -> UUID | None:
    """Our call id, from the surest place to the least.

    Overrides' metadata is written by us alone, under a key of our own. A name can be changed later by anybody with
    the account. A customer's external id is what other systems, too, may fill with ids of their own.
    """
    candidates = [
        mapping(owner, "metadata").get(CALL_ID_KEY)
        for place in (call, message)
        for owner in (
            mapping(place, "assistantOverrides"),
            mapping(place, "squadOverrides"),
            mapping(mapping(place, "customer"), "assistantOverrides"),
            mapping(place, "assistant"),
        )
    ]
    candidates.append(call.get("name"))
    candidates += [mapping(place, "customer").get("externalId") for place in (call, message)]
    return next((found for candidate in candidates if (found := _uuid(candidate))), None)


def _uuid(value: object) -> UUID | None:
    # Only as we write it: UUID() also takes braces, a urn and bare digits, which are somebody else's.
    try:
        found = UUID(value) if isinstance(value, str) and len(value) == 36 else None
    except ValueError:
        return None
    return found if found and str(found) == str(value).lower() else None


def _pushed_status(kind: MessageKind, message: Json, call: Json) -> CallStatus | None:
    # What the call object of any other message says is older than the message, and may be overtaken already.
    if kind is MessageKind.REPORT:
        return CallStatus.ENDED
    if kind is MessageKind.STATUS:
        return _STATUSES.get(str(message.get("status"))) or _status(call)
    if kind is MessageKind.DELETED and _status(call) is CallStatus.ENDED:
        return CallStatus.ENDED
    return None


def _status(call: Json) -> CallStatus | None:
    """Where a call stands. A word we do not know (`deletion-failed`) does not hide that the call is over."""
    over = text(call.get("endedReason")) or instant(call.get("endedAt"))
    return _STATUSES.get(str(call.get("status"))) or (CallStatus.ENDED if over else None)


def _is_outbound(call: Json) -> bool:
    return call.get("type") not in ("inboundPhoneCall", "webCall", "vapi.websocketCall")


def _limits(place: Json) -> Limits | None:
    said = mapping(place, "subscriptionLimits")
    if not said:
        return None
    return Limits(
        blocked=said.get("concurrencyBlocked") is True,
        limit=_count(said.get("concurrencyLimit")),
        remaining=_count(said.get("remainingConcurrentCalls")),
    )


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        return None
    return int(value)


def _control_url(call: Json) -> str | None:
    url = text(mapping(call, "monitor").get("controlUrl"))
    return (
        url if url and url.startswith("https://") and len(url) <= 2000 else None
    )  # characters; real ones have about 120


def _name(place: Json, key: str) -> str | None:
    found = text(place.get(key))
    return found if found and len(found) <= _LONGEST_NAME else None


def _pushed_key(
    kind: MessageKind,
    kind_of: str,
    call: str | UUID | None,
    status: CallStatus | None,
    message: Json,
    message_id: str | None,
    stored: Json,
) -> str:
    """One key per fact where the fact is told once, whatever the delivery: an end, a report.

    For the rest the sender's id of the message, if it has one; whether Vapi keeps it over a repeated delivery is not
    documented, and a repeat that slips through changes nothing. Last resorts are the moment, and the body itself.
    """
    if call is None:
        return _hashed("body", stored)
    if kind is MessageKind.REPORT:
        return _short(f"{call}:report")
    if kind is MessageKind.STATUS and status is CallStatus.ENDED:
        return _short(f"{call}:status:ended")
    if message_id:
        return _short(f"{call}:id:{message_id}")
    stamp = message.get("timestamp")
    if stamp is None:
        return _hashed(f"{call}:body", stored)
    told = [message.get(part) for part in ("status", "role", "turn", "transcriptType")]
    return _short(":".join([str(call), kind_of, *("" if part is None else str(part) for part in told), str(stamp)]))


def _asked_key(
    call: str | UUID | None, status: CallStatus | None, ending: Ending | None, received: Json, stored: Json
) -> str:
    """One key per state that the provider's record was seen in.

    Completeness is part of it: time alone completes an ending, while the record stays as it was.
    """
    updated_at = text(received.get("updatedAt"))
    if call is None or updated_at is None:
        return _hashed(f"{call}:asked", stored)
    whole = ":complete" if ending is not None and ending.complete else ""
    return _short(f"{call}:asked:{updated_at}:{status}{whole}")


def _hashed(start: str, stored: Json) -> str:
    # Over the redacted body, as presigned URLs differ between deliveries of one message.
    canonical = json.dumps(stored, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return _short(f"{start}:{hashlib.sha256(canonical.encode()).hexdigest()}")


def _short(key: str) -> str:
    key = storable(key)
    return key if len(key) <= _LONGEST_KEY else f"hash:{hashlib.sha256(key.encode()).hexdigest()}"
