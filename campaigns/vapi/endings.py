"""How a call ended, gathered from wherever Vapi puts each fact: the message, its artifact and analysis, or the call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from campaigns.rules.outcome import Ending, OutcomeClass
from campaigns.vapi.ended_reasons import ending_class
from campaigns.vapi.redaction import unsigned

Json = Mapping[str, Any]

POST_PROCESSING: Final = timedelta(minutes=5)  # three analyses of at most 60 s each, then room for structured outputs

_NOTHING: Final[Json] = {}
_MILLISECONDS_FROM: Final = 100_000_000_000  # in seconds this is the year 5138, in milliseconds 1973: no overlap
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DOLLARS: Final = Decimal(1_000_000)  # a single call above this is a typing error at the provider's end

_COMPONENTS: Final[Mapping[str, str]] = {
    "transport": "transport",
    "transcriber": "transcription",
    "stt": "transcription",
    "model": "model",
    "llm": "model",
    "chat": "model",
    "voice": "voice",
    "tts": "voice",
    "vapi": "platform",
    "analysis": "analysis",
    "voicemail-detection": "voicemail_detection",
    "knowledge-base": "knowledge_base",
}
"""Vapi's names of what a call costs, in `costs[].type` and in `costBreakdown`, in our words. The rest is `other`."""


def read_ending(message: Json, call: Json, *, complete: bool) -> Ending:
    """The ending that `message` about `call` reports, or the one `call` itself records (then `message` is empty).

    `message` wins over `call`, being newer. Costs are left unknown until `complete`: before, Vapi says 0.
    """
    reason = _text(message, call, key="endedReason")
    facts = ending_class(reason)
    started_at = instant(message.get("startedAt")) or instant(call.get("startedAt"))
    artifacts = (mapping(message, "artifact"), mapping(call, "artifact"))
    analyses = (mapping(message, "analysis"), mapping(call, "analysis"))
    talk = _conversation(*artifacts, message, call)
    spoke = talk.spoke
    if facts.outcome is OutcomeClass.VOICEMAIL:
        answered: bool | None = False  # the user's turns are the machine's greeting
    else:
        answered = facts.answered if spoke is None else spoke
    return Ending(
        reason=reason,
        outcome=facts.outcome,
        rang=facts.rang or started_at is not None or bool(spoke),
        no_line=facts.no_line,
        answered=answered,
        started_at=started_at,
        ended_at=instant(message.get("endedAt")) or instant(call.get("endedAt")),
        cost=_cost(message, call) if complete else None,
        costs=_costs(message, call) if complete else {},
        summary=_text(*analyses, message, call, key="summary"),
        success=_success(analyses),
        structured=_structured(analyses, artifacts),
        transcript=_text(artifacts[0], analyses[0], message, artifacts[1], call, key="transcript"),
        recording=_recording(artifacts, message, call),
        said=talk.said,
        replied=talk.replied,
        tools=talk.tools,
        complete=complete,
    )


def is_finished(call: Json, now: datetime) -> bool:
    """Whether an ended `call` read at `now` has nothing more to come.

    Its analysis is written when post-processing is over, so any content proves that. An empty or missing one proves
    nothing: it is also the final state of a call too short to analyse. Then only time tells, as each analysis has a
    limit. A call without any date is taken as finished, since waiting could not change it.
    """
    if any(value not in (None, "", [], {}) for value in mapping(call, "analysis").values()):
        return True
    ended_at = instant(call.get("endedAt")) or instant(call.get("updatedAt")) or instant(call.get("createdAt"))
    return ended_at is None or now - ended_at >= POST_PROCESSING


def mapping(parent: Json, key: str) -> Json:
    """The object at `key`, or an empty one where there is null, nothing or something else."""
    value = parent.get(key)
    return value if isinstance(value, dict) else _NOTHING  # ten times as quick as asking for any Mapping


def instant(value: object) -> datetime | None:
    """The moment meant by ISO text or by a count of seconds or milliseconds since 1970; None where there is none."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return _EPOCH + (timedelta(milliseconds=value) if value >= _MILLISECONDS_FROM else timedelta(seconds=value))
    except (OverflowError, ValueError):
        return None


def text(value: object) -> str | None:
    """`value` where it is text with something in it."""
    return value if isinstance(value, str) and value.strip() else None


def _text(*places: Json, key: str) -> str | None:
    return next((found for place in places if (found := text(place.get(key)))), None)


class _Conversation(NamedTuple):
    """Who said what, and which tools were called."""

    spoke: bool | None
    """Whether the person called said anything; None where no turn of anybody's is recorded."""
    said: tuple[str, ...] = ()
    replied: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()


def _conversation(*places: Json) -> _Conversation:
    """The conversation of the first place that has one, with the tools that any of them names."""
    spoke: bool | None = None
    said: tuple[str, ...] = ()
    replied: tuple[str, ...] = ()
    tools: set[str] = set()
    for place in places:
        for key in ("messages", "messagesOpenAIFormatted"):
            turns = [turn for turn in _objects(place.get(key)) if turn.get("role") != "system"]
            for turn in turns:
                if turn.get("role") not in _SPEAKERS or "tool_calls" in turn:
                    tools.update(_tools(turn))
            if turns and spoke is None:
                said, replied = _joined(turns, _PERSON), _joined(turns, _ASSISTANT)
                spoke = bool(said)
    return _Conversation(spoke, said, replied, frozenset(tools))


_PERSON: Final = frozenset({"user"})
_ASSISTANT: Final = frozenset({"bot", "assistant"})
_SPEAKERS: Final = _PERSON | _ASSISTANT


def _joined(turns: Iterable[Json], speaker: frozenset[str]) -> tuple[str, ...]:
    """What one of the two said. What the transcriber cut in the middle of a sentence is put together again."""
    said: list[str] = []
    going_on = False
    for turn in turns:
        if turn.get("role") not in _SPEAKERS:
            continue
        words = text(turn.get("message")) or text(turn.get("content"))
        if turn.get("role") not in speaker:
            going_on = False
        elif words:
            if going_on:
                said[-1] += f" {words}"
            else:
                said.append(words)
            going_on = True
    return tuple(said)


def _tools(turn: Json) -> Iterator[str]:
    """The tools that a turn calls, or whose result it is."""
    for asked in (turn, *_objects(turn.get("toolCalls")), *_objects(turn.get("tool_calls"))):
        name = text(asked.get("name")) or text(mapping(asked, "function").get("name"))
        if name:
            yield name


def _success(analyses: Iterable[Json]) -> str | None:
    for analysis in analyses:
        value = analysis.get("successEvaluation")
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(value)
        if text(value):
            return str(value)
    return None


def _structured(analyses: Iterable[Json], artifacts: Iterable[Json]) -> dict[str, Any]:
    """All answers side by side: the keys of the one structured answer, the several by key, the outputs by name."""
    answers: dict[str, Any] = {}
    for analysis in analyses:
        single = analysis.get("structuredData")
        if isinstance(single, Mapping):
            answers = {**single, **answers}
        elif single is not None:
            answers.setdefault("data", single)
        for several in _objects(analysis.get("structuredDataMulti")):
            answers = {**several, **answers}
    for artifact in artifacts:
        for identity, output in mapping(artifact, "structuredOutputs").items():
            if isinstance(output, Mapping) and output.get("result") is not None:
                answers.setdefault(text(output.get("name")) or identity, output["result"])
    return answers


def _recording(artifacts: Iterable[Json], message: Json, call: Json) -> str | None:
    """The stable address of the recording, never a presigned one: to fetch from it, the account's key is needed."""
    for artifact in artifacts:
        recording = mapping(artifact, "recording")
        found = _text(mapping(recording, "mono"), key="combinedUrl") or _text(recording, key="stereoUrl")
        if found:
            return unsigned(found)
    for place in (*artifacts, message, call):
        found = _text(place, key="recordingUrl") or _text(place, key="stereoRecordingUrl")
        if found:
            return unsigned(found)
    return None


def _cost(message: Json, call: Json) -> Decimal | None:
    totals = (
        message.get("cost"),
        call.get("cost"),
        *(mapping(place, "costBreakdown").get("total") for place in (message, call)),
    )
    return next((amount for total in totals if (amount := _dollars(total)) is not None), None)


def _costs(message: Json, call: Json) -> dict[str, Decimal]:
    for place in (message, call):
        itemised = [(item.get("type"), item.get("cost")) for item in _objects(place.get("costs"))]
        if itemised:
            return _summed(itemised)
    for place in (message, call):
        breakdown = mapping(place, "costBreakdown")
        items = [(key, value) for key, value in breakdown.items() if key in _COMPONENTS]
        analyses = mapping(breakdown, "analysisCostBreakdown")
        items += [("analysis", value) for key, value in analyses.items() if not key.lower().endswith("tokens")]
        if items:
            return _summed(items)
    return {}


def _summed(items: Iterable[tuple[object, object]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for name, cost in items:
        amount = _dollars(cost)
        if amount is not None:
            component = _COMPONENTS.get(str(name), "other")
            sums[component] = sums.get(component, Decimal(0)) + amount
    return sums


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    amount = Decimal(repr(value))  # of the digits as sent: Decimal(0.1) would be 0.1000000000000000055…
    return amount if 0 <= amount < _MOST_DOLLARS else None


def _objects(value: object) -> Iterator[Json]:
    return (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else iter(())
