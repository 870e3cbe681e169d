"""What an answer means that was not the one hoped for, and the provider's own words for it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, Throttled

LONGEST_WORDS: Final = 500  # characters of the provider's explanation that are kept
LONGEST_WAIT: Final = timedelta(hours=1)  # nobody means more by `Retry-After`; a wrong clock might

_ACCOUNT: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.PAYMENT_REQUIRED, httpx.codes.FORBIDDEN})
_OVER_CONCURRENCY: Final = re.compile(r"over[\s-]?concurrency|concurren\w*([\s-]calls?)?[\s-]limit", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<![\w-])\+?\(?\d(?:[ ().-]{0,2}\d){6,14}(?![\w-])")
_BEARER: Final = re.compile(r"bearer\s+\S+", re.IGNORECASE)


def parsed(response: httpx.Response) -> Any:
    """The answer's JSON, with a broken character replaced; None where it is none."""
    try:
        return json.loads(response.content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def refusal(response: httpx.Response, key: str, *, now: datetime) -> CallFailure:
    """What an answer to `POST /call` without success means for the call, the account and everybody after it.

    Only an answer that says *no* is a no: redirects, and failures of the provider's own, leave it open.
    """
    status = response.status_code
    said = words(response, key)
    no_line = bool(_OVER_CONCURRENCY.search(said))
    if status == httpx.codes.TOO_MANY_REQUESTS or (status == httpx.codes.BAD_REQUEST and no_line):
        return Throttled(said, status=status, retry_after=retry_after(response, now=now), no_line=no_line)
    if status in _ACCOUNT:
        return AccountRefused(said, status=status)
    if response.is_client_error and status != httpx.codes.REQUEST_TIMEOUT:
        return CallRefused(said, status=status)
    return CallUnclear(f"the provider answered {said}", status=status)


def unusable(response: httpx.Response, key: str) -> CallFailure:
    """What an answer to a question means that answers it not."""
    kind = AccountRefused if response.status_code in _ACCOUNT else CallFailure
    said = words(response, key)
    if response.is_success:
        said += ", and nothing that can be read"
    return kind(f"the provider answered {said}", status=response.status_code)


def words(response: httpx.Response, key: str) -> str:
    """The status and the provider's own explanation, on one line, without the key and without telephone numbers.

    The explanation may be a text, a list, or the page of a server in between, of which the title is taken.
    """
    record = parsed(response)
    message = record.get("message") or record.get("error") if isinstance(record, dict) else None
    if isinstance(message, list):
        message = "; ".join(str(part) for part in message)
    if not message:
        title = _TITLE.search(response.content[:10_000].decode("utf-8", "replace"))
        message = f"a page titled {title[1].strip()!r}" if title else ""
    said = str(message)[: 10 * LONGEST_WORDS].replace(key, "[key]")
    said = _NUMBER.sub("[number]", _BEARER.sub("[key]", said))
    said = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    return f"{response.status_code}: {said}"[:LONGEST_WORDS] if said else f"HTTP {response.status_code}"


def retry_after(response: httpx.Response, *, now: datetime) -> timedelta | None:
    """How long to wait, where the provider says so: in seconds, or as a date by its own clock (else by ours, `now`)."""
    said = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", said):
        return min(timedelta(seconds=float(said)), LONGEST_WAIT)
    until = _date(said)
    if until is None:
        return None
    return min(max(until - (_date(response.headers.get("Date", "")) or now), timedelta(0)), LONGEST_WAIT)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
