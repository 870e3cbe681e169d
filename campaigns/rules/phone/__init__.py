"""A telephone number as people write it: what number it is, and where its owner may be.

`parse` answers with one number in E.164 or says in a few words what is wrong with the cell. `places` answers with
sets of candidates. A set that is empty means unknown; nothing here guesses.
"""

from __future__ import annotations

from functools import lru_cache

import phonenumbers

from campaigns.rules.phone import blocks, reading
from campaigns.rules.phone.geography import whereabouts
from campaigns.rules.phone.number import NOWHERE, InvalidPhone, PhoneNumber, Places
from campaigns.rules.phone.reading import known_region

__all__ = ["InvalidPhone", "PhoneNumber", "Places", "display", "known_region", "parse", "parse_and_place", "places"]


def parse(value: str, *, default_region: str | None) -> PhoneNumber:
    """The one number that `value` holds, read as a national number of `default_region` unless it has a country code.

    Raises InvalidPhone with a short reason, or InvalidInput for a `default_region` that is no country.
    """
    return parse_and_place(value, default_region=default_region)[0]


def parse_and_place(value: str, *, default_region: str | None) -> tuple[PhoneNumber, Places]:
    """What `parse` says of the cell, and what `places` says of that number. Raises what `parse` raises."""
    found = blocks.find(value, default_region)
    if found is None:
        number = reading.read(value, default_region=default_region)
        return number, places(number.e164)
    e164, block = found
    return PhoneNumber(e164, block.region, "", block.kind), block.places


def places(e164: str) -> Places:
    """Where the owner of a number may be; everything unknown for what is not a number."""
    block = blocks.block(e164)
    return _places(e164) if block is None else block.places


def display(e164: str) -> str:
    """The number as people may see it: country code and last two digits, the same width for every number."""
    digits = e164.removeprefix("+")
    for length in (1, 2, 3):
        code = digits[:length]
        if code.isdecimal() and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE and digits.isdecimal():
            return f"+{code} ******* {digits[-2:]}" if len(digits) > length + 3 else f"+{code} *******"
    return "*******"


@lru_cache(maxsize=4_096)
def _places(e164: str) -> Places:
    try:
        return whereabouts(phonenumbers.parse(e164, None), e164)
    except phonenumbers.NumberParseException:
        return NOWHERE
