"""`outbound campaign preflight`: what would not work is said before anybody is called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound
from tests.vapi.provider import Asked, Provider, answer

KEY = "key-of-the-tests"
RECORDS = {
    "/assistant/a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10": {"name": "Ada", "voicemailDetection": {"provider": "vapi"}},
    "/phone-number/number-1": {"provider": "twilio", "status": "active"},
    "/squad/team": {"name": "team", "members": [{"assistantId": "one"}]},
    "/assistant/one": {"model": {"toolIds": ["tool"]}, "voicemailDetection": {"provider": "vapi"}},
    "/tool/tool": {"type": "function", "function": {"name": "book_slot"}},
}


def reply(asked: Asked) -> bytes:
    if asked.headers["authorization"] != f"Bearer {KEY}":
        return answer(401, {"message": "Invalid Key."})
    record = RECORDS.get(asked.target)
    return answer(404) if record is None else answer(200, record)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(reply) as running:
        yield running


@pytest.fixture
def spring(outbound: Outbound, provider: Provider) -> Outbound:
    """A campaign that would work."""
    outbound.environment["VAPI_API_KEY"] = KEY
    outbound.write("a.toml", ACCOUNT.replace("http://127.0.0.1:9", provider.url))
    outbound.write("c.toml", CAMPAIGN)
    assert outbound("accounts", "apply", "a.toml").code == 0
    assert outbound("campaign", "apply", "c.toml").code == 0
    return outbound


def test_a_campaign_that_would_work_is_asked_about_and_nobody_is_called(spring: Outbound, provider: Provider) -> None:
    assert spring("campaign", "preflight", "spring", "--json").json() == {
        "campaign": "spring",
        "passed": True,
        "checks": [
            {
                "check": "webhooks",
                "level": "note",
                "say": "no public_url: the campaign runs by asking, and learns of each end minutes later",
            },
            {"check": "key", "level": "ok", "say": "VAPI_API_KEY is accepted"},
            {
                "check": "assistant a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10",
                "level": "ok",
                "say": "is there: Ada",
            },
            {"check": "phone number number-1", "level": "ok", "say": "is active, by twilio"},
        ],
    }
    assert {asked.method for asked in provider.asked} == {"GET"}
    shown = spring("campaign", "preflight", "spring")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0].rstrip() == "Preflight of spring: would work"


def test_a_squad_is_asked_about_down_to_its_tools(spring: Outbound, provider: Provider) -> None:
    pushed = 'public_url = "http://127.0.0.1:8080"\n[[webhook]]\ntype = "bearer"\nsecret_env = ["HOOK"]\n'
    spring.write("a.toml", ACCOUNT.replace("http://127.0.0.1:9", provider.url) + pushed)
    assert spring("accounts", "apply", "a.toml", HOOK="hush").code == 0
    spring.write("c.toml", CAMPAIGN.replace("assistant_id = ", "# ").replace("windows", 'squad_id = "team"\nwindows'))
    assert spring("campaign", "apply", "c.toml").code == 0
    found = spring("campaign", "preflight", "spring")
    assert (found.code, found.err) == (1, "")
    assert found.out.splitlines()[0].rstrip() == "Preflight of spring: would not work"
    for said in ("secret HOOK", "squad team", "tools of assistant one", "book_slot: give each function tool"):
        assert said in found.out
    assert [asked.target for asked in provider.asked] == [
        *("/squad/team", "/assistant/one", "/tool/tool", "/phone-number/number-1"),
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, ["secret VAPI_API_KEY", "is not set here"]),
        ("another-key", ["is refused: the provider answered 401: Invalid Key.; put a private key into VAPI_API_KEY"]),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_said(spring: Outbound, key: str | None, said: list[str]) -> None:
    found = spring("campaign", "preflight", "spring", VAPI_API_KEY=key)
    assert (found.code, found.err) == (1, "")
    assert all(part in found.out for part in said)


def test_a_provider_that_is_not_there_is_said(spring: Outbound) -> None:
    spring.write("a.toml", ACCOUNT)  # nobody listens at port 9
    spring("accounts", "apply", "a.toml")
    found = spring("campaign", "preflight", "spring", "--json")
    assert (found.code, found.err) == (1, "")
    assert "the provider does not answer: ConnectError: nothing can be learned from http://127.0.0.1:9 now" in found.out


def test_a_provider_that_is_down_has_not_accepted_the_key(spring: Outbound, provider: Provider) -> None:
    provider.reply = lambda _: answer(503)
    found = spring("campaign", "preflight", "spring", "--json")
    assert (found.code, found.err) == (1, "")
    assert "is accepted" not in found.out
    assert "nothing can be learned from" in found.out


def test_a_campaign_that_does_not_exist_is_said_in_one_line(spring: Outbound) -> None:
    said = spring("campaign", "preflight", "sprint").wrong()
    assert said == "campaign 'sprint' does not exist: `outbound campaign list` shows those that do"
