"""Numbers in blocks: what the first digits of a number decide about all numbers that begin so.

To parse, validate and place one number takes the library a tenth of a millisecond. What it answers hangs on patterns
over the digits and on tables of first digits, and mostly a few digits in everything is decided. A block is claimed
only where that is proven: each pattern that the library could ask then matches all of the block's numbers or none, and
no table knows a longer beginning. Whatever is not claimed is read by `reading`, as is whatever is written unusually.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneMetadata

from campaigns.rules.phone import patterns
from campaigns.rules.phone.geography import deciding_prefixes, fiction, whereabouts
from campaigns.rules.phone.number import InvalidPhone, Places, e164_of
from campaigns.rules.phone.patterns import Pattern
from campaigns.rules.phone.reading import judge

_DESCRIPTIONS: Final = (
    "general_desc",
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)
"""What the library asks of a region to tell whether a number exists, and of what kind it is."""

_SMALLEST: Final = 2  # digits left open: a block of fewer than a hundred numbers is not worth its place in memory
_LONGEST: Final = 17  # digits of a national number, to the library
_CODES: Final = frozenset(str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
_PLAIN: Final = re.compile(r"\+?[0-9(][0-9 ().-]{6,40}")
_ABROAD: Final = re.compile("00 ?[1-9]")
_ONLY_DIGITS: Final = str.maketrans("", "", " ().-+")
_FEWEST_DIGITS: Final = 7  # below lie the short numbers, of which other patterns decide


@dataclass(frozen=True, slots=True)
class Block:
    """What is true of each of a block's numbers."""

    region: str | None
    kind: str
    places: Places


@dataclass(frozen=True, slots=True)
class _Region:
    """How national numbers are written in one region, as far as it is simple."""

    country_code: str
    abroad: re.Pattern[str] | None
    """What is dialled before a country code."""
    zeros_mean_abroad: bool
    prefix: re.Pattern[str] | None
    """What is dialled before a national number."""
    rewrites: bool
    """Whether that prefix, or what follows, may become other digits."""
    general: re.Pattern[str]
    lengths: frozenset[int]
    longest: int


class _Node:
    """All numbers of one length that begin with the same digits."""

    __slots__ = ("block", "children", "live")

    def __init__(self, live: tuple[Pattern, ...] | None, block: Block | None) -> None:
        self.live = live
        """The patterns that are open, while something is."""
        self.block = block
        """What is decided, where nothing is open; None: numbers that are read one by one."""
        self.children: dict[str, _Node] = {}


def find(value: str, default_region: str | None) -> tuple[str, Block] | None:
    """The E.164 number that `value` holds, and its block; None where it must be looked at more closely."""
    if _PLAIN.fullmatch(value) is None or ("." in value and value.rstrip().endswith("0")):
        return None
    region = None if default_region is None else _region(default_region)
    if default_region is not None and region is None:
        return None
    digits = value.translate(_ONLY_DIGITS)
    if len(digits) < _FEWEST_DIGITS:
        return None
    if value[0] == "+":
        return _claimed(digits)
    if digits[:2] == "00":
        unlike = region is not None and not region.zeros_mean_abroad
        return None if unlike or _ABROAD.match(value) is None else _claimed(digits[2:])
    return None if region is None else _at_home(digits, region)


def block(e164: str) -> Block | None:
    """The block of an E.164 number; None where it is in none."""
    found = _claimed(e164[1:])
    return None if found is None else found[1]


def _at_home(digits: str, region: _Region) -> tuple[str, Block] | None:
    """A national number, as the library would read it: without the prefix that is dialled at home."""
    code = region.country_code
    if region.abroad is not None and region.abroad.match(digits):
        return None
    if digits.startswith(code):
        # Of all that the library considers here, one case is simple: too long for anything but a number with its code.
        rest = digits[len(code) :]
        whole = len(digits) > region.longest and not (region.prefix is not None and region.prefix.match(rest))
        return _claimed(code + rest) if whole else None
    prefixed = None if region.prefix is None else region.prefix.match(digits)
    if prefixed is None:
        return _claimed(code + digits)
    rest = digits[prefixed.end() :]
    if region.rewrites or len(rest) not in region.lengths:
        return None
    belongs = region.general.fullmatch(digits) and not region.general.fullmatch(rest)
    return None if belongs else _claimed(code + rest)


def _claimed(digits: str) -> tuple[str, Block] | None:
    """The number that begins with its country code: no code is the beginning of another."""
    for length in (1, 2, 3):
        if digits[:length] in _CODES:
            found = _walk(digits[:length], digits[length:])
            return None if found is None else (f"+{digits}", found)
    return None


def _walk(code: str, national: str) -> Block | None:
    node = _root(code, len(national))
    depth = 0
    while node.live is not None:
        digit = national[depth]
        depth += 1
        child = node.children.get(digit)
        if child is None:
            child = node.children[digit] = _grow(node.live, code, national, depth)
        node = child
    return node.block


@cache
def _root(code: str, length: int) -> _Node:
    live = _patterns(code) if _SMALLEST < length <= _LONGEST else None
    return _Node(live, None)


def _grow(live: tuple[Pattern, ...], code: str, national: str, depth: int) -> _Node:
    left = len(national) - depth
    rest = {patterns.after(pattern, national[depth - 1]) for pattern in live}
    still = tuple(pattern for pattern in rest if patterns.verdict(pattern, left) is None)
    if not still and not _is_longer_known(f"{code}{national[:depth]}"):
        return _Node(None, _answer(code, national))
    return _Node(still, None) if left > _SMALLEST else _Node(None, None)


def _answer(code: str, national: str) -> Block | None:
    """What the library says of one of the block's numbers, where it is an existing number written plainly."""
    number = phonenumbers.parse(f"+{code}{national}", None)
    e164 = e164_of(number)
    if e164 != f"+{code}{national}" or fiction(e164) is not None or not phonenumbers.is_valid_number(number):
        return None
    try:
        judged = judge(number, "")
    except InvalidPhone:
        return None
    return Block(region=judged.region, kind=judged.kind, places=whereabouts(number, e164))


@cache
def _patterns(code: str) -> tuple[Pattern, ...] | None:
    """Every pattern by which numbers of the country code are told apart; None where one cannot be read."""
    found: set[Pattern] = set()
    try:
        for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]:
            metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
            if metadata is None:
                return None
            described = [getattr(metadata, name) for name in _DESCRIPTIONS]
            written = {each.national_number_pattern for each in described if each is not None}
            found |= {patterns.read(expression) for expression in written if expression}
            begins = (metadata.leading_digits, metadata.national_prefix_for_parsing)
            found |= {patterns.read(expression, begins=True) for expression in begins if expression}
    except patterns.Unsupported:
        return None
    return tuple(found)


@cache
def _known() -> list[str]:
    return sorted(deciding_prefixes())


def _is_longer_known(digits: str) -> bool:
    known = _known()
    place = bisect_right(known, digits)
    return place < len(known) and known[place].startswith(digits)


@cache
def _region(name: str) -> _Region | None:
    metadata = PhoneMetadata.metadata_for_region(name.upper(), None)
    general = None if metadata is None else metadata.general_desc
    if metadata is None or general is None or general.national_number_pattern is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return _Region(
        country_code=str(metadata.country_code),
        abroad=re.compile(metadata.international_prefix) if metadata.international_prefix else None,
        zeros_mean_abroad=metadata.international_prefix == "00",
        prefix=re.compile(prefix) if prefix else None,
        rewrites=bool(metadata.national_prefix_transform_rule),
        general=re.compile(general.national_number_pattern),
        lengths=frozenset(general.possible_length),
        longest=max(general.possible_length),
    )
