"""How single values of a campaign or account file are written: durations, hours, moments, names, addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict

from campaigns.errors import InvalidInput
from campaigns.rules.windows import CallingWindow, zone_named

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LARGEST_TRANSIENT = 200_000  # characters of an assistant or squad sent with each call: a prompt of 30 000 words
_LONGEST_DURATION = timedelta(days=366)  # nobody plans further ahead, and sums of it stay within the calendar

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
"""At least two labels, the last no number: neither `ai` nor an address in digits passes for a host that we trust."""


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([smhd])\s*", value)
        if match is None:
            raise ValueError('a duration is a number and a unit, such as "90s", "15m", "2h" or "1d"')
        duration = timedelta(**{_UNITS[match[2]]: float(match[1])})
        if duration > _LONGEST_DURATION:
            raise ValueError(f"a duration of more than {_LONGEST_DURATION.days} days is surely a mistake")
        return duration
    raise ValueError('a duration is written in quotes with its unit, such as "15m"')


def spell_duration(value: timedelta) -> str:
    """A duration as a file may say it."""
    # Exactly, whatever its size: it is read back from the database.
    return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def _window(value: Any) -> Any:
    if isinstance(value, CallingWindow):
        return value
    hours = value.values() if isinstance(value, dict) else [value]
    if not all(isinstance(part, str) or _is_list_of_text(part) for part in hours) or isinstance(value, list):
        raise ValueError('write days and hours in quotes, such as "Mon-Fri 09:00-12:00, 13:00-20:00; Sat 10:00-16:00"')
    try:
        return CallingWindow.parse(value)
    except InvalidInput as problem:
        raise ValueError(str(problem)) from problem


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _moment(value: Any) -> Any:
    if isinstance(value, str | datetime):
        return value
    raise ValueError("give a date and a time with its offset, such as 2026-03-02T09:00:00-05:00")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("give the offset too, such as 2026-03-02T09:00:00-05:00 or ...Z")
    return value


def _environment_name(name: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ValueError("give the NAME of an environment variable such as VAPI_API_KEY, never the secret itself")
    return name


def _region(code: str) -> str:
    if code not in SUPPORTED_REGIONS:
        hint = "; the United Kingdom is GB" if code.upper() == "UK" else ""
        raise ValueError(f"{code!r} is not a country code of two capital letters such as US or DE{hint}")
    return code


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or re.search(r"\s", url):
        raise ValueError("give a web address such as https://calls.example.com, without ? or #")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError("use https: over http the key and what people said would travel in the open")
    if "@" in parts.netloc:
        raise ValueError("give the web address without a user and password: a secret belongs in the environment")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own: written so, without asking a name server."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _zone(name: str) -> str:
    try:
        zone_named(name)
    except InvalidInput as problem:
        raise ValueError(str(problem)) from problem
    if "/" not in name and name != "UTC":
        raise ValueError(f"{name!r} does not follow the clocks of a place: use an IANA name such as America/Chicago")
    return name


def _host(name: str) -> str:
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise ValueError("give a host name such as vapi.ai, in small letters, without https:// and without a port")
    return name


def _transient_assistant(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    _refuse_what_cannot_be_sent(fields)
    _refuse_call_control(fields)
    return fields


def _transient_squad(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    _refuse_what_cannot_be_sent(fields)
    members = fields.get("members")
    if not isinstance(members, list) or not members or not all(isinstance(member, dict) for member in members):
        raise ValueError("needs at least one [[squad.members]]: the call starts with the first")
    for turn, member in enumerate(members, 1):
        if (not member.get("assistantId")) == (not member.get("assistant")):
            raise ValueError(f"member #{turn} needs either assistantId or assistant")
        _refuse_call_control(member.get("assistant"))
        _refuse_call_control(member.get("assistantOverrides"))
    _refuse_call_control(fields.get("membersOverrides"))
    return fields


def _refuse_what_cannot_be_sent(fields: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(fields, allow_nan=False, default=str))
    except (ValueError, RecursionError):
        raise ValueError("holds nan or infinity, or lies too deep: Vapi could not read it") from None
    if not fields or size > LARGEST_TRANSIENT:
        raise ValueError(f"must hold something, and at most {LARGEST_TRANSIENT:,} characters: it goes with every call")


def _refuse_call_control(fields: Any) -> None:
    messages = fields.get("serverMessages") if isinstance(fields, dict) else None
    if isinstance(messages, list) and "phone-call-control" in messages:
        raise ValueError("leave phone-call-control out of serverMessages: with it Vapi leaves hanging up to a server")


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(spell_duration)]
Window = Annotated[CallingWindow, BeforeValidator(_window), PlainSerializer(lambda window: window.describe())]
Instant = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_aware)]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Region = Annotated[str, AfterValidator(_region)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Zone = Annotated[str, AfterValidator(_zone)]
HostName = Annotated[str, AfterValidator(_host)]
TransientAssistant = Annotated[Mapping[str, Any], AfterValidator(_transient_assistant)]
TransientSquad = Annotated[Mapping[str, Any], AfterValidator(_transient_squad)]
