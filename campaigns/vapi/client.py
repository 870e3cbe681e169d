"""The network side of Vapi. Every request is made once: a repeated `POST /call` would ring somebody twice."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from campaigns.errors import CallFailure, CallUnclear, NotSent, SetupError
from campaigns.rules.definition import AccountDefinition
from campaigns.vapi.answers import parsed, refusal, unusable
from campaigns.vapi.control import END_CALL, why_not
from campaigns.vapi.requests import CreateCall

TIMEOUT = httpx.Timeout(
    connect=5.0,  # seconds; a healthy connection takes 0.2
    write=5.0,  # seconds for 64 KB to leave: nobody reads them
    read=20.0,  # seconds without a byte; a POST normally takes 0.3, past this nobody is going to answer it
    pool=2.0,  # seconds for a connection of our own to come free: a process places one call at a time
)
LONGEST_ANSWER = timedelta(seconds=60)  # a page of 1000 calls takes seconds; slower is somebody who holds us up
LARGEST_BODY = 32 * 1024 * 1024  # bytes; a page of 1000 calls with transcripts; more is not an answer but an attack

# A server that closes an idle connection just as we send on it leaves us unsure whether it read us. Common servers
# close after 5 s or more, so an idle connection is never used again after 3; one closed before that is noticed.
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=3.0)

LISTING_LIMIT = 1000  # the most that one listing returns
SHORTEST_WINDOW = timedelta(milliseconds=20)  # a full listing of less than this cannot be halved any further
OVERLAP = timedelta(milliseconds=1)  # the provider keeps milliseconds: however it rounds, none falls between
MOST_LISTINGS = 200  # of one window, a minute of asking: 100 000 calls, which no account makes in a few minutes


class HangUpResult(StrEnum):
    """What came of ending a live call."""

    ENDED = "ended"
    """The provider took the order; that the call is over comes as any other event."""
    OVER = "already over"
    IMPOSSIBLE = "not possible"
    """The call may go on: `why` says what stood in the way."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """The result of `hang_up`."""

    result: HangUpResult
    why: str = ""


class TooLarge(httpx.DecodingError):
    """An answer of more than `LARGEST_BODY`."""


class Client:
    """One account's connection. Safe to share between threads; use as a context manager.

    Raises `SetupError` for a key that no request can carry.
    """

    def __init__(self, base_url: str, key: str, *, control_hosts: Sequence[str] = ("vapi.ai",)) -> None:
        if not re.fullmatch("[!-~]+", key):
            # Said here: the HTTP library would quote it.
            raise SetupError(
                "the key holds a space, a line break or a letter that no key has: correct the variable that the "
                "account names as key_env"
            )
        self._base_url = base_url
        self._key = key
        self._control_hosts = tuple(control_hosts)
        # trust_env off: a proxy between us and the provider might repeat a POST. Redirects off: they would repeat it.
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Accept": "application/json"},
            timeout=TIMEOUT,
            transport=httpx.HTTPTransport(retries=0, limits=LIMITS, trust_env=False),
            follow_redirects=False,
            trust_env=False,
        )

    @classmethod
    def of(cls, account: AccountDefinition, key: str) -> Self:
        """The account's connection; `key` is the value of what its definition names."""
        return cls(account.base_url, key, control_hosts=account.control_hosts)

    def __repr__(self) -> str:
        return f"Client({self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def create_call(self, request: CreateCall) -> Mapping[str, Any]:
        """The provider's record of the accepted call.

        Raises `NotSent` where no byte left us, `Throttled` and `AccountRefused` and `CallRefused` where the provider
        said no (or surely would), and `CallUnclear` for everything else: then it may have been placed.
        """
        content = request.content()
        try:
            response = self._send("POST", "/call", content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as problem:
            raise NotSent(f"no connection to the provider: {type(problem).__name__}") from problem
        except httpx.HTTPError as problem:
            raise CallUnclear(f"the provider's answer did not arrive: {type(problem).__name__}") from problem
        if not response.is_success:
            raise refusal(response, self._key, now=datetime.now(UTC))
        record = parsed(response)
        if not isinstance(record, dict) or not _is_id(record.get("id")):
            raise CallUnclear(
                f"the provider answered {response.status_code} without naming a call", status=response.status_code
            )
        return record

    def get_call(self, provider_id: str) -> Mapping[str, Any] | None:
        """The provider's record of a call; None where it says that there is none. Raises `CallFailure`."""
        record = self._find("call", provider_id)
        # One of the states of a call is that it was not found: asked again and again, it would never end.
        return None if record is not None and record.get("status") == "not-found" else record

    def get_assistant(self, assistant_id: str) -> Mapping[str, Any] | None:
        """A saved assistant; None where it says that there is none. Raises `CallFailure`."""
        return self._find("assistant", assistant_id)

    def get_squad(self, squad_id: str) -> Mapping[str, Any] | None:
        """A saved squad; None where it says that there is none. Raises `CallFailure`."""
        return self._find("squad", squad_id)

    def get_tool(self, tool_id: str) -> Mapping[str, Any] | None:
        """A saved tool of an assistant; None where it says that there is none. Raises `CallFailure`."""
        return self._find("tool", tool_id)

    def get_phone_number(self, phone_number_id: str) -> Mapping[str, Any] | None:
        """A number to call from; None where it says that there is none. Raises `CallFailure`."""
        return self._find("phone-number", phone_number_id)

    def list_calls(self, created_from: datetime, created_to: datetime) -> Iterator[Mapping[str, Any]]:
        """Every call created in the window, each once, by listings that are halved where one is full or too large.

        The provider has no pages: a listing that returns as many as it may could be hiding more. Raises `CallFailure`
        where it does not answer, or has more calls than can be listed: what was given out until then is incomplete.
        """
        seen: set[str] = set()
        windows = [(created_from, created_to)]
        for _ in range(MOST_LISTINGS):
            if not windows:
                return
            start, end = windows.pop()
            page = self._list(start, end)
            if page is not None and len(page) < LISTING_LIMIT:
                for record in page:
                    if isinstance(record, dict) and (name := str(record.get("id"))) not in seen:
                        seen.update([name] if "id" in record else [])
                        yield record
            elif end - start < SHORTEST_WINDOW:
                raise CallFailure("too many calls were created within one instant to list them all")
            else:
                middle = start + (end - start) / 2
                # Both halves hold their ends, and a little more: a call at the seam is in one of them at least.
                windows += [(middle - OVERLAP, end), (start, middle + OVERLAP)]
        if windows:
            raise CallFailure(f"too many calls to list them all: {MOST_LISTINGS} listings did not reach the end")

    def hang_up(self, provider_id: str) -> HangUp:
        """End a live call. Raises `CallFailure` where the provider cannot be asked about it.

        The order goes to the address that the provider names for the call, if that is one of the account's hosts; it
        is made once and without our key, which that address has no need of.
        """
        record = self.get_call(provider_id)
        if record is None or _is_over(record):
            return HangUp(HangUpResult.OVER)
        monitor = record.get("monitor")
        url = monitor.get("controlUrl") if isinstance(monitor, dict) else None
        problem = why_not(url, hosts=self._control_hosts, base_url=self._base_url)
        if problem is not None:
            return HangUp(HangUpResult.IMPOSSIBLE, problem)
        try:
            response = self._send("POST", str(url), content=json.dumps(END_CALL).encode(), with_key=False)
        except httpx.HTTPError as failure:
            return HangUp(
                HangUpResult.IMPOSSIBLE,
                f"the control address did not answer: {type(failure).__name__}; see whether the call goes on",
            )
        if response.is_success:
            return HangUp(HangUpResult.ENDED)
        # Nobody serves the address of a call that has just ended.
        record = self.get_call(provider_id)
        if record is None or _is_over(record):
            return HangUp(HangUpResult.OVER)
        return HangUp(HangUpResult.IMPOSSIBLE, f"the control address answered {response.status_code}")

    def _find(self, kind: str, wanted: str) -> Mapping[str, Any] | None:
        if wanted in {"", ".", ".."}:
            raise CallFailure(f"{wanted!r} is not the id of a {kind}")  # it would ask for something else
        response = self._get(f"/{kind}/{quote(wanted, safe='')}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        record = parsed(response) if response.is_success else None
        if not isinstance(record, dict):
            raise unusable(response, self._key)
        if record.get("id", wanted) != wanted:
            raise CallFailure(f"the provider answered about another {kind} than was asked for")
        return record

    def _list(self, created_from: datetime, created_to: datetime) -> list[Any] | None:
        """The calls of a window; None where they are too much for one answer."""
        try:
            response = self._get(
                "/call",
                params={
                    "limit": str(LISTING_LIMIT),
                    "createdAtGe": created_from.isoformat(),
                    "createdAtLe": created_to.isoformat(),
                },
            )
        except CallFailure as problem:
            if isinstance(problem.__cause__, TooLarge):
                return None
            raise
        page = parsed(response) if response.is_success else None
        if not isinstance(page, list):
            raise unusable(response, self._key)
        return page

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            return self._send("GET", path, params=params)
        except httpx.HTTPError as problem:
            raise CallFailure(f"the provider does not answer: {type(problem).__name__}") from problem

    def _send(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        with_key: bool = True,
    ) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.HTTPError`."""
        headers = {"Authorization": f"Bearer {self._key}"} if with_key else {}
        if content is not None:
            headers["Content-Type"] = "application/json"
        give_up = time.monotonic() + LONGEST_ANSWER.total_seconds()
        with self._http.stream(method, url, content=content, params=params, headers=headers) as response:
            if "," in response.headers.get("Content-Encoding", ""):
                # Each packing multiplies by a thousand: five kilobytes would be gigabytes before we could count them.
                raise httpx.DecodingError("the provider's answer is packed more than once")
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > LARGEST_BODY:
                    raise TooLarge("the provider's answer is too large")
                if time.monotonic() > give_up:
                    raise httpx.ReadTimeout("the provider's answer takes too long")
            kept = {name: response.headers[name] for name in ("Retry-After", "Date") if name in response.headers}
            return httpx.Response(response.status_code, headers=kept, content=bytes(body))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _is_over(record: Mapping[str, Any]) -> bool:
    return record.get("status") == "ended" or bool(record.get("endedAt"))
