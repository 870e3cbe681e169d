"""Vapi's words for why a call ended, translated: a table of those it publishes, and rules for those yet to come."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Any, Final

from campaigns.rules.outcome import OutcomeClass

_NO_LINE: Final = re.compile("concurrency-limit-reached$")

_Verdict = tuple[OutcomeClass, bool | None]

_ANSWERED: Final[dict[str, bool | None]] = {"yes": True, "no": False, "unknown": None}


@dataclass(frozen=True, slots=True)
class ReasonFacts:
    """What a reason says by itself, before anything else that is known of the call."""

    outcome: OutcomeClass
    rang: bool
    """False only where the reason proves that no telephone rang."""
    answered: bool | None
    """Whether a person spoke; None where the reason leaves it open. A hint: the turns of a conversation weigh more."""
    no_line: bool = False
    """Whether every line of the account was in use."""
    hung_up: bool = False
    """Whether the person ended the call, or may have."""


NOTHING_SAID: Final = ReasonFacts(OutcomeClass.UNKNOWN, rang=True, answered=None)


def ending_class(reason: str | None) -> ReasonFacts:
    """What `reason` means. Any text has an answer: one never seen before falls to the rules, and at last to unknown."""
    if reason is None:
        return NOTHING_SAID
    table = _table()
    outcome, answered = table.known.get(reason) or table.guess(reason)
    rang, no_line = not table.never_rang.search(reason), bool(_NO_LINE.search(reason))
    hung_up = bool(table.hung_up.search(reason))
    return ReasonFacts(outcome, rang=rang, answered=answered, no_line=no_line, hung_up=hung_up)


def published_reasons() -> dict[str, OutcomeClass]:
    """Every value that Vapi's own description lists, with its class."""
    table = _table()
    return {reason: table.known[reason][0] for reason in table.published}


@dataclass(frozen=True, slots=True)
class _Table:
    known: dict[str, _Verdict]
    published: frozenset[str]
    never_rang: re.Pattern[str]
    hung_up: re.Pattern[str]
    fallback: tuple[tuple[re.Pattern[str], _Verdict], ...]

    def guess(self, reason: str) -> _Verdict:
        """The first rule whose pattern is found in `reason`; the last rule is found in everything."""
        return next(verdict for pattern, verdict in self.fallback if pattern.search(reason))


@cache
def _table() -> _Table:
    source = resources.files("campaigns.vapi").joinpath("data/ended_reasons.toml")
    data = tomllib.loads(source.read_text(encoding="utf-8"))
    known = {value: _verdict(entry) for entry in data["reasons"] for value in entry["values"]}
    unpublished = {value for entry in data["reasons"] if not entry.get("published", True) for value in entry["values"]}
    known |= {value: _verdict(entry) for entry in data["family"] for value in _members(entry)}
    return _Table(
        known=known,
        published=frozenset(known.keys() - unpublished),
        never_rang=_any_of(data["never_rang"]),
        hung_up=_any_of(data["hung_up"]),
        fallback=tuple((re.compile(entry["pattern"]), _verdict(entry)) for entry in data["fallback"]),
    )


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _verdict(entry: dict[str, Any]) -> _Verdict:
    # A family names no `answered`: its members are faults in mid-call, which say nothing about who had spoken.
    return OutcomeClass(entry["outcome"]), _ANSWERED[entry.get("answered", "unknown")]


def _members(family: dict[str, Any]) -> Iterator[str]:
    return map("".join, product(family["starts"], family["names"], family["ends"]))
