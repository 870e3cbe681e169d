"""Regular expressions over digits: which strings of one length they still accept after the first few digits.

A pattern is a small tree, and what is left of it after one digit is another such tree (its derivative, after
Brzozowski: "Derivatives of regular expressions", 1964). Equal trees are equal tuples, so that each is looked at once.
"""

from __future__ import annotations

from functools import cache
from typing import Final, TypeAlias

Pattern: TypeAlias = tuple[object, ...]
"""A tree whose first entry says what it is."""

NOTHING: Final[Pattern] = ("nothing",)
END: Final[Pattern] = ("end",)
DIGITS: Final = "0123456789"


class Unsupported(ValueError):
    """The expression has something that is not understood here."""


def read(expression: str, *, begins: bool = False) -> Pattern:
    """The strings of digits that `expression` matches as a whole; with `begins`, those that begin with such a string.

    Raises `Unsupported` for what metadata of telephone numbers does not use: anything but digits, classes, groups,
    alternatives and counts.
    """
    reader = _Reader("".join(expression.split()))
    pattern = reader.alternatives(tail=("any",) if begins else END)
    if reader.left:
        raise Unsupported(f"{expression!r} has an unexpected {reader.left[0]!r}")
    return pattern


@cache
def after(pattern: Pattern, digit: str) -> Pattern:
    """What may follow `digit`."""
    match pattern:
        case ("class", str(digits)):
            return END if digit in digits else NOTHING
        case ("any",):
            return pattern
        case ("then", tuple(first), tuple(second)):
            rest = _then(after(first, digit), second)
            return _either(rest, after(second, digit)) if ends(first) else rest
        case ("either", *options):
            return _either(*(after(option, digit) for option in options if isinstance(option, tuple)))
    return NOTHING


@cache
def ends(pattern: Pattern) -> bool:
    """Whether nothing need follow."""
    match pattern:
        case ("then", tuple(first), tuple(second)):
            return ends(first) and ends(second)
        case ("either", *options):
            return any(ends(option) for option in options if isinstance(option, tuple))
    return pattern in (END, ("any",))


@cache
def verdict(pattern: Pattern, length: int) -> bool | None:
    """Whether all strings of `length` digits match, or none of them does; None where some do."""
    if pattern == NOTHING:
        return False
    if length == 0:
        return ends(pattern)
    found = {verdict(after(pattern, digit), length - 1) for digit in DIGITS}
    return found.pop() if len(found) == 1 else None


def _then(first: Pattern, second: Pattern) -> Pattern:
    if NOTHING in (first, second):
        return NOTHING
    if first == END:
        return second
    return first if second == END else ("then", first, second)


def _either(*options: Pattern) -> Pattern:
    found: set[Pattern] = set()
    for option in options:
        if option[0] == "either":
            found.update(inner for inner in option[1:] if isinstance(inner, tuple))
        elif option != NOTHING:
            found.add(option)
    if not found:
        return NOTHING
    return found.pop() if len(found) == 1 else ("either", *sorted(found, key=repr))


class _Reader:
    """Reads an expression from its left to its right."""

    def __init__(self, expression: str) -> None:
        self.left = expression
        self._whole = expression
        self._depth = 0

    def alternatives(self, *, tail: Pattern = END) -> Pattern:
        options = [self._sequence(tail)]
        while self._takes("|"):
            options.append(self._sequence(tail))
        return _either(*options)

    def _sequence(self, tail: Pattern) -> Pattern:
        pieces: list[Pattern] = []
        while self.left and self.left[0] not in "|)$":
            piece = self._piece()
            pieces += [piece]
            low, high = self._count()
            pieces[-1:] = [piece] * low
            optional = END
            for _ in range(high - low):
                optional = _either(END, _then(piece, optional))
            pieces.append(optional)
        sequence = END if self._depth == 0 and self._takes("$") else tail
        for piece in reversed(pieces):
            sequence = _then(piece, sequence)
        return sequence

    def _piece(self) -> Pattern:
        if self._takes("(?:") or (self.left[:2] != "(?" and self._takes("(")):
            self._depth += 1
            inside = self.alternatives()
            self._depth -= 1
            if not self._takes(")"):
                raise Unsupported(f"{self._whole!r} has a group without an end")
            return inside
        if self._takes(r"\d"):
            return ("class", DIGITS)
        if self._takes("["):
            return ("class", self._members())
        digit, self.left = self.left[:1], self.left[1:]
        if digit not in DIGITS:
            raise Unsupported(f"{self._whole!r} has an unexpected {digit!r}")
        return ("class", digit)

    def _members(self) -> str:
        inside, end, self.left = self.left.partition("]")
        members = inside.replace(r"\d", DIGITS)
        found: set[str] = set()
        while members:
            first, last = (members[0], members[2:3]) if members[1:2] == "-" else (members[0], members[0])
            members = members[3:] if members[1:2] == "-" else members[1:]
            if not end or first not in DIGITS or not last or last not in DIGITS:
                raise Unsupported(f"{self._whole!r} has a class other than of digits")
            found.update(DIGITS[int(first) : int(last) + 1])
        return "".join(sorted(found))

    def _count(self) -> tuple[int, int]:
        if self._takes("?"):
            return 0, 1
        if not self._takes("{"):
            return 1, 1
        inside, _, self.left = self.left.partition("}")
        low, comma, high = inside.partition(",")
        if not low.isdecimal() or (comma and not high.isdecimal()):
            raise Unsupported(f"{self._whole!r} has a count without an end")
        return int(low), int(high) if comma else int(low)

    def _takes(self, start: str) -> bool:
        if not self.left.startswith(start):
            return False
        self.left = self.left.removeprefix(start)
        return True
