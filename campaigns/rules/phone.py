"""A telephone number as people write it: what number it is, and where its owner may be.

`parse` answers with one number in E.164 or says in a few words what is wrong with the cell. `places` answers with
sets of candidates. A set that is empty means unknown; nothing here guesses.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberType, ValidationResult, shortnumberinfo, timezone

from campaigns.errors import InvalidInput


class InvalidPhone(InvalidInput):
    """The cell does not hold one telephone number that may be called; the message is a short reason."""


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """One number that can be dialled."""

    e164: str
    region: str | None
    """ISO 3166-1 code; None where the number belongs to no single country, as toll-free numbers of +1 do."""
    extension: str
    """Digits, or empty."""
    kind: str
    """What sort of line: mobile, fixed_line, fixed_line_or_mobile, toll_free, voip, personal, pager, business."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the owner of a number may be. Empty and None mean unknown."""

    country: str | None
    """ISO 3166-1 code of the country whose rules apply; a United States territory counts as US."""
    states: frozenset[str]
    """ISO 3166-2 codes, such as US-TX: a presumption from the area code, since people move and keep their numbers."""
    zones: frozenset[str]
    """IANA names. The owner may be in any of them."""


_NOWHERE: Final = Places(country=None, states=frozenset(), zones=frozenset())

_KINDS: Final[Mapping[int, str]] = {
    PhoneNumberType.FIXED_LINE: "fixed_line",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_line_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "business",
    PhoneNumberType.UNKNOWN: "unknown",
}
_REFUSED_KINDS: Final[Mapping[int, str]] = {
    PhoneNumberType.PREMIUM_RATE: "premium-rate number",
    PhoneNumberType.SHARED_COST: "shared-cost number: the person called would pay",
    PhoneNumberType.VOICEMAIL: "voicemail access number, not a person's",
}
_PARSE_PROBLEMS: Final[Mapping[int, str]] = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "unknown country code",
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "too short",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "too short",
    phonenumbers.NumberParseException.TOO_LONG: "too long",
}
_LENGTH_PROBLEMS: Final[Mapping[int, str]] = {
    ValidationResult.TOO_SHORT: "too short for",
    ValidationResult.TOO_LONG: "too long for",
    ValidationResult.INVALID_LENGTH: "wrong length for",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "area code missing for",
}
_TIED_TO_A_PLACE: Final = frozenset({"fixed_line", "mobile", "fixed_line_or_mobile"})

_DASHES: Final = re.compile("[\u2010-\u2015\u2212\u2043\ufe58\ufe63\uff0d]")
_SCIENTIFIC: Final = re.compile(r"\+?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_DECIMAL: Final = re.compile(r"(\+?\d{7,})\.0+")  # seven digits: shorter, and the dot may be a separator
_EXTENSION: Final = re.compile(
    r"[\s,;]*(?:;ext=|(?<![a-z])(?:extension|extn|ext|x)\.?:?|#)\s*(\d{1,7})\s*$", re.IGNORECASE
)
_BETWEEN_NUMBERS: Final = re.compile(r"[/;,|&\n]|\b(?:or|and)\b|(?<=\d)\s*(?=\+)", re.IGNORECASE)
_WHOLE_NUMBER_DIGITS: Final = 7  # the shortest subscriber number that people write beside another one
_LONGEST_SHORT_NUMBER: Final = 6  # 116 117 and its like; longer ones are checked as whole numbers


def parse(value: str, *, default_region: str | None) -> PhoneNumber:
    """The one number that `value` holds, read as a national number of `default_region` unless it has a country code.

    Raises InvalidPhone with a short reason, or InvalidInput for a `default_region` that is no country.
    """
    region = _known_region(default_region)
    text, extension = _split_extension(_cleaned(value))
    _refuse_what_is_no_single_number(text)
    if region is not None and _is_short(re.sub(r"\D", "", text), region):
        raise InvalidPhone(f"emergency or short number in {region}")
    number = _read(text, region)
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    fiction = _fiction(e164)
    if fiction is not None:
        return PhoneNumber(e164=e164, region=fiction.region, extension=extension, kind=fiction.kind)
    _refuse_what_does_not_exist(number)
    kind = phonenumbers.number_type(number)
    if kind in _REFUSED_KINDS:
        raise InvalidPhone(_REFUSED_KINDS[kind])
    return PhoneNumber(e164=e164, region=_region(e164, number), extension=extension, kind=_KINDS.get(kind, "unknown"))


def places(e164: str) -> Places:
    """Where the owner of a number may be; everything unknown for what is not a number."""
    # In +1 no answer depends on the last four digits: one entry serves a block of ten thousand numbers.
    block = e164.startswith("+1") and len(e164) == len("+12025550100")
    return _places(f"{e164[:8]}0100" if block else e164)


def display(e164: str) -> str:
    """The number as people may see it: country code and last two digits, the same width for every number."""
    digits = e164.removeprefix("+")
    for length in (1, 2, 3):
        code = digits[:length]
        if code.isdecimal() and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE and digits.isdecimal():
            return f"+{code} ******* {digits[-2:]}" if len(digits) > length + 3 else f"+{code} *******"
    return "*******"


def _known_region(default_region: str | None) -> str | None:
    if default_region is None:
        return None
    region = default_region.upper()
    if region not in phonenumbers.SUPPORTED_REGIONS:
        hint = "; the United Kingdom is GB" if region == "UK" else ""
        raise InvalidInput(f"default region {default_region!r} is not a country code such as US or DE{hint}")
    return region


def _cleaned(value: str) -> str:
    """`value` in ASCII digits and plain dashes, without the marks that spreadsheets and address books add."""
    text = unicodedata.normalize("NFKC", value)
    text = "".join(_plain(character) for character in text)
    text = _DASHES.sub("-", text).strip()
    text = text.removeprefix("=").strip("'\"`\u2018\u2019\u201c\u201d \t\r\n")
    text = re.sub(r"^tel:\s*", "", text, flags=re.IGNORECASE)
    if _SCIENTIFIC.fullmatch(text):
        raise InvalidPhone("scientific notation: the spreadsheet has dropped digits, format the column as text")
    decimal = _DECIMAL.fullmatch(text)
    return decimal[1] if decimal else text


def _plain(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    # Format characters are invisible: direction marks around numbers copied from an address book, byte order marks.
    return "" if unicodedata.category(character) == "Cf" else character


def _split_extension(text: str) -> tuple[str, str]:
    found = _EXTENSION.search(text)
    if found is None or not any(character.isdecimal() for character in text[: found.start()]):
        return text, ""
    return text[: found.start()].strip(), found[1]


def _refuse_what_is_no_single_number(text: str) -> None:
    if not text:
        raise InvalidPhone("empty")
    pieces = [re.sub(r"\D", "", piece) for piece in _BETWEEN_NUMBERS.split(text)]
    if sum(len(piece) >= _WHOLE_NUMBER_DIGITS for piece in pieces) > 1:
        raise InvalidPhone("two numbers in one cell")
    if any(character.isalpha() for character in text):
        raise InvalidPhone("contains letters")
    if not any(character.isdecimal() for character in text):
        raise InvalidPhone("no digits")
    strange = re.search(r"[^\d\s()\[\].+/-]", text)
    if strange:
        raise InvalidPhone(f"unexpected character {strange[0]!r}")
    if "+" in text.lstrip("+(["):
        raise InvalidPhone("a plus sign inside the number")


def _is_short(digits: str, region: str) -> bool:
    if len(digits) > _LONGEST_SHORT_NUMBER:
        return False
    if shortnumberinfo.is_emergency_number(digits, region):
        return True
    try:
        return shortnumberinfo.is_valid_short_number_for_region(phonenumbers.parse(digits, region), region)
    except phonenumbers.NumberParseException:
        return False


def _read(text: str, region: str | None) -> phonenumbers.PhoneNumber:
    """The number as the library reads it, the existing one where there is a choice.

    Two leading zeros are tried as "abroad" too: people write them so even where they dial something else. The library
    alone takes the 44 of 0044 for a Brazilian carrier, and 001 means abroad in Singapore.
    """
    written = re.sub(r"^\+{2,}", "+", text.replace("[", "(").replace("]", ")"))
    readings: list[tuple[str, str | None]] = []
    abroad = re.sub(r"^[\s(]*0\s*0[\s)]*(?=[1-9(])", "+", written)
    if abroad != written:
        readings.append((abroad, None))
    if region is not None or written.lstrip("(").startswith("+"):
        readings.append((written, region))
    if not readings:
        raise InvalidPhone("no country code and no default region")
    candidates: list[phonenumbers.PhoneNumber] = []
    problem = ""
    for reading, reading_region in readings:
        try:
            candidates.append(phonenumbers.parse(reading, reading_region))
        except phonenumbers.NumberParseException as error:
            problem = _PARSE_PROBLEMS.get(error.error_type, "not a telephone number")
    if not candidates:
        raise InvalidPhone(problem)
    existing = [number for number in candidates if phonenumbers.is_valid_number(number)]
    if len(existing) > 1 and existing[0] != existing[1]:
        raise InvalidPhone("can be read as two numbers: write it with + and the country code")
    return max(existing or candidates, key=phonenumbers.is_possible_number)


def _refuse_what_does_not_exist(number: phonenumbers.PhoneNumber) -> None:
    country = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(
        number.country_code or 0
    )
    where = country if country and country.isalpha() and country != "ZZ" else f"+{number.country_code}"
    length = phonenumbers.is_possible_number_with_reason(number)
    if length in _LENGTH_PROBLEMS:
        raise InvalidPhone(f"{_LENGTH_PROBLEMS[length]} {where}")
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhone(f"no such number in {where}")


def _region(e164: str, number: phonenumbers.PhoneNumber) -> str | None:
    fiction = _fiction(e164)
    region = fiction.region if fiction else phonenumbers.region_code_for_number(number)
    if region == "US" and _KINDS.get(phonenumbers.number_type(number)) not in _TIED_TO_A_PLACE:
        return None  # codes such as 800 and 500 are shared by all twenty-odd countries of +1
    return region if region is not None and region.isalpha() and region != "ZZ" else None


@lru_cache(maxsize=65_536)  # about 20 MB when full; an import asks for each number several times
def _places(e164: str) -> Places:
    try:
        number = phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return _NOWHERE
    facts = _facts()
    region = _region(e164, number)
    country, states = region, frozenset[str]()
    if region is not None and region in facts.territories:
        country, states = "US", frozenset({facts.territories[region]})
    elif number.country_code == 1:
        states = facts.states.get(e164[2:5], frozenset())
    fiction = _fiction(e164)
    if fiction is not None:
        return Places(country=country, states=states, zones=fiction.zones)
    return Places(country=country, states=states, zones=_zones(e164, number, region))


def _zones(e164: str, number: phonenumbers.PhoneNumber, region: str | None) -> frozenset[str]:
    facts = _facts()
    kind = _KINDS.get(phonenumbers.number_type(number), "unknown")
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


@dataclass(frozen=True, slots=True)
class _Fiction:
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
    fiction: tuple[_Fiction, ...]


def _fiction(e164: str) -> _Fiction | None:
    digits = e164[1:]
    for entry in _facts().fiction:
        if digits.startswith(entry.prefix) and len(digits) == entry.length:
            return entry
    return None


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
            _Fiction(entry["prefix"], entry["length"], entry["region"], entry["kind"], frozenset(entry["zones"]))
            for entry in data["fiction"]
        ),
    )
