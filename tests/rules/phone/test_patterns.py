"""Patterns over digits agree with the expressions they were read from."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules.phone import patterns
from campaigns.rules.phone.patterns import DIGITS, Unsupported, after, ends, read, verdict

PIECES = st.recursive(
    st.sampled_from([*DIGITS, r"\d", "[0-4]", "[13579]", r"[2-46-8]"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["", "?", "{2}", "{1,3}", "{0,2}"])).map(lambda two: f"(?:{two[0]}){two[1]}"),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
    ),
    max_leaves=8,
)


@given(PIECES, st.text(DIGITS, max_size=6))
def test_a_pattern_matches_what_its_expression_does(expression: str, digits: str) -> None:
    left = read(expression)
    for digit in digits:
        left = after(left, digit)
    assert ends(left) == bool(re.fullmatch(expression, digits))


@given(PIECES, st.text(DIGITS, max_size=2), st.integers(min_value=0, max_value=3))
def test_a_verdict_holds_for_every_string_of_the_length(expression: str, beginning: str, length: int) -> None:
    left = read(expression)
    for digit in beginning:
        left = after(left, digit)
    rest = ("".join(digits) for digits in product(DIGITS, repeat=length))
    found = {bool(re.fullmatch(expression, beginning + digits)) for digits in rest}
    assert verdict(left, length) == (found.pop() if len(found) == 1 else None)


@pytest.mark.parametrize(
    ("expression", "digits"),
    [
        ("1|33", "3"),
        ("1|33", "3399"),
        ("([25]\\d{2})$|0", "255"),
        ("([25]\\d{2})$|0", "2555"),
    ],
)
def test_a_beginning_may_be_followed_by_anything_unless_it_says_that_it_is_the_end(
    expression: str, digits: str
) -> None:
    left = read(expression, begins=True)
    for digit in digits:
        left = after(left, digit)
    assert ends(left) == bool(re.match(expression, digits))


@pytest.mark.parametrize(
    "expression", ["a", "1+", "[a-c]", "1(2", "1)", "[12", "(1$)2", r"\w", "1{2,}", "(?=1)2", "[^1]"]
)
def test_what_is_not_understood_is_said(expression: str) -> None:
    with pytest.raises(Unsupported):
        patterns.read(expression)
