from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.errors import InvalidDefinition, Unauthenticated
from campaigns.vapi.signature import Bearer, Hmac, SharedSecret, Strategy, verify

NOW = datetime(2026, 6, 15, 13, 40, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
BODY = b'{"message": {"type": "hang", "note": "{timestamp}.{body}"}}'
KEY, NEXT_KEY = b"old-key", b"new-key"
URL = "https://hooks.example.org/webhooks/vapi/larkspur"


def signed(payload: bytes, key: bytes = KEY, algorithm: str = "sha256") -> bytes:
    return hmac.new(key, payload, algorithm).digest()


def proven(*strategies: Strategy, headers: dict[str, str], body: bytes = BODY, now: datetime = NOW) -> str | None:
    return verify(strategies, headers=headers, body=body, method="POST", url=URL, now=now)


def test_the_providers_default_signature_proves_the_sender() -> None:
    headers = {"X-Signature": signed(SECONDS.encode() + b"." + BODY).hex(), "X-Timestamp": SECONDS}
    assert proven(Hmac((KEY,)), headers=headers) is None


@pytest.mark.parametrize("tampered", ["body", "timestamp", "signature", "key"])
def test_a_changed_part_proves_nothing(tampered: str) -> None:
    stamp = SECONDS if tampered != "timestamp" else str(int(SECONDS) + 1)
    signature = signed(SECONDS.encode() + b"." + BODY, b"another" if tampered == "key" else KEY).hex()
    if tampered == "signature":
        signature = ("0" if signature[0] != "0" else "1") + signature[1:]
    body = BODY + b" " if tampered == "body" else BODY
    with pytest.raises(Unauthenticated, match=r"sha256 HMAC in x-signature \(does not match\)"):
        proven(Hmac((KEY,)), headers={"x-signature": signature, "x-timestamp": stamp}, body=body)


@pytest.mark.parametrize("key", [KEY, NEXT_KEY])
def test_during_a_rotation_either_secret_is_accepted(key: bytes) -> None:
    headers = {"x-signature": signed(SECONDS.encode() + b"." + BODY, key).hex(), "x-timestamp": SECONDS}
    assert proven(Hmac((KEY, NEXT_KEY)), headers=headers) is None
    assert proven(Bearer((KEY, NEXT_KEY)), headers={"authorization": f"Bearer {key.decode()}"}) is None
    assert proven(SharedSecret((KEY, NEXT_KEY)), headers={"x-vapi-secret": key.decode()}) is None


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_every_algorithm_and_encoding_is_verified(algorithm: str, encoding: str) -> None:
    digest = signed(BODY, algorithm=algorithm)
    text = digest.hex().upper() if encoding == "hex" else base64.b64encode(digest).decode()
    strategy = Hmac(
        (KEY,),
        algorithm=algorithm,  # type: ignore[arg-type]  # a plain parameter of this test
        encoding=encoding,  # type: ignore[arg-type]  # as above
        signature_header="x-vapi-signature",
        prefix=f"{algorithm}=",
        payload_format="{body}",
    )
    assert proven(strategy, headers={"x-vapi-signature": f"{algorithm}={text}"}) is None


def test_the_payload_format_is_filled_from_the_request() -> None:
    strategy = Hmac(
        (KEY,),
        payload_format="{method} {url}\n{svix-id}|{id}|{timestamp}|{body}|{other}",
        message_id_header="Webhook-Id",
    )
    payload = f"POST {URL}\nmsg_1|msg_1|{SECONDS}|".encode() + BODY + b"|{other}"
    headers = {"x-signature": signed(payload).hex(), "x-timestamp": SECONDS, "webhook-id": "msg_1"}
    assert proven(strategy, headers=headers) == "msg_1"


def test_a_message_id_that_is_not_signed_is_not_handed_on() -> None:
    strategy = Hmac((KEY,), message_id_header="webhook-id")
    headers = {
        "x-signature": signed(SECONDS.encode() + b"." + BODY).hex(),
        "x-timestamp": SECONDS,
        "webhook-id": "msg_1",
    }
    assert proven(strategy, headers=headers) is None


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
@pytest.mark.parametrize(
    ("drift", "accepted"),
    [
        (timedelta(0), True),
        (timedelta(minutes=-5), True),
        (timedelta(minutes=5), True),
        (timedelta(minutes=-5, seconds=-1), False),
        (timedelta(minutes=5, seconds=1), False),
    ],
)
def test_a_signed_timestamp_must_be_near(unit: int, drift: timedelta, *, accepted: bool) -> None:
    stamp = str(int((NOW + drift).timestamp()) * unit)
    headers = {"x-signature": signed(stamp.encode() + b"." + BODY).hex(), "x-timestamp": stamp}
    if accepted:
        assert proven(Hmac((KEY,)), headers=headers) is None
    else:
        with pytest.raises(Unauthenticated, match="too far from our clock"):
            proven(Hmac((KEY,)), headers=headers)


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1e9", "9" * 15, "9" * 400, "\uff11\uff17", "\ud800"])
def test_a_timestamp_that_is_none_proves_nothing(stamp: str) -> None:
    text = stamp.encode("utf-8", "surrogatepass")
    headers = {"x-signature": signed(text + b"." + BODY).hex(), "x-timestamp": stamp}
    with pytest.raises(Unauthenticated):
        proven(Hmac((KEY,)), headers=headers)


def test_a_timestamp_that_is_not_signed_is_not_asked_for() -> None:
    strategy = Hmac((KEY,), payload_format="{body}")
    assert proven(strategy, headers={"x-signature": signed(BODY).hex(), "x-timestamp": "1"}) is None


def test_any_one_of_several_strategies_is_enough() -> None:
    strategies = (Hmac((KEY,)), Bearer((b"token",)), SharedSecret((b"shared",)))
    assert proven(*strategies, headers={"x-vapi-secret": "shared"}) is None
    assert proven(*strategies, headers={"AUTHORIZATION": "bearer token"}) is None


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearer tok", "Bearer token!", "token", "Basic token", "Digest token", "Bearer é\ud800"],
)
def test_another_token_proves_nothing(value: str) -> None:
    with pytest.raises(Unauthenticated):
        proven(Bearer((b"token",)), headers={"authorization": value})


def test_a_token_that_is_not_ascii_is_compared_by_its_bytes() -> None:
    header = "schlüssel".encode().decode("latin-1")  # as a server hands over the bytes it received
    assert proven(SharedSecret(("schlüssel".encode(),)), headers={"x-vapi-secret": header}) is None


@pytest.mark.parametrize("value", ["é", "\ud800", "日本", "\x00", "a" * 100_000])
def test_strange_headers_never_crash(value: str) -> None:
    headers = dict.fromkeys(
        ["x-signature", "authorization", "x-vapi-secret", "x-timestamp", "webhook-id", value], value
    )
    strategy = Hmac((KEY,), payload_format="{id}{body}", message_id_header="webhook-id")
    with pytest.raises(Unauthenticated):
        proven(Hmac((KEY,)), strategy, Bearer((KEY,)), SharedSecret((KEY,)), headers=headers)


def test_without_a_strategy_nobody_is_proven() -> None:
    with pytest.raises(Unauthenticated, match="no way of proving"):
        proven(headers={"x-vapi-secret": ""})


def test_the_error_names_what_was_tried_and_no_secret() -> None:
    headers = {"x-signature": "GIVEN-SIGNATURE", "x-timestamp": SECONDS, "authorization": "Bearer GIVEN-TOKEN"}
    with pytest.raises(Unauthenticated) as caught:
        proven(Hmac((b"MY-KEY",)), Bearer((b"MY-TOKEN",)), SharedSecret((b"MY-SECRET",)), headers=headers)
    said = str(caught.value)
    assert re.search(r"HMAC in x-signature .*; bearer token in authorization .*; shared secret in x-vapi-secret", said)
    assert not re.search("GIVEN|MY-", said)


def test_a_strategy_shows_no_secret_of_its_own() -> None:
    assert "MY-KEY" not in repr((Hmac((b"MY-KEY",)), Bearer((b"MY-KEY",)), SharedSecret((b"MY-KEY",))))


@pytest.mark.parametrize("secrets", [(), (b"",), (b"good", b"")])
@pytest.mark.parametrize("strategy", [Hmac, Bearer, SharedSecret])
def test_an_empty_secret_is_refused_at_once(
    strategy: type[Hmac | Bearer | SharedSecret], secrets: tuple[bytes, ...]
) -> None:
    with pytest.raises(InvalidDefinition, match="secret"):
        strategy(secrets)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"algorithm": "md5"}, "algorithm"),
        ({"encoding": "base32"}, "encoding"),
        ({"payload_format": "{timestamp}"}, "body"),
        ({"timestamp_header": None}, "timestamp_header"),
        ({"payload_format": "{id}{body}"}, "message_id_header"),
    ],
)
def test_a_strategy_that_cannot_work_is_refused_at_once(settings: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidDefinition, match=named):
        Hmac((KEY,), **settings)  # type: ignore[arg-type]  # wrong on purpose


def test_every_secret_and_strategy_is_tried_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def recording(ours: bytes, theirs: bytes) -> bool:
        compared.append(ours)
        return ours == theirs

    monkeypatch.setattr(hmac, "compare_digest", recording)
    proven(
        SharedSecret((b"first", b"second")),
        Bearer((b"third",)),
        headers={"x-vapi-secret": "first", "authorization": "Bearer x"},
    )
    assert compared == [hashlib.sha256(secret).digest() for secret in (b"first", b"second", b"third")]
