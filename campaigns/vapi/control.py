"""Ending a live call: where the order may be posted. Vapi names an address for each call; not every one is trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from campaigns.rules.fields import is_loopback

END_CALL: Final = {"type": "end-call"}

LONGEST_URL: Final = 2_000  # characters; real ones have about 120

# Spelt out, because two programs that read an odd address differently would check one host and call another: no user
# and password, no port but 443, no letter outside ASCII, no backslash; then a path, or nothing.
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_CONTROL_URL: Final = re.compile(
    rf"https://(?P<host>(?:{_LABEL}\.)+{_LABEL})(?::443)?(?:/[!-\[\]-~]*)?", re.IGNORECASE | re.ASCII
)
_LOOPBACK_URL: Final = re.compile(r"http://(?P<place>[A-Za-z0-9.:\[\]-]+)/[!-\[\]-~]*")


def why_not(url: object, *, hosts: Sequence[str], base_url: str) -> str | None:
    """Why nothing may be posted to the control address `url`; None where it may.

    It must be https, at one of `hosts` or below it. For a stand-in on this machine (by `base_url`) the very host and
    port of the stand-in will do, over http. The address is a secret: the reason names its host at most.
    """
    if not isinstance(url, str) or not url:
        return "the provider names no control address: the call is not connected yet, or control is switched off"
    if len(url) > LONGEST_URL:
        return "the control address is too long to be one"
    if is_loopback(base_url):
        here = _LOOPBACK_URL.fullmatch(url)
        if here is not None and here["place"].lower() == urlsplit(base_url).netloc.lower():
            return None
    found = _CONTROL_URL.fullmatch(url)
    if found is None:
        return "the control address is not a plain https address"
    host = found["host"].lower()
    if not any(host == known or host.endswith(f".{known}") for known in hosts):
        return f"the control address is at {host[:100]}, which is not among the account's control_hosts"
    return None
