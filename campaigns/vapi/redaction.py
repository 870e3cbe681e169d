"""What of a payload may be kept: made storable first, then stripped of what opens a door or tells a prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
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
_DROPPED_KEY: Final = re.compile(r"^(presigned.*|controlUrl|listenUrl|systemPrompt)$", re.IGNORECASE)
_SIGNED_QUERY: Final = re.compile(
    r"[?&;]((x-amz-|x-goog-)[^=&]*|awsaccesskeyid|googleaccessid|key-pair-id|signature|sig|se|token|expires|policy)=",
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
    **dict.fromkeys(("assistant", "toAssistant", "fromAssistant", "squad", "workflow"), ("id", "name")),
    **dict.fromkeys(
        ("assistantOverrides", "squadOverrides", "workflowOverrides", "membersOverrides"),
        ("metadata", "variableValues"),
    ),
    "phoneNumber": ("id", "name", "number", "provider"),
    "server": ("url",),
    "model": ("provider", "model"),
}


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


def redacted(value: Any) -> Any:
    """A copy of a storable payload without keys, tokens, control and signed URLs, and assistants' prompts.

    What was said in the call is kept, and so are the assistant's and number's ids and names.
    """
    if isinstance(value, dict):
        return {key: _field(key, item) for key, item in value.items() if not _DROPPED_KEY.match(key)}
    if isinstance(value, list):
        return [redacted(item) for item in value if not _is_prompt(item)]
    return unsigned(value) if isinstance(value, str) else value


def unsigned(url: str) -> str:
    """`url` without its query where that carries a signature; any other text as it is."""
    if url.startswith(("http://", "https://", "ws://", "wss://")) and _SIGNED_QUERY.search(url):
        return url.split("?", 1)[0]
    return url


def _field(key: str, value: Any) -> Any:
    if key in _KEPT and isinstance(value, dict):
        return redacted({name: value[name] for name in _KEPT[key] if name in value})
    if key in _ANSWERS:
        return value
    # Counts and switches (promptTokens: 812) are no secrets, however they are called.
    if _SECRET_KEY.search(key) and not (value is None or isinstance(value, bool | int | float)):
        return REDACTED
    if key in ("url", "serverUrl") and isinstance(value, str):
        return re.sub(r"(?<=://)[^/@]*@", "", value).split("?", 1)[0]
    return redacted(value)


def _is_prompt(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("role")).lower() in _UNSPOKEN_ROLES
