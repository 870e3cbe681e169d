"""What is known of a telephone number, and what cannot be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberType

from campaigns.errors import InvalidInput


class InvalidPhone(InvalidInput):
    """The cell does not hold one telephone number that may be called; the message is a short reason."""


class PhoneNumber(NamedTuple):
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


NOWHERE: Final = Places(country=None, states=frozenset(), zones=frozenset())

KINDS: Final[Mapping[int, str]] = {
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
REFUSED_KINDS: Final[Mapping[int, str]] = {
    PhoneNumberType.PREMIUM_RATE: "premium-rate number",
    PhoneNumberType.SHARED_COST: "shared-cost number: the person called would pay",
    PhoneNumberType.VOICEMAIL: "voicemail access number, not a person's",
}


def e164_of(number: phonenumbers.PhoneNumber) -> str:
    """The number as it is dialled, a plus first."""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
