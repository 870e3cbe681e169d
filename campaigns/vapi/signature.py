"""Who sent a webhook: proof over its raw bytes, before anything in it is read.

Vapi signs nothing until a credential is attached to the server URL, and then in the way that credential says.
So the ways that an account accepts are configured, and a message need satisfy only one of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from campaigns.errors import InvalidDefinition, Unauthenticated

_PLACEHOLDER: Final = re.compile(r"\{(body|timestamp|method|url|svix-id|id)\}")
_ALGORITHMS: Final = ("sha256", "sha512", "sha1")
_MILLISECONDS_FROM: Final = 100_000_000_000  # in seconds this is the year 5138, in milliseconds 1973: no overlap


@dataclass(frozen=True, slots=True)
class Hmac:
    """A keyed hash of the message, as an HMAC credential at Vapi computes it; the defaults are that credential's."""

    secrets: tuple[bytes, ...] = field(repr=False)
    """Any of them proves the sender: two during a rotation. Decode a base64 secret before putting it here."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    signature_header: str = "x-signature"
    timestamp_header: str | None = "x-timestamp"
    prefix: str = ""
    """What stands before the signature in its header, such as `sha256=`."""
    encoding: Literal["hex", "base64"] = "hex"
    payload_format: str = "{timestamp}.{body}"
    """What is hashed: {body}, {timestamp}, {method}, {url} and {id} (also spelled {svix-id}) around literal text."""
    tolerance: timedelta = timedelta(minutes=5)  # a clock may drift this far; a captured message is dead after it
    """How far a signed timestamp may be from now. One outside `payload_format` is ignored: anyone can set it."""
    message_id_header: str | None = None
    """Header of the sender's message id. The id is handed on only where `payload_format` signs it with {id}."""

    def __post_init__(self) -> None:
        _check_secrets(self.secrets)
        if self.algorithm not in _ALGORITHMS:
            raise InvalidDefinition(f"algorithm {self.algorithm!r} is not one of {', '.join(_ALGORITHMS)}")
        if self.encoding not in ("hex", "base64"):
            raise InvalidDefinition(f"encoding {self.encoding!r} is neither hex nor base64")
        named = set(_PLACEHOLDER.findall(self.payload_format))
        if "body" not in named:
            raise InvalidDefinition(
                "payload_format does not hold {body}, so the signature would prove nothing about it"
            )
        if "timestamp" in named and self.timestamp_header is None:
            raise InvalidDefinition("payload_format holds {timestamp}, but no timestamp_header says where to find it")
        if named & {"id", "svix-id"} and self.message_id_header is None:
            raise InvalidDefinition("payload_format holds {id}, but no message_id_header says where to find it")


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token in a header, as a bearer credential at Vapi sends it."""

    secrets: tuple[bytes, ...] = field(repr=False)
    header: str = "authorization"
    prefix: str = "Bearer "

    def __post_init__(self) -> None:
        _check_secrets(self.secrets)


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A bare secret in a header, which older organisations' inline server secrets still send."""

    secrets: tuple[bytes, ...] = field(repr=False)
    header: str = "x-vapi-secret"

    def __post_init__(self) -> None:
        _check_secrets(self.secrets)


Strategy = Hmac | Bearer | SharedSecret


@dataclass(frozen=True, slots=True)
class _Finding:
    proven: bool
    said: str
    """For the error: what was tried and why it proved nothing. Never a secret, never what was received."""
    message_id: str | None = None


def verify(
    strategies: Sequence[Strategy], *, headers: Mapping[str, str], body: bytes, method: str, url: str, now: datetime
) -> str | None:
    """The sender's own id of this message, where one was signed; None where the sender is proven but gave none.

    `body` is what came over the wire, `url` what the sender was told to call. Every strategy and every secret is
    tried, whichever fits, so that the time taken does not tell which. Raises Unauthenticated when none fits.
    """
    if not strategies:
        raise Unauthenticated(
            "no way of proving a webhook's sender is configured for this account; add one to accept any"
        )
    given = {name.lower(): value for name, value in headers.items()}
    findings = [
        _check_hmac(strategy, given, body, method, url, now)
        if isinstance(strategy, Hmac)
        else _check_token(strategy, given)
        for strategy in strategies
    ]
    proven = [finding for finding in findings if finding.proven]
    if not proven:
        raise Unauthenticated(f"the sender of this webhook is not proven; tried {'; '.join(f.said for f in findings)}")
    return next((finding.message_id for finding in proven if finding.message_id), None)


def signed(strategy: Strategy, *, body: bytes, method: str, url: str, message_id: str, now: datetime) -> dict[str, str]:
    """The headers that prove a message to `strategy`, as its sender would set them."""
    secret = strategy.secrets[0]
    if not isinstance(strategy, Hmac):
        prefix = strategy.prefix if isinstance(strategy, Bearer) else ""
        return {strategy.header: prefix + secret.decode()}
    headers = {} if strategy.message_id_header is None else {strategy.message_id_header: message_id}
    stamp = str(int(now.timestamp()))
    if strategy.timestamp_header is not None:
        headers[strategy.timestamp_header] = stamp
    texts = {"timestamp": stamp, "method": method, "url": url, "id": message_id, "svix-id": message_id}
    values = {"body": body} | {name: _octets(text) for name, text in texts.items()}
    digest = hmac.new(secret, _fill(strategy.payload_format, values), strategy.algorithm).digest()
    written = digest.hex() if strategy.encoding == "hex" else b64encode(digest).decode()
    return headers | {strategy.signature_header: strategy.prefix + written}


def _check_hmac(
    strategy: Hmac, given: Mapping[str, str], body: bytes, method: str, url: str, now: datetime
) -> _Finding:
    tried = f"{strategy.algorithm} HMAC in {strategy.signature_header}"
    values: dict[str, bytes] = {"body": body, "method": _octets(method), "url": _octets(url)}
    signed = set(_PLACEHOLDER.findall(strategy.payload_format))
    message_id = None
    if "timestamp" in signed:
        stamp = given.get((strategy.timestamp_header or "").lower())
        if stamp is None:
            return _Finding(proven=False, said=f"{tried} (no {strategy.timestamp_header} header)")
        sent_at = _moment(stamp)
        if sent_at is None:
            return _Finding(proven=False, said=f"{tried} ({strategy.timestamp_header} is no timestamp)")
        if abs(now - sent_at) > strategy.tolerance:
            return _Finding(proven=False, said=f"{tried} ({strategy.timestamp_header} too far from our clock)")
        values["timestamp"] = _octets(stamp.strip())
    if signed & {"id", "svix-id"}:
        message_id = given.get((strategy.message_id_header or "").lower())
        if not message_id:
            return _Finding(proven=False, said=f"{tried} (no {strategy.message_id_header} header)")
        values["id"] = values["svix-id"] = _octets(message_id)
    signature = given.get(strategy.signature_header.lower())
    if signature is None:
        return _Finding(proven=False, said=f"{tried} (header absent)")
    received = _signature(strategy, signature)
    payload = _fill(strategy.payload_format, values)
    matches = 0
    for secret in strategy.secrets:
        digest = hmac.new(secret, payload, strategy.algorithm).digest()
        matches |= hmac.compare_digest(_written(strategy, digest), received)
    return _Finding(bool(matches), f"{tried} (does not match)", message_id)


def _check_token(strategy: Bearer | SharedSecret, given: Mapping[str, str]) -> _Finding:
    prefix = strategy.prefix if isinstance(strategy, Bearer) else ""
    tried = f"{'bearer token' if isinstance(strategy, Bearer) else 'shared secret'} in {strategy.header}"
    value = given.get(strategy.header.lower())
    if value is None:
        return _Finding(proven=False, said=f"{tried} (header absent)")
    if value[: len(prefix)].lower() != prefix.lower():
        return _Finding(proven=False, said=f"{tried} (does not start with {prefix.strip()!r})")
    # Hashing first gives both sides one length: comparing bytes of unequal length would tell the secret's.
    received = hashlib.sha256(_octets(value[len(prefix) :].strip())).digest()
    matches = 0
    for secret in strategy.secrets:
        matches |= hmac.compare_digest(hashlib.sha256(secret).digest(), received)
    return _Finding(bool(matches), f"{tried} (does not match)")


def _fill(payload_format: str, values: Mapping[str, bytes]) -> bytes:
    # Split once over the format alone: a body that spells {timestamp} is never looked into.
    parts = _PLACEHOLDER.split(payload_format)
    return b"".join(values[part] if index % 2 else part.encode() for index, part in enumerate(parts))


def _signature(strategy: Hmac, header: str) -> bytes:
    text = header.strip().removeprefix(strategy.prefix)
    return _octets(text.lower() if strategy.encoding == "hex" else text.rstrip("="))


def _written(strategy: Hmac, digest: bytes) -> bytes:
    return digest.hex().encode() if strategy.encoding == "hex" else b64encode(digest).rstrip(b"=")


def _octets(text: str) -> bytes:
    # Servers decode header bytes as Latin-1, so this gives back what was sent; other text only must not fail.
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _moment(text: str) -> datetime | None:
    # Vapi does not say whether it counts seconds or milliseconds.
    if not re.fullmatch(r"\s*[0-9]{1,15}\s*", text):
        return None
    count = int(text)
    seconds = count / 1000 if count >= _MILLISECONDS_FROM else count
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _check_secrets(secrets: tuple[bytes, ...]) -> None:
    if not secrets or not all(secrets):
        raise InvalidDefinition("a webhook secret is missing or empty, and an empty one would let anybody in; set it")
