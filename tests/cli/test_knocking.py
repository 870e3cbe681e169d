"""Whether webhooks would arrive: two messages that change nothing, to the account's own address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from campaigns.cli.knocking import knock
from campaigns.errors import Unauthenticated
from campaigns.pipeline.ingesting import informs
from campaigns.rules.definition import AccountDefinition
from campaigns.vapi.checks import Check, Level
from campaigns.vapi.events import read_message
from campaigns.vapi.signature import verify
from campaigns.web.doors import strategies
from tests.factories import ACCOUNT
from tests.vapi.provider import Asked, Provider, answer

NOW = datetime(2027, 3, 2, 15, tzinfo=UTC)
HMAC = {"type": "hmac", "secret_env": ["HOOK"]}
WAYS: list[dict[str, Any]] = [
    HMAC,
    HMAC | {"encoding": "base64", "algorithm": "sha512", "prefix": "v1,", "payload_format": "{method}{url}.{body}"},
    HMAC | {"payload_format": "{id}.{timestamp}.{body}", "message_id_header": "svix-id"},
    {"type": "bearer", "secret_env": ["HOOK"]},
    {"type": "secret", "secret_env": ["HOOK"]},
]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "hush")


def knocked(reply: Callable[[Asked, AccountDefinition], bytes | None], way: dict[str, Any] = HMAC) -> Check:
    """What is said of an address that answers so."""
    with Provider(lambda asked: reply(asked, account)) as listener:
        account = AccountDefinition.model_validate(ACCOUNT | {"public_url": listener.url, "webhook": [way]})
        found = knock(account, real=NOW)
    assert found is not None
    return found


def receiver(asked: Asked, account: AccountDefinition) -> bytes:
    """Refuses whoever proves nothing, as the real one does; would keep nothing of it."""
    assert not informs(read_message(asked.body))
    url = f"{account.public_url}/webhooks/vapi/main"
    assert (asked.method, asked.target) == ("POST", "/webhooks/vapi/main")
    try:
        verify(strategies(account.webhook), headers=asked.headers, body=asked.body, method="POST", url=url, now=NOW)
    except Unauthenticated:
        return answer(401)
    return answer(200, {})


@pytest.mark.parametrize("way", WAYS)
def test_a_receiver_that_takes_what_is_signed_and_refuses_what_is_not_is_well(way: dict[str, Any]) -> None:
    assert knocked(receiver, way) == Check(
        "webhooks answer", Level.OK, "a signed message is taken, one without a signature is refused"
    )


@pytest.mark.parametrize(
    ("status", "level", "say"),
    [
        (200, Level.ERROR, "anybody could post results"),
        (401, Level.ERROR, "the web process has another secret"),
        (404, Level.ERROR, "another program listens there"),
        (301, Level.ERROR, "another program listens there"),
        (502, Level.WARNING, "the proxy in front of it reaches nobody"),
    ],
)
def test_whatever_else_it_answers_is_said(status: int, level: Level, say: str) -> None:
    found = knocked(lambda *_: answer(status))
    assert found.level is level
    assert say in found.say


def test_an_address_that_cannot_be_reached_from_here_is_a_warning() -> None:
    found = knocked(lambda *_: None)
    assert found.level is Level.WARNING
    assert "does not answer from here" in found.say


def test_an_account_without_an_address_is_not_looked_for() -> None:
    assert knock(AccountDefinition.model_validate(ACCOUNT), real=NOW) is None


def test_without_its_secret_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK")

    def nobody(asked: Asked, account: AccountDefinition) -> bytes:
        raise AssertionError(asked)

    found = knocked(nobody)
    assert found.level is Level.NOTE
    assert "hush" not in found.say
