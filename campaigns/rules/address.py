"""Where somebody is, by the state and the postal code of their address."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Final

_KEYS: Final[Mapping[str, re.Pattern[str]]] = {
    "US": re.compile(r"(\d{5})(?:[ -]?\d{4})?"),
    "CA": re.compile(r"([A-Z])\d[A-Z] ?\d[A-Z]\d"),
    "AU": re.compile(r"(\d{4})"),
}
"""Per country, a whole postal code, and the part of it whose beginning tells the state."""

_US_WITHOUT_ZERO: Final = re.compile(r"\d{4}(?:-\d{4})?")  # a spreadsheet takes 02139 for a number


@dataclass(frozen=True, slots=True)
class Address:
    """What an address tells; empty where it tells nothing."""

    states: frozenset[str]
    """ISO 3166-2 codes, such as US-TX: one, unless the parts of the address disagree or a postal code is shared."""
    zones: frozenset[str]
    """IANA names of every clock in those states."""


NOWHERE: Final = Address(frozenset(), frozenset())


@lru_cache(maxsize=65_536)
def locate(country: str | None, state: str | None, postal_code: str | None) -> Address | None:
    """What an address tells of its place. None where it names a state that the country has not.

    Only the countries are known whose states have calling rules or clocks of their own: US, CA and AU.
    """
    known = _states().get(country or "")
    if known is None:
        return NOWHERE
    found: set[str] = set()
    if state is not None:
        code = known.by_name.get(_plain(state).removeprefix(f"{country}-"))
        if code is None:
            return None
        found.add(code)
    if postal_code is not None:
        found |= known.by_postal_code(postal_code)
    zones = frozenset(zone for code in found for zone in known.zones[code])
    return Address(frozenset(f"{country}-{code}" for code in found), zones)


@dataclass(frozen=True, slots=True)
class _States:
    country: str
    by_name: Mapping[str, str]
    zones: Mapping[str, tuple[str, ...]]
    postal: Mapping[str, frozenset[str]]
    """The beginning of a postal code → states; the longest beginning decides."""

    def by_postal_code(self, written: str) -> frozenset[str]:
        code = written.upper().strip()
        if self.country == "US" and _US_WITHOUT_ZERO.fullmatch(code):
            code = f"0{code}"
        found = _KEYS[self.country].fullmatch(code)
        if found is None:
            return frozenset()
        beginnings = (found[1][:length] for length in range(len(found[1]), 0, -1))
        return next((self.postal[each] for each in beginnings if each in self.postal), frozenset())


@cache
def _states() -> dict[str, _States]:
    text = (resources.files("campaigns.rules") / "data" / "states.toml").read_text(encoding="utf-8")
    found = {}
    for country, states in tomllib.loads(text).items():
        postal: dict[str, frozenset[str]] = {}
        for code, state in states.items():
            for key in _each(state["postal"]):
                postal[key] = postal.get(key, frozenset()) | {code}
        names = {_plain(state["name"]): code for code, state in states.items()}
        found[country] = _States(
            country=country,
            by_name={code: code for code in states} | names,
            zones={code: tuple(state["zones"]) for code, state in states.items()},
            postal=postal,
        )
    return found


def _each(ranges: str) -> list[str]:
    found = []
    for part in ranges.split():
        first, _, last = part.partition("-")
        if last:
            found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        else:
            found.append(first)
    return found


def _plain(name: str) -> str:
    """A name in capital letters without accents and dots: `Québec` is QUEBEC, `D.C.` is DC."""
    letters = unicodedata.normalize("NFKD", name.strip().upper())
    return " ".join("".join(letter for letter in letters if letter.isalnum() or letter in " -").split())
