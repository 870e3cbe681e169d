"""What somebody asked for in a call: no more of them, or one at another time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from campaigns.rules.definition.signals import Signals, folded, plain, plain_name
from campaigns.rules.outcome import TECHNICAL, Ending, OutcomeClass

FURTHEST: Final = timedelta(days=366)  # nobody arranges a call later than that: a slip of the analysis

_YES: Final = frozenset({"yes", "y", "true", "1", "ja", "oui", "si", "sí", "sim"})
_NO: Final = frozenset({"", "no", "not", "n", "false", "0", "none", "null", "never", "nein", "non", "nao", "não"})
_DEEPEST: Final = 5  # levels of an answer; schemas nest two or three
_TALKED: Final = frozenset({OutcomeClass.COMPLETED} | TECHNICAL - {OutcomeClass.CAPACITY})
"""Ends after which the answers may hold a person's wish for another call."""


@dataclass(frozen=True, slots=True)
class Callback:
    """Somebody wants another call."""

    at: datetime | None
    """None: at no particular time, or at none that can be kept to."""
    why: str
    """What is known of the time, in words."""


def opted_out(ending: Ending, signals: Signals) -> str | None:
    """By what the person asked not to be called any more; None where they did not.

    A machine's greeting is nobody's wish, but an answer or a tool that the campaign names counts whoever answered.
    """
    for wanted in signals.of("opt_out_fields"):
        if any(_says(value, wanted) for value in _answers(ending.structured, wanted)):
            return f"the answer {wanted}"
    used = {plain_name(tool) for tool in ending.tools}
    for tool in signals.of("opt_out_tools"):
        if plain_name(tool) in used:
            return f"the tool {tool}"
    if ending.outcome is not OutcomeClass.VOICEMAIL:
        for phrases, turns in (
            (signals.of("opt_out_phrases"), ending.said),
            (signals.of("opt_out_replies"), ending.replied),
        ):
            phrase = _heard(phrases, turns)
            if phrase is not None:
                return f"the phrase {phrase!r}"
    return None


def _heard(phrases: Sequence[str], turns: Sequence[str]) -> str | None:
    """The first of the phrases that was said. Nearly every turn is told apart by one word, and not looked at closer."""
    marks = [_mark(phrase) for phrase in phrases]
    for turn in turns if phrases else ():
        rough = folded(turn)
        near = [phrase for phrase, (word, _) in zip(phrases, marks, strict=True) if word in rough]
        if near:
            whole = f" {plain(turn)} "
            found = next((phrase for phrase in near if _mark(phrase)[1] in whole), None)
            if found is not None:
                return found
    return None


@lru_cache(maxsize=1024)
def _mark(phrase: str) -> tuple[str, str]:
    """The longest word of a phrase, and what is looked for: where spaces do not part words, the phrase as it is."""
    words = plain(phrase)
    return max(words.split(), key=len), f" {words} " if words.isascii() else words


def understood(ending: Ending, signals: Signals) -> OutcomeClass:
    """What the ending means when what was said is weighed, too."""
    if opted_out(ending, signals) is not None:
        return OutcomeClass.OPTED_OUT
    talked = ending.outcome in _TALKED and ending.answered is not False
    if talked and any(_wanted(value) for value in _callbacks(ending.structured, signals)):
        return OutcomeClass.CALLBACK
    return ending.outcome


def callback(structured: Mapping[str, Any], signals: Signals, *, zones: Sequence[str], ended_at: datetime) -> Callback:
    """When the person of an ended call wants to be called back, as the structured answers say.

    A time without an offset is meant by the person's own clock: it counts where all zones that they may be in agree.
    """
    asked = [value for value in _callbacks(structured, signals) if _wanted(value)]
    problems = []
    for value in asked:
        found = _moment(value, zones)
        if isinstance(found, datetime):
            if found <= ended_at:
                problems.append(f"the time asked for, {_shown(found)}, was over")
            elif found - ended_at > FURTHEST:
                problems.append(f"the time asked for, {_shown(found)}, is more than a year away")
            else:
                return Callback(found, f"asked for {_shown(found)}")
        elif found is not None:
            problems.append(found)
    return Callback(None, next(iter(problems), "asked for no particular time"))


def _callbacks(structured: Mapping[str, Any], signals: Signals) -> Iterator[Any]:
    for field in signals.of("callback_fields"):
        yield from _answers(structured, field)


def _answers(answers: Mapping[str, Any], wanted: str) -> Iterator[Any]:
    """Whatever the answers hold under that name, wherever."""
    name = plain_name(wanted.partition("=")[0])
    return (value for key, value in _pairs(answers, _DEEPEST) if plain_name(key) == name)


def _pairs(answers: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth and isinstance(answers, Mapping):
        for key, value in answers.items():
            yield str(key), value
            yield from _pairs(value, depth - 1)
    elif depth and isinstance(answers, list):
        for value in answers:
            yield from _pairs(value, depth - 1)


def _says(value: Any, wanted: str) -> bool:
    """Whether an answer says yes, or the very value that is `wanted`."""
    if isinstance(value, list):
        return any(_says(each, wanted) for each in value)
    _, exact, said = wanted.partition("=")
    if exact:
        return isinstance(value, str | bool | int | float) and plain_name(str(value)) == plain_name(said)
    if isinstance(value, bool | int | float):
        return value == 1
    return isinstance(value, str) and plain(value).partition(" ")[0] in _YES


def _wanted(value: Any) -> bool:
    """Whether an answer asks for a call: by a time, a yes, or whatever else is no refusal."""
    if isinstance(value, str):
        return plain(value).partition(" ")[0] not in _NO
    return isinstance(value, bool | int | float) and bool(value)


def _moment(value: Any, zones: Sequence[str]) -> datetime | str | None:
    """The moment that an answer names, why it cannot be kept to, or None where it names none."""
    if not isinstance(value, str) or _says(value, ""):
        return None
    text = value.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return f"the time asked for, {text[:60]!r}, is no time that can be read"
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        # In autumn a clock shows an hour twice: the later one is meant, as nobody is called too early.
        meant = {
            max(moment.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)) for zone in zones
        }
    except (OverflowError, ValueError):
        return f"the time asked for, {text[:60]!r}, is no time that can be read"
    if len(meant) == 1:
        return meant.pop()
    return (
        f"the time asked for, {text[:60]}, has no offset, and the person may be in several time zones or in none known"
    )


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
