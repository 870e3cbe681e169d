"""How a preflight looks: no secret in it, and moments that say whose clock they are read from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from campaigns.cli.outlook import moment, money, shown
from campaigns.vapi.requests import CreateCall


def test_a_sample_shows_everything_but_secrets() -> None:
    tool = {"type": "apiRequest", "url": "https://tools.example.com", "headers": {"x-key": "hush"}}
    server = {"url": "https://example.com", "secret": "hush", "credentialId": "credential-id"}
    assistant = {"model": {"tools": [tool], "maxTokens": 250}, "server": server, "credentials": [{"apiKey": "hush"}]}
    body = {"assistant": assistant, "customer": {"number": "+12125550101"}}
    found = shown(CreateCall(UUID(int=0), body))
    assert "hush" not in str(found)
    assert found["customer"] == body["customer"]
    assert found["assistant"]["server"] == {**server, "secret": "…"}
    assert found["assistant"]["model"] == {"tools": [{**tool, "headers": "…"}], "maxTokens": 250}
    assert "hush" in str(body)


def test_moments_name_their_clock_and_money_has_cents() -> None:
    at = datetime(2027, 3, 2, 15, 4, 59, tzinfo=UTC)
    assert moment(at, UTC) == "Tue 2027-03-02 15:04 UTC"
    assert moment(at, ZoneInfo("America/New_York"), year=2027) == "Tue 03-02 10:04 EST"
    assert moment(at, ZoneInfo("America/New_York"), year=2026) == "Tue 2027-03-02 10:04 EST"
    assert money(Decimal("1234.5")) == "1,234.50 USD"
