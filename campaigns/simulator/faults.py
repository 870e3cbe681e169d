"""What may go wrong with a POST and with a message: the names, and which of them a number meets."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

POST_FAULTS = (
    "accept_then_500 (or any status from 400), accept_then_reset, accept_then_hang, slow,"
    " refuse_500 (or any status from 400), refuse_reset"
)
"""Every fault of a POST, for people."""

_POST_FAULT = re.compile(r"(accept_then|refuse)_([45]\d\d|reset)|accept_then_hang|slow")


def is_post_fault(name: str) -> bool:
    """Whether a POST can meet a fault of this name."""
    return _POST_FAULT.fullmatch(name) is not None


def status_of(fault: str) -> int | None:
    """The status that a fault answers with, if it answers with one of its own."""
    status = fault.rpartition("_")[2]
    return int(status) if status.isdigit() else None


def _scripted(name: str) -> str:
    if name != "none" and not is_post_fault(name):
        raise ValueError(f"{name!r} is no fault of a POST; allowed: none, {POST_FAULTS}")
    return name


PostFault = Annotated[str, AfterValidator(_scripted)]
"""A scripted fault, or `none`."""


class LetterFault(StrEnum):
    """What can be scripted for a message."""

    NONE = "none"
    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    LATE = "late"
    EARLY = "early"
    """Only the first message of a call can be."""
