"""What law and codes say about calling people of a place, with what an operator made of it.

Rules stack: a person in Texas is under the Texan row and the federal one, a person in France under the French row and
the European one. Where the place is unknown or unlisted there is a refusal with its reason, never a default.
"""

from __future__ import annotations

from campaigns.rules.calling_rules.book import (
    SHIPPED,
    Applicable,
    Rulebook,
    applicable,
    lookup,
    named_windows,
    zoned_windows,
)
from campaigns.rules.calling_rules.rows import CapEvent, Counts, Jurisdiction

__all__ = [
    "SHIPPED",
    "Applicable",
    "CapEvent",
    "Counts",
    "Jurisdiction",
    "Rulebook",
    "applicable",
    "lookup",
    "named_windows",
    "zoned_windows",
]
