"""Where the owner of a number may be, by its first digits, as the library and our corrections of it have them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import phonenumbers
from phonenumbers import timezone
from phonenumbers.tzdata import TIMEZONE_DATA

from campaigns.rules.phone.number import KINDS, Places

_TIED_TO_A_PLACE: Final = frozenset({"fixed_line", "mobile", "fixed_line_or_mobile"})


def whereabouts(number: phonenumbers.PhoneNumber, e164: str) -> Places:
    """Every place where the owner of the number may be."""
    facts = _facts()
    region = region_of(number, e164)
    country, states = region, frozenset[str]()
    if region is not None and region in facts.territories:
        country, states = "US", frozenset({facts.territories[region]})
    elif number.country_code == 1:
        states = facts.states.get(e164[2:5], frozenset())
    imagined = fiction(e164)
    if imagined is not None:
        return Places(country=country, states=states, zones=imagined.zones)
    return Places(country=country, states=states, zones=_zones(e164, number, region))


def _zones(e164: str, number: phonenumbers.PhoneNumber, region: str | None) -> frozenset[str]:
    facts = _facts()
    kind = KINDS.get(phonenumbers.number_type(number), "unknown")
    if kind not in _TIED_TO_A_PLACE or region is None:
        return frozenset()
    whole_country = facts.countries.get(region)
    if whole_country is not None and len(whole_country) == 1:
        return whole_country
    if kind == "fixed_line" or region in facts.mobiles_tell:
        digits = e164[1:]
        for length in range(facts.longest_prefix, 0, -1):
            if digits[:length] in facts.zones:
                return facts.zones[digits[:length]]
        trusted = region in (facts.fixed_lines_tell if kind == "fixed_line" else facts.mobiles_tell)
    else:
        trusted = False
    if whole_country is not None and not trusted:
        return whole_country
    named = timezone.time_zones_for_number(number)
    return frozenset(facts.same_clock.get(zone, zone) for zone in named if zone != timezone.UNKNOWN_TIMEZONE)


def region_of(number: phonenumbers.PhoneNumber, e164: str) -> str | None:
    """The country or territory whose number it is; None for what belongs to no single one."""
    imagined = fiction(e164)
    region = imagined.region if imagined else phonenumbers.region_code_for_number(number)
    if region == "US" and KINDS.get(phonenumbers.number_type(number)) not in _TIED_TO_A_PLACE:
        return None  # codes such as 800 and 500 are shared by all twenty-odd countries of +1
    return region if region is not None and region.isalpha() and region != "ZZ" else None


@dataclass(frozen=True, slots=True)
class Fiction:
    """A range that a regulator keeps free for film and examples."""

    prefix: str
    length: int
    region: str
    kind: str
    zones: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Facts:
    """`data/numbers.toml`, where every part is explained."""

    fixed_lines_tell: frozenset[str]
    mobiles_tell: frozenset[str]
    territories: Mapping[str, str]
    same_clock: Mapping[str, str]
    zones: Mapping[str, frozenset[str]]
    longest_prefix: int
    countries: Mapping[str, frozenset[str]]
    states: Mapping[str, frozenset[str]]
    """By +1 area code."""
    fiction: tuple[Fiction, ...]


def fiction(e164: str) -> Fiction | None:
    """The range kept free for fiction that holds the number, if one does."""
    digits = e164[1:]
    for entry in _facts().fiction:
        if digits.startswith(entry.prefix) and len(digits) == entry.length:
            return entry
    return None


def deciding_prefixes() -> set[str]:
    """The first digits, country code included, by which the answers of this module differ."""
    facts = _facts()
    fictions = {entry.prefix for entry in facts.fiction}
    return {*facts.zones, *fictions, *(f"1{code}" for code in facts.states), *TIMEZONE_DATA}


@cache
def _facts() -> _Facts:
    text = (resources.files("campaigns.rules") / "data" / "numbers.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    states: dict[str, frozenset[str]] = {}
    for state, codes in data["states"].items():
        for code in codes.split():
            states[code] = states.get(code, frozenset()) | {state}
    return _Facts(
        fixed_lines_tell=frozenset(data["fixed_lines_tell"]),
        mobiles_tell=frozenset(data["mobiles_tell"]),
        territories=data["territories"],
        same_clock=data["same_clock"],
        zones={prefix: frozenset(zones) for prefix, zones in data["zones"].items()},
        longest_prefix=max(len(prefix) for prefix in data["zones"]),
        countries={country: frozenset(zones) for country, zones in data["countries"].items()},
        states=states,
        fiction=tuple(
            Fiction(entry["prefix"], entry["length"], entry["region"], entry["kind"], frozenset(entry["zones"]))
            for entry in data["fiction"]
        ),
    )
