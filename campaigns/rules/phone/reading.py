"""What number a cell holds, however it was written: the whole procedure, for every text that there is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import phonenumbers
from phonenumbers import ValidationResult, shortnumberinfo

from campaigns.errors import InvalidInput
from campaigns.rules.phone.geography import fiction, region_of
from campaigns.rules.phone.number import KINDS, REFUSED_KINDS, InvalidPhone, PhoneNumber, e164_of

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
_DASHES: Final = re.compile("[\u2010-\u2015\u2212\u2043\ufe58\ufe63\uff0d]")
_SCIENTIFIC: Final = re.compile(r"(\+?\d+)(?:[.,](\d+))?[eE]([+-]?\d+)")
_DECIMAL: Final = re.compile(r"(\+?\d{7,})\.0+")  # seven digits: shorter, and the dot may be a separator
_DIGITS_ONLY: Final = re.compile(r"[1-9]\d{7,14}")
_EXTENSION: Final = re.compile(
    r"[\s,;]*(?:;ext=|(?<![a-z])(?:extension|extn|ext|x)\.?:?|#)\s*(\d{1,7})\s*$", re.IGNORECASE
)
_BETWEEN_NUMBERS: Final = re.compile(r"[/;,|&\n]|\b(?:or|and)\b|(?<=\d)\s*(?=\+)", re.IGNORECASE)
_WHOLE_NUMBER_DIGITS: Final = 7  # the shortest subscriber number that people write beside another one
_LONGEST_SHORT_NUMBER: Final = 6  # 116 117 and its like; longer ones are checked as whole numbers


def read(value: str, *, default_region: str | None) -> PhoneNumber:
    """The one number that `value` holds, read as a national number of `default_region` unless it has a country code.

    Raises InvalidPhone with a short reason, or InvalidInput for a `default_region` that is no country.
    """
    region = known_region(default_region)
    text, extension = _split_extension(_cleaned(value))
    text = _single(text, region)
    if region is not None and _is_short(re.sub(r"\D", "", text), region):
        raise InvalidPhone(f"emergency or short number in {region}")
    return judge(_read(text, region), extension)


def judge(number: phonenumbers.PhoneNumber, extension: str) -> PhoneNumber:
    """The number, if it exists and may be called. Raises InvalidPhone."""
    e164 = e164_of(number)
    imagined = fiction(e164)
    if imagined is not None:
        return PhoneNumber(e164=e164, region=imagined.region, extension=extension, kind=imagined.kind)
    _refuse_what_does_not_exist(number)
    kind = phonenumbers.number_type(number)
    if kind in REFUSED_KINDS:
        raise InvalidPhone(REFUSED_KINDS[kind])
    return PhoneNumber(e164=e164, region=region_of(number, e164), extension=extension, kind=KINDS.get(kind, "unknown"))


def known_region(default_region: str | None) -> str | None:
    """The region in capital letters. Raises InvalidInput for what is no country."""
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
    if scientific := _SCIENTIFIC.fullmatch(text):
        whole, fraction, exponent = scientific[1], scientific[2] or "", int(scientific[3])
        if len(fraction) != exponent:  # fewer digits than the number has; what the others were nobody can tell
            raise InvalidPhone("scientific notation: the spreadsheet has dropped digits, format the column as text")
        return whole + fraction
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


def _single(text: str, region: str | None) -> str:
    """The one number in the cell, as it is written there. Raises InvalidPhone for none, or for several."""
    if not text:
        raise InvalidPhone("empty")
    pieces = [piece.strip() for piece in _BETWEEN_NUMBERS.split(text)]
    numbers = [piece for piece in pieces if len(re.sub(r"\D", "", piece)) >= _WHOLE_NUMBER_DIGITS]
    if len(numbers) > 1:
        if not _are_the_same(numbers, region):
            raise InvalidPhone("two numbers in one cell")
        text = numbers[0]
    if any(character.isalpha() for character in text):
        raise InvalidPhone("contains letters")
    if not any(character.isdecimal() for character in text):
        raise InvalidPhone("no digits")
    strange = re.search(r"[^\d\s()\[\].+/-]", text)
    if strange:
        raise InvalidPhone(f"unexpected character {strange[0]!r}")
    if "+" in text.lstrip("+(["):
        raise InvalidPhone("a plus sign inside the number")
    return text


def _are_the_same(numbers: Sequence[str], region: str | None) -> bool:
    try:
        return len({read(number, default_region=region) for number in numbers}) == 1
    except InvalidPhone:
        return False


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
    existing = [number for number in candidates if phonenumbers.is_valid_number(number)]
    if not existing and _DIGITS_ONLY.fullmatch(written):
        existing = _without_plus(written)
    if not candidates and not existing:
        raise InvalidPhone(problem)
    if len(existing) > 1 and existing[0] != existing[1]:
        raise InvalidPhone("can be read as two numbers: write it with + and the country code")
    return max(existing or candidates, key=phonenumbers.is_possible_number)


def _without_plus(digits: str) -> list[phonenumbers.PhoneNumber]:
    """The number whose plus a spreadsheet dropped, as it does where a cell holds nothing else, if it exists."""
    try:
        number = phonenumbers.parse(f"+{digits}", None)
    except phonenumbers.NumberParseException:
        return []
    return [number] if phonenumbers.is_valid_number(number) and e164_of(number) == f"+{digits}" else []


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
