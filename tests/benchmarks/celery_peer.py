"""Two bare tasks on the product's own Celery application: what Celery, the database and the stand-in cost at least.

`peer.call` makes the POST that a call of ours makes and two one-row commits around it, and no more: no claim, no pace,
no check, no webhook. `peer.noop` does nothing.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from celery.signals import worker_process_init

from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.vapi.requests import create_call
from tests.benchmarks.running import connect
from tests.factories import ACCOUNT, CAMPAIGN
from workers.app import app, database_url

TABLE = "CREATE TABLE IF NOT EXISTS peer_calls (id uuid PRIMARY KEY, number text NOT NULL, provider_id text)"
_ACCOUNT = AccountDefinition.model_validate(ACCOUNT)
_CAMPAIGN = CampaignDefinition.model_validate(CAMPAIGN)


@app.task(name="peer.call")
def call(number: str) -> None:
    """One row, one POST, its answer. Run twice, it calls twice."""
    call_id = uuid4()
    _database().execute("INSERT INTO peer_calls (id, number) VALUES (%s, %s)", [call_id, number])
    request = create_call(
        call_id,
        campaign=_CAMPAIGN,
        account=_ACCOUNT,
        phone_number_id="number-1",
        number=number,
        extension="",
        name="Dana Whitfield",
        variables={"first_name": "Dana", "plan": "Gold Care"},
        webhook_url=None,
    )
    answer = _provider().post("/call", content=request.content(), headers={"content-type": "application/json"})
    answer.raise_for_status()
    _database().execute("UPDATE peer_calls SET provider_id = %s WHERE id = %s", [answer.json()["id"], call_id])


@app.task(name="peer.noop")
def noop(number: str) -> None:
    """Nothing. Run twice, nothing."""


@worker_process_init.connect
def _begin_afresh(**_: Any) -> None:
    _database.cache_clear()
    _provider.cache_clear()


@lru_cache(maxsize=1)
def _database() -> psycopg.Connection[Any]:
    return connect(database_url())


@lru_cache(maxsize=1)
def _provider() -> httpx.Client:
    key = {"authorization": f"Bearer {os.environ['PEER_KEY']}"}
    return httpx.Client(base_url=os.environ["PEER_URL"], headers=key, timeout=30, trust_env=False)
