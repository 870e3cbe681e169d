"""What of an ended call says that the person wants no more calls, or another one at another time."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from campaigns.rules.definition.section import Section

_WORD: Final = re.compile(r"[^\W_]+")
_INSIDE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_APOSTROPHES: Final = ("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def plain(words: str) -> str:
    """Words without capitals and marks, as they are compared: `Take me OFF your list!`."""
    return " ".join(_WORD.findall(folded(words)))


def folded(words: str) -> str:
    """Words without capitals and apostrophes: `don't` is one word however it is written."""
    for mark in _APOSTROPHES:
        words = words.replace(mark, "")
    return words.casefold()


@lru_cache(maxsize=4096)  # the names of fields and tools: the same in every call
def plain_name(name: str) -> str:
    """A name without its spelling: `doNotCall`, `do_not_call` and `Do not call` are one."""
    return plain(_INSIDE.sub(" ", name))


def _sayable(text: str) -> str:
    if not plain(text):
        raise ValueError("holds no letters: name a field, a tool or some words")
    return text


Words = Annotated[str, Field(min_length=1, max_length=140), AfterValidator(_sayable)]


class Signals(Section):
    """What counts as an opt-out and what as a wish to be called back, beside the usual ones.

    A field is one of the structured answers, at whatever depth, in whatever spelling (`doNotCall`, `do_not_call`); with
    `field=value` that answer alone counts, else whatever says yes.
    """

    defaults: bool = True
    """Whether the usual ones count, too. Without them an opt-out may go unheard."""
    opt_out_fields: tuple[Words, ...] = (
        "do_not_call",
        "do_not_contact",
        "dnc",
        "opt_out",
        "opted_out",
        "unsubscribe",
    )
    opt_out_tools: tuple[Words, ...] = ("do_not_call", "add_to_do_not_call", "opt_out")
    """Tools that were called in the conversation, whatever came of it."""
    opt_out_phrases: tuple[Words, ...] = (
        "take me off your list",
        "take me off the list",
        "remove me from your list",
        "remove my number",
        "stop calling me",
        "do not call me again",
        "don't call me again",
        "do not call this number",
        "don't call this number",
    )
    """Said by the person, not by the assistant, which may explain how to opt out."""
    opt_out_replies: tuple[Words, ...] = ()
    """Said by the assistant, such as the phrase with which it ends such a call."""
    callback_fields: tuple[Words, ...] = ("callback_time", "callback_at", "callback_requested", "callback")
    """The answer holds when (an ISO time) or only that: the first of these with a time counts."""

    def of(self, kind: str) -> tuple[str, ...]:
        """The fields, tools or phrases of that key: the campaign's own, then the usual ones."""
        own: tuple[str, ...] = getattr(self, kind)
        return tuple(dict.fromkeys((*own, *type(self).model_fields[kind].default))) if self.defaults else own
