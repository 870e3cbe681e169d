"""Whether an account's webhooks would arrive: its own address is sent two messages that change nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import uuid4

import httpx

from campaigns.errors import InvalidDefinition, SetupError
from campaigns.rules.definition import AccountDefinition
from campaigns.settings import settings
from campaigns.vapi.checks import Check, Level
from campaigns.vapi.signature import signed
from campaigns.web.doors import strategies

PATIENCE_SECONDS: Final = 5.0  # a receiver answers in milliseconds; whoever looks at the screen waits for this
_BODY: Final = json.dumps({"message": {"type": "speech-update", "status": "stopped", "role": "assistant"}}).encode()
"""A message about no call, of a type that is counted and never stored."""
_WHAT: Final = "webhooks answer"


def knock(account: AccountDefinition, *, real: datetime) -> Check | None:
    """What the account's address says to a message without and to one with its proof; None where it has no address."""
    if account.public_url is None:
        return None
    try:
        proofs = strategies(account.webhook)
    except (SetupError, InvalidDefinition) as problem:
        return Check(_WHAT, Level.NOTE, f"not looked at: {problem}")
    url = f"{account.public_url}/webhooks/vapi/{account.name}"
    insecure = account.loopback and settings().insecure_webhooks
    try:
        with httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False, follow_redirects=False) as client:
            if not insecure:
                bare = _post(client, url, {})
                if bare != httpx.codes.UNAUTHORIZED:
                    return _strange(url, bare, "without a signature")
            for proof in proofs:
                headers = signed(proof, body=_BODY, method="POST", url=url, message_id=str(uuid4()), now=real)
                answered = _post(client, url, headers)
                if not httpx.codes.is_success(answered):
                    return _strange(url, answered, "with the account's signature")
    except httpx.HTTPError as problem:
        say = (
            f"{account.public_url} does not answer from here ({type(problem).__name__}): start `outbound up` and see "
            "that Vapi can reach it, or results come minutes later, by asking"
        )
        return Check(_WHAT, Level.WARNING, say)
    if insecure:
        return Check(_WHAT, Level.NOTE, "anybody may post results: OUTBOUND_INSECURE_WEBHOOKS is for rehearsals only")
    return Check(_WHAT, Level.OK, "a signed message is taken, one without a signature is refused")


def _post(client: httpx.Client, url: str, headers: Mapping[str, str]) -> int:
    answer = client.post(url, content=_BODY, headers={"Content-Type": "application/json", **headers})
    return answer.status_code


def _strange(url: str, status: int, how: str) -> Check:
    said = f"{url} answers {status} to a message {how}"
    if httpx.codes.is_success(status):
        return Check(_WHAT, Level.ERROR, f"{said}: anybody could post results; something else than us listens there")
    if status == httpx.codes.UNAUTHORIZED:
        say = f"{said}: the web process has another secret than is set here, and would refuse Vapi's or ours"
        return Check(_WHAT, Level.ERROR, say)
    if httpx.codes.is_server_error(status):
        say = f"{said}: it is not ready, or the proxy in front of it reaches nobody; results would come late, by asking"
        return Check(_WHAT, Level.WARNING, say)
    say = f"{said}: another program listens there, or a proxy does not pass /webhooks on to `outbound up`"
    return Check(_WHAT, Level.ERROR, say)
