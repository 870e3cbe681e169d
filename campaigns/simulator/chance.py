"""Seeded dice: the same words give the same rolls, in any process and in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random


def dice(*words: object) -> Random:
    """Dice for one purpose, named by `words`; other purposes roll independently of it."""
    return Random("|".join(str(word) for word in words))  # noqa: S311 - a rehearsal must be repeatable, not secret


def pick(weights: Mapping[str, float] | Iterable[tuple[str, float]], roll: float) -> str | None:
    """The name in whose share `roll` (0 to 1) falls, or None where the shares end before it.

    Shares are taken as they are, so that they may add up to less than one.
    """
    for name, share in weights.items() if isinstance(weights, Mapping) else weights:
        if roll < share:
            return name
        roll -= share
    return None


def between(rng: Random, bounds: tuple[float, float]) -> float:
    """A moment between two bounds, to the millisecond, as payloads carry it."""
    return round(rng.uniform(*bounds), 3)
