"""What arrives at /webhooks/vapi/ACCOUNT: proven, stored once, answered; anything else leaves no trace."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import select

from campaigns import db
from campaigns.embedded import Servers
from campaigns.models import Event
from campaigns.vapi.events import read_message, reply_to
from campaigns.web.webhook import LARGEST_BODY
from tests.processes import eventually
from tests.web.conftest import GUESSED, HMAC, RECORDINGS, SECRETS, Web, apply, message, signed

Report = tuple[str, bytes]


def test_a_signed_report_is_stored_once_however_often_it_comes(web: Web, report: Report) -> None:
    provider_id, body = report
    answers = [web.post(body, signed(body)) for _ in range(3)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {})] * 3
    assert [kind for kind, _ in web.stored(provider_id)] == ["end-of-call-report"]


def test_deliveries_at_the_same_moment_are_stored_once(web: Web, report: Report) -> None:
    provider_id, body = report
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: web.post(body, signed(body)).status_code, range(24)))
    assert answers == [200] * 24
    assert len(web.stored(provider_id)) == 1


def test_what_is_stored_wakes_the_workers_once_and_by_its_id_alone(web: Web, report: Report, embedded: Servers) -> None:
    provider_id, body = report
    with redis.Redis.from_url(embedded.redis_url) as client:
        client.delete("events")  # of other tests' databases, whose numbers are the same
    for _ in range(2):
        assert web.post(body, signed(body)).status_code == 200
    later = message("status-ringing", provider_id=str(uuid.uuid4()))
    with db.transaction(web.database) as session:
        (event_id,) = session.scalars(select(Event.id).where(Event.provider_id == provider_id))
    with redis.Redis.from_url(embedded.redis_url) as client:
        # Hints keep their order: once a later one is there, all of this one's are.
        assert web.post(later, signed(later)).status_code == 200
        eventually(lambda: max(woken(client), default=0) > event_id, lambda: str(client.lrange("events", 0, -1)))
        hints = client.lrange("events", 0, -1)
        assert woken(client).count(event_id) == 1
    assert not any(provider_id.encode() in base64.b64decode(json.loads(hint)["body"]) for hint in hints)
    assert not any(provider_id.encode() in hint for hint in hints)


def woken(client: redis.Redis) -> list[int]:
    """The events that the hints in the queue name."""
    found = []
    for hint in client.lrange("events", 0, -1):
        arguments, keywords, _ = json.loads(base64.b64decode(json.loads(hint)["body"]))
        assert keywords == {}
        assert all(isinstance(argument, int) for argument in arguments)
        found += arguments
    return found


NOT_PROVEN = {
    "no signature": lambda _: {},
    "an empty signature": lambda body: {**signed(body), "x-signature": ""},
    "a signature cut short": lambda body: {**signed(body), "x-signature": signed(body)["x-signature"][:-1]},
    "another secret's": lambda body: signed(body, secret=GUESSED),
    "another body's": lambda body: signed(body + b" "),
    "no timestamp": lambda body: {"x-signature": signed(body)["x-signature"]},
    "another timestamp": lambda body: {**signed(body), "x-timestamp": "1"},
    "an old timestamp": lambda body: signed(body, at=datetime.now(UTC) - timedelta(minutes=10)),
    "a timestamp to come": lambda body: signed(body, at=datetime.now(UTC) + timedelta(minutes=10)),
    "no characters at all": lambda body: {**signed(body), "x-signature": b"\xff\xfe".decode("latin-1")},
    "another account's": lambda body: signed(body, secret=SECRETS["HOOK_OTHER"]),
}


@pytest.mark.parametrize("how", NOT_PROVEN)
def test_what_is_not_proven_is_refused_and_not_stored(web: Web, report: Report, how: str) -> None:
    _, body = report
    before = web.count()
    headers = {name: value.encode("latin-1") for name, value in NOT_PROVEN[how](body).items()}
    answer = web.client.post(f"{web.address}/webhooks/vapi/main", content=body, headers=headers)
    assert answer.status_code == 401
    assert not any(secret in answer.text for secret in SECRETS.values())
    assert web.count() == before


@pytest.mark.parametrize(
    ("account", "status"),
    [
        ("other", 401),
        ("unproven", 401),
        ("nobody", 404),
        ("MAIN", 404),
        ("unset", 503),
        ("odd", 503),
        ("a%00b", 404),
        ("a%0Ab", 404),
    ],
)
def test_another_account_is_another_door(web: Web, report: Report, account: str, status: int) -> None:
    _, body = report
    before = web.count()
    assert web.post(body, signed(body), account=account).status_code == status
    assert web.count() == before


def test_the_same_call_at_two_accounts_is_two_events(web: Web, report: Report) -> None:
    provider_id, body = report
    assert web.post(body, signed(body)).status_code == 200
    assert web.post(body, signed(body, secret=SECRETS["HOOK_OTHER"]), account="other").status_code == 200
    assert len(web.stored(provider_id)) == 2


def test_both_secrets_of_a_rotation_are_accepted(web: Web) -> None:
    for secret in ("HOOK_OLD", "HOOK_NEW"):
        body = message("status-ringing", provider_id=str(uuid.uuid4()))
        assert web.post(body, signed(body, secret=SECRETS[secret])).status_code == 200


def test_a_secret_that_is_not_there_yet_does_not_shut_out_the_other_and_is_believed_once_it_is(web: Web) -> None:
    apply(web.database, [{"name": "rotated", "webhook": [{"type": "hmac", "secret_env": ["HOOK_OLD", "HOOK_ADDED"]}]}])

    def status(secret: str) -> int:
        body = message("status-ringing", provider_id=str(uuid.uuid4()))
        return web.post(body, signed(body, secret=secret), account="rotated").status_code

    assert status(SECRETS["HOOK_OLD"]) == 200
    assert status("added") == 401
    assert "HOOK_ADDED is not set" in web.log.read_text(encoding="utf-8")
    (web.log.parent / ".env").write_text("HOOK_ADDED=added\n", encoding="utf-8")
    eventually(lambda: status("added") == 200, "the new secret is believed", seconds=10)
    assert status(SECRETS["HOOK_OLD"]) == 200


def test_a_secret_in_base64_is_decoded_before_it_signs(web: Web) -> None:
    body = message("status-ringing", provider_id=str(uuid.uuid4()))
    assert web.post(body, signed(body, secret=SECRETS["HOOK_ENCODED"]), account="encoded").status_code == 401
    assert web.post(body, signed(body, secret="secret in base64"), account="encoded").status_code == 200  # noqa: S106


def test_behind_a_proxy_the_signed_address_is_the_public_one(web: Web, report: Report) -> None:
    provider_id, body = report
    address = b"https://calls.example.com/base/webhooks/vapi/proxied"
    digest = hmac.new(SECRETS["HOOK_OLD"].encode(), address + b"." + body, hashlib.sha256).hexdigest()
    assert web.post(body, {"x-signature": digest}, account="proxied").status_code == 200
    assert len(web.stored(provider_id)) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b"nan", b'{"a":' * 65 + b"1" + b"}" * 65],
)
def test_a_proven_body_that_is_no_object_is_a_bad_request(web: Web, body: bytes) -> None:
    before = web.count()
    assert web.post(body, signed(body)).status_code == 400
    assert web.count() == before


def test_odd_parts_do_not_cost_the_report(web: Web, report: Report) -> None:
    provider_id, body = report
    odd = body.replace(
        b'"type": "end-of-call-report"', b'"type": "end-of-call-report", "x": "a\\u0000b\\ud800", "n": 1e999', 1
    )
    assert odd != body
    assert web.post(odd, signed(odd)).status_code == 200
    assert len(web.stored(provider_id)) == 1


def test_a_body_over_the_limit_is_refused_and_the_next_one_is_not(web: Web, report: Report) -> None:
    provider_id, body = report
    large = body + b" " * (LARGEST_BODY + 1 - len(body))
    assert web.post(large, signed(large)).status_code == 413
    assert web.stored(provider_id) == []
    assert web.post(body, signed(body)).status_code == 200


def test_the_largest_allowed_body_is_stored(web: Web, report: Report) -> None:
    provider_id, body = report
    whole = body + b" " * (LARGEST_BODY - len(body))
    assert web.post(whole, signed(whole)).status_code == 200
    assert len(web.stored(provider_id)) == 1


def test_a_body_that_ends_early_is_nothing(web: Web, report: Report) -> None:
    provider_id, body = report
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    host, port = web.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        start = f"POST /webhooks/vapi/main HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        connection.sendall(start.encode() + body[: len(body) // 2])
    assert web.post(body, signed(body)).status_code == 200
    assert len(web.stored(provider_id)) == 1
    assert "Traceback" not in web.log.read_text()


@pytest.mark.parametrize(
    "kind", ["status-queued", "status-ended", "report-busy", "hang", "call-deleted", "legacy-report-top-level-fields"]
)
def test_what_tells_of_a_call_is_stored(web: Web, kind: str) -> None:
    provider_id = str(uuid.uuid4())
    body = message(kind, provider_id=provider_id)
    answer = web.post(body, signed(body))
    assert (answer.status_code, answer.json()) == (200, {})
    assert len(web.stored(provider_id)) == 1


ASKED = ["assistant-request", "tool-calls", "legacy-function-call", "campaign-predial"]


@pytest.mark.parametrize("kind", [*ASKED, "transcript-user-final", "speech-update"])
def test_what_asks_or_chats_is_answered_and_not_stored(web: Web, kind: str) -> None:
    body = (RECORDINGS / f"{kind}.json").read_bytes()
    before = web.count()
    answer = web.post(body, signed(body))
    assert answer.status_code == 200
    assert answer.json() == reply_to(read_message(body))
    assert bool(answer.json()) == (kind in ASKED)
    assert web.count() == before


def test_a_type_that_nobody_knows_yet_is_no_error_and_is_kept(web: Web) -> None:
    provider_id = str(uuid.uuid4())
    body = json.dumps({"message": {"type": "telepathy", "call": {"id": provider_id}}}).encode()
    answer = web.post(body, signed(body))
    assert (answer.status_code, answer.json()) == (200, {})
    assert [kind for kind, _ in web.stored(provider_id)] == ["telepathy"]


def test_an_account_applied_a_moment_ago_is_known_at_once(web: Web, report: Report) -> None:
    provider_id, body = report
    assert web.post(body, signed(body), account="brand-new").status_code == 404
    apply(web.database, [{"name": "brand-new", "webhook": [HMAC]}])
    assert web.post(body, signed(body), account="brand-new").status_code == 200
    assert len(web.stored(provider_id)) == 1


ABOUT_A_CALL = sorted(path.stem for path in RECORDINGS.glob("*.json") if b'"message": {\n  "type"' in path.read_bytes())


@pytest.mark.parametrize("name", sorted({*ABOUT_A_CALL} - {"assistant-request", "campaign-predial"}))
def test_no_key_and_no_prompt_of_any_message_is_stored(web: Web, name: str) -> None:
    provider_id = str(uuid.uuid4())
    body = message(name, provider_id=provider_id)
    secrets = set(re.findall(rb"\b[A-Z]{3,}(?:-[A-Z]+)+\b", body))
    assert web.post(body, signed(body)).status_code == 200
    for _, stored in web.stored(provider_id):
        kept = json.dumps(stored).encode()
        assert [secret for secret in secrets if secret in kept] == []


def test_a_credential_anywhere_in_a_report_is_not_stored(web: Web, report: Report) -> None:
    provider_id, body = report
    whole = json.loads(body)
    call = whole["message"]["call"]
    call["phoneNumber"] = {"id": "n", "twilioAuthToken": "LEAK-1", "twilioAccountSid": "AC1"}
    call["assistant"] = {"id": "a", "server": {"url": "https://x/?key=LEAK-2", "secret": "LEAK-3"}}
    call["monitor"] = {"controlUrl": "https://LEAK-4/", "listenUrl": "wss://LEAK-5/"}
    call["transport"] = {"credentials": [{"apiKey": "LEAK-6"}], "headers": {"Authorization": "Bearer LEAK-7"}}
    whole["message"]["artifact"]["presignedMonoUrl"] = "https://s3/x?X-Amz-Signature=LEAK-8"
    changed = json.dumps(whole).encode()
    assert web.post(changed, signed(changed)).status_code == 200
    ((_, stored),) = web.stored(provider_id)
    assert "LEAK" not in json.dumps(stored)
    assert stored["message"]["artifact"]["transcript"]  # what was said is what the outcome is made of


def test_only_the_receiver_and_the_health_checks_are_there(web: Web) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/", "/webhooks/vapi", "/webhooks/vapi/main/x"):
        assert web.client.get(web.address + path).status_code == 404
    assert web.client.get(f"{web.address}/webhooks/vapi/main").status_code == 405
    assert web.client.get(f"{web.address}/healthz").json() == {"status": "ok"}
    assert web.client.get(f"{web.address}/readyz").json() == {"status": "ready"}
