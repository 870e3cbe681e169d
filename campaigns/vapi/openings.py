"""How a call begins, as far as Vapi's records tell: what is said first, and whether the call is recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.disclosures import Disclosure, Duty, asked_by, seems_to_say
from campaigns.vapi.checks import Answer, Check, Level, speakers
from campaigns.vapi.endings import mapping, text
from campaigns.vapi.templates import texts

_BY_MODEL: Final = "assistant-speaks-first-with-model-generated-message"
_SHOWN: Final = 60  # characters of a first message: enough to know it again


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of every call of a campaign."""

    label: str
    """Who speaks first."""
    first_message: str | None
    """None: the model makes it up, or it is a recording."""
    prompt: str
    recorded: bool
    announced: bool
    """Whether Vapi itself asks for consent to the recording."""


def opening(campaign: CampaignDefinition, squad: Answer, assistants: Mapping[str, Answer]) -> Opening | None:
    """How the calls begin; None where nothing is known of who speaks."""
    found = speakers(campaign, squad, assistants)
    layers = list(found[0].layers()) if found else []
    if not layers:
        return None
    fields: dict[str, Any] = {name: value for layer in layers for name, value in layer.items()}
    recording = [layer["recordingEnabled"] for layer in _plans(layers) if "recordingEnabled" in layer]
    said = text(fields.get("firstMessage"))
    readable = said is not None and fields.get("firstMessageMode") != _BY_MODEL and not said.startswith("http")
    return Opening(
        label=found[0].label,
        first_message=said if readable else None,
        prompt="\n".join(part for layer in layers for part in texts(mapping(layer, "model").get("messages"))),
        recorded=not recording or recording[-1] is not False,
        announced=any(mapping(mapping(layer, "compliancePlan"), "recordingConsentPlan") for layer in layers),
    )


def judge_opening(found: Opening | None, codes: Collection[str]) -> Iterator[Check]:
    """Whether the beginning says what the rules of these places ask for, by a few words: a hint, nothing more."""
    if found is None:
        return
    for duty, places in asked_by(codes).items():
        if duty is Duty.RECORDING and not found.recorded:
            continue
        what = f"says {duty.says}"
        asked = f"asked for by {_named(places, duty)}"
        if duty is Duty.RECORDING and found.announced:
            yield Check(what, Level.OK, f"Vapi asks for consent to the recording; {asked}")
        elif found.first_message is None:
            say = f"{asked}; the first message of {found.label} is not written down, so listen to a call"
            yield Check(what, Level.NOTE, say)
        elif seems_to_say(found.first_message, duty):
            yield Check(what, Level.OK, f"seems so; {asked}")
        elif seems_to_say(found.prompt, duty):
            say = f"only the prompt of {found.label} seems to, not its first message; {asked}"
            yield Check(what, Level.NOTE, say)
        else:
            say = f"the first message of {found.label} does not seem to: {_short(found.first_message)!r}; {asked}"
            yield Check(what, Level.WARNING, say)
    if found.recorded and Duty.RECORDING not in asked_by(codes):
        say = "the calls are recorded: say so, unless one party's consent is known to suffice wherever they go"
        yield Check(f"says {Duty.RECORDING.says}", Level.NOTE, say)


def _plans(layers: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [mapping(layer, "artifactPlan") for layer in layers]


def _named(places: list[Disclosure], duty: Duty) -> str:
    rules: dict[str, list[str]] = {}
    for place in places:
        rules.setdefault(f"{place.duties[duty]}; {place.verification}", []).append(place.code)
    return ", ".join(f"{', '.join(codes)} ({rule})" for rule, codes in rules.items())


def _short(message: str) -> str:
    return message if len(message) <= _SHOWN else f"{message[:_SHOWN]}…"
