"""What of a payload may be kept: made storable first, then stripped of what opens a door or tells a prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

DEEPEST: Final = 64  # levels; real payloads reach 12, and PostgreSQL, json and our own recursion bear far more
REDACTED: Final = "[redacted]"
TOO_DEEP: Final = "[too deep]"

_LARGEST_INTEGER: Final = (
    10**300
)  # nothing we read is larger; Python refuses to print 4 300 digits, a float overflows at 308
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_SECRET_KEY: Final = re.compile(
    r"secret|token|password|passwd|signature|headers$|credentials?$|^auth$|authorization|authentication"
    r"|(api|access|private|subscription|encryption|openai|gcp)_?key",
    re.IGNORECASE,
)
_MOST_KEYS: Final = 4096  # remembered; the provider has some hundreds
_LONGEST_KEY: Final = 100  # characters; what strangers make up takes no memory
_NESTING: Final = (dict, list)
_DROPPED_KEY: Final = re.compile(r"^(presigned.*|controlUrl|listenUrl|systemPrompt)$", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"\s*(https?|wss?)://", re.IGNORECASE)
_SIGNED_QUERY: Final = re.compile(
    r"[?&;]((x-amz-|x-goog-)[^=&]*|awsaccesskeyid|googleaccessid|key-pair-id|signature|sig|se|expires|policy"
    r"|[^=&;]{0,40}(token|secret|password|api_?key)|key|auth|jwt)=",
    re.IGNORECASE,
)
_ANSWERS: Final = (
    "structuredData",
    "structuredDataMulti",
    "structuredOutputs",
)  # what the campaign asked for, under its own names
_UNSPOKEN_ROLES: Final = ("system", "developer")

# Objects of which only these keys are kept: the rest is prompts, keys and configuration that the provider can show.
_KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("toAssistant", "fromAssistant", "squad", "workflow"), ("id", "name")),
    "assistant": ("id", "name", "metadata"),  # which may hold our call id: what is stored is read again
    **dict.fromkeys(
        ("assistantOverrides", "squadOverrides", "workflowOverrides", "membersOverrides"),
        ("metadata", "variableValues"),
    ),
    "phoneNumber": ("id", "name", "number", "provider"),
    "server": ("url",),
    "model": ("provider", "model"),
}


class _Treatment(Enum):
    """What becomes of a field that is not simply looked into."""

    KEEP = auto()
    TRIM = auto()
    URL = auto()
    SECRET = auto()
    DROP = auto()


def storable(value: object, depth: int = 0) -> Any:
    """A copy of parsed JSON that PostgreSQL's jsonb takes as it is.

    NUL and lone surrogates become U+FFFD; NaN, infinities and integers of more than 300 digits become null;
    what lies deeper than `DEEPEST` levels becomes a mark.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _LARGEST_INTEGER else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= DEEPEST:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, depth + 1) for item in value]
    return storable(str(value))


def is_deeper(value: Any, levels: int) -> bool:
    """Whether parsed JSON has objects and lists inside each other to more than so many levels."""
    row = [value] if isinstance(value, _NESTING) else []
    while row and levels > 0:
        levels -= 1
        row = [
            inner
            for outer in row
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if type(inner) in _NESTING  # parsed JSON has no others, and this is half the work
        ]
    return bool(row)


def redacted(value: Any) -> Any:
    """A copy of a storable payload without keys, tokens, control and signed URLs, and assistants' prompts.

    What was said in the call is kept, and so are the assistant's and number's ids and names.
    """
    if isinstance(value, dict):
        copy = {}
        for key, item in value.items():
            treatment = _TREATMENTS[key]
            if treatment is None:
                if isinstance(item, str):  # most of them: not worth a call each
                    copy[key] = unsigned(item) if "?" in item else item
                else:
                    copy[key] = redacted(item) if isinstance(item, _NESTING) else item
            elif treatment is not _Treatment.DROP:
                copy[key] = _field(key, treatment, item)
        return copy
    if isinstance(value, str):
        return unsigned(value) if "?" in value else value
    if isinstance(value, list):
        return [redacted(item) for item in value if not _is_prompt(item)]
    return value


def unsigned(url: str) -> str:
    """`url` without its query where that carries a signature; any other text as it is."""
    if _ADDRESS.match(url) and _SIGNED_QUERY.search(url):
        return url.split("?", 1)[0]
    return url


class _Treatments(dict[str, _Treatment | None]):
    """What becomes of a field, by its key: remembered, because to search each key anew took half the time."""

    def __missing__(self, key: str) -> _Treatment | None:
        found = _treatment(key)
        if len(self) < _MOST_KEYS and len(key) <= _LONGEST_KEY:
            self[key] = found
        return found


def _treatment(key: str) -> _Treatment | None:
    if _DROPPED_KEY.match(key):
        return _Treatment.DROP
    if key in _KEPT:
        return _Treatment.TRIM
    if key in _ANSWERS:
        return _Treatment.KEEP
    if _SECRET_KEY.search(key):
        return _Treatment.SECRET
    return _Treatment.URL if key in ("url", "serverUrl") else None


_TREATMENTS = _Treatments()


def _field(key: str, treatment: _Treatment, value: Any) -> Any:
    if treatment is _Treatment.TRIM and isinstance(value, dict):
        return redacted({name: value[name] for name in _KEPT[key] if name in value})
    if treatment is _Treatment.KEEP:
        return value
    # Counts and switches (promptTokens: 812) are no secrets, however they are called.
    if treatment is _Treatment.SECRET and not (value is None or isinstance(value, bool | int | float)):
        return REDACTED
    if treatment is _Treatment.URL and isinstance(value, str):
        return re.sub(r"(?<=://)[^/@]*@", "", value).split("?", 1)[0]
    return redacted(value)


def _is_prompt(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("role")).lower() in _UNSPOKEN_ROLES
