"""What has to be said at the beginning of a call, where, and whether a text seems to: `data/disclosures.toml`.

Whether a text says something is judged by a few English words. That is a hint for a person who then reads the text,
and no more: `WORDS` is all that is known.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final, Literal, get_args

from campaigns.errors import InvalidDefinition

Verification = Literal["primary", "secondary", "unverified"]


class Duty(StrEnum):
    """One thing that has to be said."""

    IDENTIFY = "identify"
    ARTIFICIAL = "artificial"
    OPT_OUT = "opt_out"
    RECORDING = "recording"

    @property
    def says(self) -> str:
        """The duty in words."""
        return _IN_WORDS[self]


_IN_WORDS: Final = {
    Duty.IDENTIFY: "who calls",
    Duty.ARTIFICIAL: "that the voice is artificial",
    Duty.OPT_OUT: "how not to be called again",
    Duty.RECORDING: "that the call is recorded",
}

WORDS: Final[Mapping[Duty, tuple[str, ...]]] = {
    Duty.IDENTIFY: (
        *("this is", "my name is", "calling from", "calling for", "calling on behalf", "on behalf of", "here from"),
        *("speaking for", "i am with", "i'm with", "i am from", "i'm from"),
    ),
    Duty.ARTIFICIAL: (
        *("artificial", "automated", "virtual", "ai", "a.i", "robot", "bot", "computer", "machine", "synthetic"),
        *("digital assistant", "digital voice"),
    ),
    Duty.OPT_OUT: (
        *("opt out", "opt-out", "stop", "unsubscribe", "do not call", "don't call", "not call", "not be called"),
        *("remove you", "be removed", "take you off", "off our list", "off the list", "press"),
    ),
    Duty.RECORDING: ("recorded", "recording", "record this", "record the", "monitored"),
}
"""The words by which each is recognised."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What one place asks to be said."""

    code: str
    """ISO 3166-1 or 3166-2, or EU."""
    duties: Mapping[Duty, str]
    """What the place asks for, with the rule behind each."""
    verification: Verification
    sources: tuple[str, ...]


def asked_by(codes: Collection[str]) -> dict[Duty, list[Disclosure]]:
    """For each duty the places among `codes` that ask for it; without those that none asks for."""
    rows = [_rows()[code] for code in sorted(codes) if code in _rows()]
    asked = {duty: [row for row in rows if duty in row.duties] for duty in Duty}
    return {duty: found for duty, found in asked.items() if found}


def seems_to_say(text: str, duty: Duty) -> bool:
    """Whether one of the duty's words is in the text."""
    plain = text.lower().replace("\u2019", "'")
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", plain) for word in WORDS[duty])


@cache
def _rows() -> Mapping[str, Disclosure]:
    text = (resources.files("campaigns.rules") / "data" / "disclosures.toml").read_text(encoding="utf-8")
    rows = {}
    for code, row in tomllib.loads(text).items():
        strange = set(row) - {*Duty, "verification", "sources"}
        if strange or row.get("verification") not in get_args(Verification) or not row.get("sources"):
            raise InvalidDefinition(f"disclosures {code}: needs duties, verification and sources, and no more")
        duties = {duty: row[duty] for duty in Duty if duty in row}
        rows[code] = Disclosure(code, duties, row["verification"], tuple(row["sources"]))
    return rows
