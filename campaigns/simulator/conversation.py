"""What was said in a call, what was made of it afterwards, and what it cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from campaigns.simulator.answers import Asked, extract
from campaigns.simulator.calls import Call
from campaigns.simulator.chance import dice
from campaigns.simulator.clock import epoch_ms
from campaigns.simulator.scenario import Mood, Outcome

_TAKEN_OFF = "I am sorry for the trouble. I will take you off our list right away."
_OFF_THE_LIST = re.compile(r"do_?not_?call|dnc|opt_?out|off_?the_?list|unsubscribe|remove", re.IGNORECASE)
_LINES: dict[Mood, tuple[tuple[str, str], ...]] = {
    Mood.INTERESTED: (
        ("user", "Oh, hello. Yes, I have a minute."),
        ("bot", "Wonderful. Does the time we have down for you still suit?"),
        ("user", "It does, and I would like to hear more about it as well."),
        ("bot", "Gladly. I have noted it and you will get the details by email."),
        ("user", "Perfect, thank you. Goodbye."),
    ),
    Mood.NOT_INTERESTED: (
        ("user", "Hello, who is this?"),
        ("bot", "I am calling about your appointment. Does it still suit?"),
        ("user", "No, I am not interested any more, thanks."),
        ("bot", "Understood. I will note that. Have a good day."),
    ),
    Mood.CALLBACK: (
        ("user", "Hi, I am just walking into a meeting."),
        ("bot", "No problem at all. Shall we call you another time?"),
        ("user", "Yes, please call me back later."),
        ("bot", "We will do that. Talk to you then."),
        ("user", "Thanks, bye."),
    ),
    Mood.OPT_OUT: (
        ("user", "Please do not call this number again."),
        ("bot", _TAKEN_OFF),
        ("user", "Do that. Goodbye."),
    ),
}
_SUMMARY = {
    Mood.INTERESTED: "The customer confirmed the appointment and wants to hear more.",
    Mood.NOT_INTERESTED: "The customer is not interested any more.",
    Mood.CALLBACK: "The customer had no time and asked to be called back later.",
    Mood.OPT_OUT: "The customer asked not to be called again.",
}
_GREETING = "You have reached a voicemail box. Please leave a message after the tone."
_NO_VOICEMAIL_MESSAGE = "Hello, we tried to reach you and will try again."
_PER_MINUTE = {"transport": 0.014, "stt": 0.01, "vapi": 0.05}  # US dollars, about the published list prices
_PER_CHARACTER = 0.00005
_PER_TOKEN = {"in": 0.0000025, "out": 0.00001}
_ANALYSIS_COST = {"summary": 0.0008, "structuredData": 0.0012, "successEvaluation": 0.0006, "structuredOutput": 0.001}


_VERDICTS = {
    "NumericScale": ("9", "3"),
    "DescriptiveScale": ("Excellent", "Poor"),
    "Checklist": ("Time confirmed: yes", "Time confirmed: no"),
    "Matrix": ("Clarity: Excellent, Goal: Excellent", "Clarity: Good, Goal: Poor"),
    "PercentageScale": ("90%", "30%"),
    "LikertScale": ("Strongly Agree", "Disagree"),
}
"""By rubric: the evaluation of a success and of anything else; the other rubrics say true or false."""


@dataclass(frozen=True, slots=True)
class Story:
    """A call told after the fact, in Vapi's shape."""

    messages: list[dict[str, Any]]
    analysis: dict[str, Any]
    costs: list[dict[str, Any]]
    breakdown: dict[str, Any]
    structured_outputs: dict[str, Any]

    @property
    def cost(self) -> float:
        """US dollars, all components together."""
        return _total(self.costs)

    @property
    def transcript(self) -> str:
        """Turn by turn, as one text."""
        speaker = {"bot": "AI", "user": "User"}
        return "".join(
            f"{speaker[said['role']]}: {said['message']}\n" for said in self.messages if said["role"] in speaker
        )

    @property
    def openai_messages(self) -> list[dict[str, str]]:
        """The same messages in the other shape that Vapi sends along."""
        role = {"bot": "assistant", "tool_calls": "assistant", "tool_call_result": "tool"}
        return [
            {"role": role.get(said["role"], said["role"]), "content": said.get("message", said.get("result", ""))}
            for said in self.messages
        ]


def tell(call: Call, seed: int) -> Story:
    """The story of an ended call. Told anew each time: cheaper than remembering every word of a long rehearsal."""
    messages = _messages(call)
    analysis = _analysis(call, seed, messages)
    outputs = _structured_outputs(call, seed)
    costs, breakdown = _costs(call, messages, {**analysis, **({"structuredOutput": outputs} if outputs else {})})
    return Story(messages, analysis, costs, breakdown, outputs)


def _lines(call: Call) -> list[tuple[str, str]]:
    if call.fate.outcome is Outcome.VOICEMAIL:
        said = str(call.assistant.get("voicemailMessage") or _NO_VOICEMAIL_MESSAGE)
        return [("user", _GREETING), ("bot", _filled(said, call))]
    first = str(call.assistant.get("firstMessage") or "Hello, do you have a moment?")
    lines = [("bot", _filled(first, call)), *_LINES[call.fate.mood]]
    return lines[:2] if call.fate.outcome is Outcome.PIPELINE_ERROR else lines


def _messages(call: Call) -> list[dict[str, Any]]:
    """The turns, spread over the planned conversation; those that an early end cut off are left out."""
    if call.answered is None or call.fate.talk is None:
        return []
    start = call.answered.simulated
    lines = _lines(call)
    effort = [len(text.split()) + 2 for _, text in lines]  # in words; two more for the pause between turns
    pace = min(call.fate.talk, call.longest) * 0.95 / sum(effort)
    told: list[dict[str, Any]] = [_said("system", _system_prompt(call), start, 0.0, 0.0)]
    at = 0.0
    for (role, text), words in zip(lines, effort, strict=True):
        begin, length = at + pace, (words - 2) * pace
        if begin + length > call.talked:
            break
        told.append(_said(role, text, start, begin, length))
        at += words * pace
        if text == _TAKEN_OFF:
            told += _tool_calls(call, start, at)
    return told


def _tool_calls(call: Call, start: datetime, at: float) -> list[dict[str, Any]]:
    """What the assistant does for somebody who wants no more calls: it calls a tool of its own whose name says so."""
    model = call.assistant.get("model") or {}
    names = [str((tool.get("function") or {}).get("name")) for tool in model.get("tools") or []]
    name = next((name for name in names if _OFF_THE_LIST.search(name)), None)
    if name is None:
        return []
    tool_id = f"call_{uuid5(NAMESPACE_URL, f'{call.id}/{name}').hex[:24]}"
    when = {"time": epoch_ms(start + timedelta(seconds=at)), "secondsFromStart": round(at, 3)}
    asked = {"id": tool_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return [
        {"role": "tool_calls", "toolCalls": [asked], "message": "", **when},
        {"role": "tool_call_result", "toolCallId": tool_id, "name": name, "result": "done", **when},
    ]


def _said(role: str, text: str, start: datetime, begin: float, length: float) -> dict[str, Any]:
    time = start + timedelta(seconds=begin)
    said: dict[str, Any] = {"role": role, "message": text, "time": epoch_ms(time), "secondsFromStart": round(begin, 3)}
    if role == "system":
        return said
    said |= {"endTime": epoch_ms(time + timedelta(seconds=length)), "duration": round(length * 1000)}
    return said | {"source": ""} if role == "bot" else said


def _system_prompt(call: Call) -> str:
    messages = (call.assistant.get("model") or {}).get("messages") or []
    spoken = [str(message.get("content")) for message in messages if message.get("role") == "system"]
    return _filled(spoken[0] if spoken else "", call)


def _filled(text: str, call: Call) -> str:
    """`text` with its plain variables filled in; an unknown one becomes empty, as in Liquid."""
    values: dict[str, Any] = {"name": call.body["customer"].get("name") or "there"}
    values |= call.variables
    return re.sub(r"{{\s*([\w.]+)\s*}}", lambda found: str(values.get(found[1], "")), text)


def _analysis(call: Call, seed: int, messages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Summary, structured data and evaluation, as far as they are asked for and there is enough to judge."""
    plan = call.assistant.get("analysisPlan") or {}
    turns = sum(message["role"] in {"bot", "user"} for message in messages)
    if call.ended is None or call.fate.outcome is Outcome.PIPELINE_ERROR or turns < plan.get("minMessagesThreshold", 2):
        return {}
    human = call.fate.outcome is Outcome.ANSWERED
    result: dict[str, Any] = {}
    if (plan.get("summaryPlan") or {}).get("enabled", True):
        result["summary"] = _SUMMARY[call.fate.mood] if human else "The call reached a voicemail box."
    asked = Asked(seed, call.number, call.nth, call.fate.mood, call.ended.simulated)
    wanted = plan.get("structuredDataPlan")
    saved = not call.body.get("assistant")
    if human and ((wanted is None and saved) or (wanted or {}).get("enabled") is True):
        result["structuredData"] = extract((wanted or {}).get("schema"), asked)
    if human and plan.get("structuredDataMultiPlan"):
        result["structuredDataMulti"] = [
            {part["key"]: extract(part["plan"].get("schema"), asked)}
            for part in plan["structuredDataMultiPlan"]
            if part["plan"].get("enabled") is True
        ]
    evaluation = plan.get("successEvaluationPlan") or {}
    if evaluation.get("enabled", True):
        well = human and call.fate.mood is Mood.INTERESTED
        result["successEvaluation"] = _VERDICTS.get(evaluation.get("rubric", ""), ("true", "false"))[not well]
    return result


def _structured_outputs(call: Call, seed: int) -> dict[str, Any]:
    """What the assistant's artifact plan asks to be extracted: of its own outputs by schema, of saved ones by ours."""
    plan = call.assistant.get("artifactPlan") or {}
    if call.ended is None or call.fate.outcome is not Outcome.ANSWERED or not call.talked:
        return {}
    asked = Asked(seed, call.number, call.nth, call.fate.mood, call.ended.simulated)
    outputs = {
        str(uuid5(NAMESPACE_URL, output["name"])): {
            "name": output["name"],
            "result": extract(output.get("schema"), asked),
        }
        for output in plan.get("structuredOutputs") or []
    }
    return outputs | {
        output_id: {"name": "Saved output", "result": extract(None, asked)}
        for output_id in plan.get("structuredOutputIds") or []
    }


def _costs(
    call: Call, messages: list[dict[str, Any]], analysis: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    minutes = round(call.talked / 60, 4)
    transport = {"type": "transport", "provider": "twilio", "minutes": minutes}
    platform = {"type": "vapi", "subType": "normal", "minutes": minutes}
    if not messages:
        return [transport | {"cost": 0}, platform | {"cost": 0}], {"total": 0}
    characters = sum(len(said["message"]) for said in messages if said["role"] == "bot")
    rng = dice(call.number, call.nth, "tokens")
    tokens_in, tokens_out = 300 * len(messages) + rng.randint(0, 200), characters // 4
    price = {name: round(rate * minutes, 4) for name, rate in _PER_MINUTE.items()}
    model = call.assistant.get("model") or {}
    llm = round(tokens_in * _PER_TOKEN["in"] + tokens_out * _PER_TOKEN["out"], 4)
    tts = round(characters * _PER_CHARACTER, 4)
    analysed = {name: cost if name in analysis else 0 for name, cost in _ANALYSIS_COST.items()}
    costs: list[dict[str, Any]] = [
        transport | {"cost": price["transport"]},
        {"type": "transcriber", "transcriber": {"provider": "deepgram"}, "minutes": minutes, "cost": price["stt"]},
        {
            "type": "model",
            "model": {"provider": model.get("provider", "openai"), "model": model.get("model", "gpt-4o")},
            "promptTokens": tokens_in,
            "completionTokens": tokens_out,
            "cachedPromptTokens": 0,
            "cost": llm,
        },
        {"type": "voice", "voice": {"provider": "11labs"}, "characters": characters, "cost": tts},
        platform | {"cost": price["vapi"]},
    ]
    costs += [
        {
            "type": "analysis",
            "analysisType": name,
            "model": {"provider": "openai", "model": "gpt-4o"},
            "promptTokens": 600,
            "completionTokens": 50,
            "cost": cost,
        }
        for name, cost in analysed.items()
        if cost
    ]
    breakdown = price | {
        "llm": llm,
        "tts": tts,
        "chat": 0,
        "total": _total(costs),
        "llmPromptTokens": tokens_in,
        "llmCompletionTokens": tokens_out,
        "llmCachedPromptTokens": 0,
        "ttsCharacters": characters,
        "analysisCostBreakdown": analysed,
    }
    return costs, breakdown


def _total(costs: Iterable[Mapping[str, Any]]) -> float:
    return round(sum(float(part["cost"]) for part in costs), 4)
