"""What is claimed of a block of numbers is what the whole procedure says of each of them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata

from campaigns.rules.phone import blocks, reading
from campaigns.rules.phone.blocks import Block, find
from campaigns.rules.phone.geography import deciding_prefixes, whereabouts
from campaigns.rules.phone.number import PhoneNumber

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
DESCRIBED = ("fixed_line", "mobile", "toll_free", "premium_rate", "voip", "pager", "uan", "shared_cost")


def lengths(code: int) -> set[int]:
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    known = (PhoneMetadata.metadata_for_region_or_calling_code(code, region) for region in regions)
    return {length for metadata in known for length in metadata.general_desc.possible_length}


def claimed(code: str, length: int, beginning: str = "") -> Iterator[tuple[str, Block]]:
    """Every block of national numbers of that length: its first digits, and what is claimed."""
    node = blocks._root(code, length)
    for digit in beginning:
        node = node.children[digit]
    if node.live is None:
        if node.block is not None:
            yield beginning, node.block
        return
    for digit in "0123456789":
        longer = beginning + digit
        if digit not in node.children:
            node.children[digit] = blocks._grow(node.live, code, longer.ljust(length, "7"), len(longer))
        yield from claimed(code, length, longer)


@pytest.mark.parametrize("part", range(8))
def test_every_assigned_beginning_that_is_claimed_decides(part: int) -> None:
    random = Random(part)  # noqa: S311 - the same numbers each time
    found = 0
    for code in CODES[part::8]:
        for length in lengths(code):
            for beginning, block in claimed(str(code), length):
                rest = "".join(random.choices("0123456789", k=length - len(beginning)))
                e164 = f"+{code}{beginning}{rest}"
                number = phonenumbers.parse(e164)
                assert reading.judge(number, "") == PhoneNumber(e164, block.region, "", block.kind)
                assert whereabouts(number, e164) == block.places
                found += 1
    assert found > 1000


@pytest.mark.parametrize("part", range(4))
def test_what_the_tables_know_of_a_longer_beginning_is_in_no_block(part: int) -> None:
    random = Random(part)  # noqa: S311 - the same numbers each time
    decided = 0
    for digits in sorted(deciding_prefixes())[part::4]:
        code = next((code for code in CODES if digits.startswith(str(code))), None)
        if code is None:
            continue
        for length in lengths(code):
            left = length + len(str(code)) - len(digits)
            if left >= 0:
                e164 = f"+{digits}{''.join(random.choices('0123456789', k=left))}"
                block = blocks.block(e164)
                if block is not None:
                    assert whereabouts(phonenumbers.parse(e164), e164) == block.places, e164
                    decided += 1
    assert decided > 100


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str | None]:
    """A number that exists or nearly does, as somebody might write it, and where they might be."""
    region = draw(st.sampled_from(["US", "US", "CA", "DE", "GB", "FR", "IT", "ES", "NL", "AR", "MX", "JM", "GG", "JP"]))
    metadata = PhoneMetadata.metadata_for_region(region)
    described = (getattr(metadata, name) for name in DESCRIBED)
    example = draw(st.sampled_from([each.example_number for each in described if each and each.example_number]))
    other = draw(st.integers(0, 7))
    digits = example[: len(example) - other] + draw(st.text("0123456789", min_size=other, max_size=other))
    gaps = draw(st.lists(st.sampled_from(["", "", "", " ", "-", ".", ") ", "("]), min_size=20, max_size=20))
    spaced = "".join(gap + digit for gap, digit in zip(gaps, digits, strict=False))
    code = metadata.country_code
    prefixes = [
        f"+{code}",
        f"+{code} ",
        f"+{code} (0)",
        f"00{code}",
        f"00 {code}",
        f"0-0{code}",
        f"{code}",
        f"011{code}",
    ]
    text = draw(st.sampled_from([*prefixes, "", "", "0", "(0", "1", "1-"])) + spaced
    return text, draw(st.sampled_from([None, region, region, "US", "DE", "BR", "SG", "XX"]))


@given(written())
def test_what_is_found_in_a_block_is_what_the_whole_procedure_reads(given: tuple[str, str | None]) -> None:
    text, region = given
    found = find(text, region)
    if found is not None:
        e164, block = found
        assert reading.read(text, default_region=region) == PhoneNumber(e164, block.region, "", block.kind)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("+12125550742", None),
        ("(212) 555-0742", "US"),
        ("1-212-555-0742", "us"),
        ("416 555 0742", "CA"),
        ("+49 1512 3456789", "US"),
        ("01512 3456789", "DE"),
        ("0049 1512 3456789", None),
        ("00 44 7400 123456", "DE"),
        ("07400 123456", "GB"),
        ("06.12.34.56.78", "FR"),
        ("612 345 678", "ES"),
        ("+39 312 345 6789", "DE"),
    ],
)
def test_common_ways_of_writing_are_found_in_a_block(text: str, region: str | None) -> None:
    assert find(text, region) is not None


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("+447700900123", None),  # kept free for fiction
        ("+19005550742", None),  # costs the caller
        ("+1212555074", None),
        ("4915123456789.0", "US"),
        ("2125550742", "XX"),
        ("2125550742", None),
        ("0049 1512 3456789", "US"),
        ("0 0491512 3456789", None),
        ("+812012345", None),
        ("+1" + " " * 300 + "2125550742", None),
        ("+4912345678901234567", None),
    ],
)
def test_the_unusual_is_left_to_the_whole_procedure(text: str, region: str | None) -> None:
    assert find(text, region) is None
