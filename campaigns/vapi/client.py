"""The network side of Vapi. Every request is made once: a repeated `POST /call` would ring somebody twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from campaigns.errors import AccountRefused, CallFailure, CallRefused, CallUnclear, NotSent, SetupError, Throttled
from campaigns.vapi.requests import CreateCall

CONNECT_SECONDS = 5.0  # a healthy connection takes 0.2 s
READ_SECONDS = 20.0  # a POST normally takes 0.3 s; past this nobody is going to answer it
LARGEST_BODY = 32 * 1024 * 1024  # a page of 1000 calls with transcripts; more is not an answer but an attack
LISTING_LIMIT = 1000  # the most that one listing returns
SHORTEST_WINDOW = timedelta(milliseconds=2)  # a full listing of less than this cannot be halved any further


class Client:
    """One account's connection. Safe to share between threads; use as a context manager.

    Raises `SetupError` for a key that no request can carry.
    """

    def __init__(self, base_url: str, key: str) -> None:
        if not (key.isascii() and key.isprintable()):
            raise SetupError(
                "the API key holds a line break or another character that cannot be sent: correct the variable that "
                "the account names as key_env"
            )
        # trust_env off: a proxy between us and the provider might repeat a POST. Redirects off: they would repeat it.
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            transport=httpx.HTTPTransport(retries=0),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def create_call(self, request: CreateCall) -> Mapping[str, Any]:
        """The provider's record of the accepted call.

        Raises `NotSent` where no byte left us, `Throttled` and `AccountRefused` and `CallRefused` where the provider
        said no, and `CallUnclear` for everything else: then it may have been placed.
        """
        content = json.dumps(request.body, allow_nan=False).encode()
        try:
            response = self._send("POST", "/call", content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as problem:
            raise NotSent(f"no connection to the provider: {type(problem).__name__}") from problem
        except httpx.HTTPError as problem:
            raise CallUnclear(f"the provider's answer did not arrive: {type(problem).__name__}") from problem
        if response.status_code == httpx.codes.CREATED:
            record = _json(response)
            if not isinstance(record, dict) or not isinstance(record.get("id"), str):
                raise CallUnclear("the provider accepted the call but its answer cannot be read", status=201)
            return record
        raise _refusal(response)

    def get_call(self, provider_id: str) -> Mapping[str, Any] | None:
        """The provider's record of a call; None where it says that there is none. Raises `CallFailure`."""
        response = self._get(f"/call/{quote(provider_id, safe='')}")  # it came from outside: not to be part of a path
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        record = _json(response) if response.is_success else None
        if not isinstance(record, dict):
            raise CallFailure(f"the provider answered {response.status_code}", status=response.status_code)
        return record

    def list_calls(self, created_from: datetime, created_to: datetime) -> Iterator[Mapping[str, Any]]:
        """Every call created in the window, by listings that are halved where one is full. Raises `CallFailure`.

        The provider has no pages: a listing that returns as many as it may could be hiding more.
        """
        page = self._list(created_from, created_to)
        if len(page) < LISTING_LIMIT:
            yield from page
            return
        if created_to - created_from < SHORTEST_WINDOW:
            raise CallFailure("too many calls were created within one instant to list them all")
        middle = created_from + (created_to - created_from) / 2
        yield from self.list_calls(created_from, middle)
        yield from self.list_calls(middle, created_to)

    def _list(self, created_from: datetime, created_to: datetime) -> list[Mapping[str, Any]]:
        response = self._get(
            "/call",
            params={
                "limit": str(LISTING_LIMIT),
                "createdAtGe": created_from.isoformat(),
                "createdAtLe": created_to.isoformat(),
            },
        )
        page = _json(response) if response.is_success else None
        if not isinstance(page, list):
            raise CallFailure(f"the provider answered {response.status_code} to a listing", status=response.status_code)
        return [record for record in page if isinstance(record, dict)]

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        try:
            return self._send("GET", path, params=params)
        except httpx.HTTPError as problem:
            raise CallFailure(f"the provider does not answer: {type(problem).__name__}") from problem

    def _send(
        self, method: str, path: str, *, content: bytes | None = None, params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        headers = {"Content-Type": "application/json"} if content is not None else {}
        with self._http.stream(method, path, content=content, params=params, headers=headers) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > LARGEST_BODY:
                    raise httpx.DecodingError("the provider's answer is too large")
            return httpx.Response(
                response.status_code,
                headers={"Retry-After": response.headers.get("Retry-After", "")},
                content=bytes(body),
            )


def _json(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def _refusal(response: httpx.Response) -> CallFailure:
    status = response.status_code
    words = _words(response)
    if status == httpx.codes.TOO_MANY_REQUESTS or (
        status == httpx.codes.BAD_REQUEST and "concurrency" in words.lower()
    ):
        return Throttled(words, status=status, retry_after=_retry_after(response))
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.PAYMENT_REQUIRED, httpx.codes.FORBIDDEN}:
        return AccountRefused(words, status=status)
    if response.is_client_error and status != httpx.codes.REQUEST_TIMEOUT:
        return CallRefused(words, status=status)
    return CallUnclear(f"the provider answered {status}", status=status)


def _words(response: httpx.Response) -> str:
    """The provider's own explanation, on one line; it may be a string, a list, or no JSON at all."""
    record = _json(response)
    message = record.get("message", record.get("error")) if isinstance(record, dict) else None
    if isinstance(message, list):
        message = "; ".join(str(part) for part in message)
    text = str(message) if message else f"HTTP {response.status_code}"
    return " ".join(text.split())[:500]


def _retry_after(response: httpx.Response) -> timedelta | None:
    try:
        return timedelta(seconds=min(float(response.headers.get("Retry-After", "")), 3600.0))
    except ValueError:
        return None
