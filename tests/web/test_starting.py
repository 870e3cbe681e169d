"""A web process that could not tell who sends a webhook does not start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from campaigns.cli.up import WEB
from campaigns.embedded import Servers
from tests.web.conftest import HMAC, SECRETS, apply, message, running, signed

LOCAL = {"base_url": "http://127.0.0.1:9", "public_url": "http://127.0.0.1:8080"}
INSECURE = {"OUTBOUND_INSECURE_WEBHOOKS": "true"}
UNSET = {"type": "hmac", "secret_env": ["HOOK_NEVER_SET"]}
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no check": (LOCAL, "it has a public_url and no [[webhook]] check"),
    "no secret": ({"webhook": [HMAC, UNSET]}, "the environment variable HOOK_NEVER_SET is not set"),
    "no secret, at Vapi's": ({"public_url": "https://x.example.com", "webhook": [UNSET]}, "HOOK_NEVER_SET is not set"),
    "not base64": ({"webhook": [{**HMAC, "secret_is_base64": True}]}, "HOOK_OLD is not base64"),
    "an impossible check": ({"webhook": [{**HMAC, "payload_format": "x"}]}, "does not hold {body}"),
}


def start(database: str, redis: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The web process, which must end by itself."""
    return subprocess.run(
        WEB,
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "OUTBOUND_PORT": "0",
            **SECRETS,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("how", BROKEN)
def test_it_refuses_to_start_and_says_why_in_one_line(
    embedded: Servers, database: str, tmp_path: Path, how: str
) -> None:
    account, why = BROKEN[how]
    apply(database, [{"name": "fine", "webhook": [HMAC]}, {"name": "broken", **account}])
    insecure = INSECURE if account.get("base_url") is None else {}  # a real provider's webhooks are always checked
    done = start(database, embedded.redis_url, tmp_path, **insecure)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("outbound: nobody could tell who sends account broken's webhooks: ")
    assert why in done.stderr


def test_outbound_up_says_the_same_before_it_starts_anything(embedded: Servers, database: str, tmp_path: Path) -> None:
    apply(database, [{"name": "broken", "webhook": [UNSET]}])
    command = [*WEB[:2], "campaigns.cli.outbound", "up"]
    environment = {"DATABASE_URL": database, "REDIS_URL": embedded.redis_url, "VAPI_API_KEY": "a-key"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the environment variable HOOK_NEVER_SET is not set" in done.stderr


def test_a_rehearsal_may_be_told_to_be_insecure(embedded: Servers, database: str, tmp_path: Path) -> None:
    apply(
        database,
        [
            {"name": "open", **LOCAL},
            {"name": "unset", **LOCAL, "webhook": [UNSET]},
            {"name": "checked", **LOCAL, "webhook": [HMAC]},
            {"name": "real"},
        ],
    )
    body = message("status-ringing", provider_id="rehearsed")
    with running(database, embedded.redis_url, tmp_path, **INSECURE) as web:
        answers = {name: web.post(body, {}, account=name).status_code for name in ("open", "unset", "checked", "real")}
        assert answers == {"open": 200, "unset": 200, "checked": 401, "real": 401}


def test_an_account_that_runs_by_asking_needs_no_secret_and_refuses_every_post(
    embedded: Servers, database: str, tmp_path: Path
) -> None:
    apply(database, [{"name": "asking"}])
    body = message("status-ringing", provider_id="unasked")
    with running(database, embedded.redis_url, tmp_path) as web:
        answer = web.post(body, signed(body), account="asking")
        assert isinstance(answer, httpx.Response)
        assert answer.status_code == 401
        assert web.count() == 0
