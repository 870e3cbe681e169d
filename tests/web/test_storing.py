"""Messages share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from sqlalchemy import QueuePool, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.models import Account, Event
from campaigns.pipeline import ingesting
from campaigns.vapi.events import Message, read_message
from campaigns.web.storing import LARGEST_BATCH, Store
from tests.processes import eventually
from tests.web.conftest import HMAC, Web, apply, message, signed


def hang(provider_id: str) -> Message:
    return read_message(message("hang", provider_id=provider_id))


def keep(database: str, messages: Sequence[Message]) -> tuple[list[Any], list[int]]:
    """What each `keep` said, all of them at once, and the events that were woken for."""
    woken: list[int] = []

    async def together() -> list[Any]:
        store = Store(database, woken.append)
        return await asyncio.gather(*(store.keep(account, each) for each in messages), return_exceptions=True)

    with db.transaction(database) as session:
        account = session.scalars(select(Account.id)).one()
    return asyncio.run(together()), woken


def rows(database: str) -> list[tuple[int, str | None, str]]:
    with db.transaction(database) as session:
        found = session.execute(select(Event.id, Event.provider_id, text("xmin::text")).order_by(Event.id))
        return [(row[0], row[1], row[2]) for row in found]


@pytest.fixture
def ready(database: str) -> str:
    apply(database, [{"name": "main", "webhook": [HMAC]}])
    return database


def test_messages_at_the_same_moment_share_transactions_and_each_is_woken_for(ready: str) -> None:
    said, woken = keep(ready, [hang(str(uuid.uuid4())) for _ in range(LARGEST_BATCH + 5)])
    assert said == [None] * (LARGEST_BATCH + 5)
    assert len({transaction for _, _, transaction in rows(ready)}) == 2
    assert sorted(woken) == [event_id for event_id, _, _ in rows(ready)]


def test_a_message_that_cannot_be_stored_does_not_cost_the_others(ready: str) -> None:
    with db.transaction(ready) as session:
        session.execute(text("ALTER TABLE events ADD CONSTRAINT never CHECK (provider_id <> '13')"))
    said, woken = keep(ready, [hang(str(number)) for number in range(20)])
    assert [number for number, each in enumerate(said) if each is not None] == [13]
    assert isinstance(said[13], IntegrityError)
    assert {provider_id for _, provider_id, _ in rows(ready)} == {str(number) for number in range(20)} - {"13"}
    assert len(woken) == 19


def test_a_message_that_is_more_than_the_database_takes_does_not_cost_the_others(ready: str) -> None:
    with db.transaction(ready) as session:
        session.execute(text("CREATE INDEX too_small ON events ((body::text))"))
    large = hang("13")
    words = "".join(str(uuid.uuid4()) for _ in range(200))  # more than an entry of an index holds, however packed
    large = dataclasses.replace(large, body={**large.body, "words": words})
    said, _ = keep(ready, [large if number == 13 else hang(str(number)) for number in range(20)])
    assert [number for number, each in enumerate(said) if each is not None] == [13]
    assert len(rows(ready)) == 19


def test_where_no_connection_is_free_that_is_waited_for_once_and_not_for_each_message(
    ready: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction(ready) as session:
        account = session.scalars(select(Account.id)).one()
    pool = db.engine(ready).pool
    assert isinstance(pool, QueuePool)
    monkeypatch.setattr(pool, "_timeout", 0.01)
    waits: list[str] = []
    begin = db.transaction

    def waited(url: str) -> AbstractContextManager[Session]:
        waits.append(url)
        return begin(url)

    monkeypatch.setattr(db, "transaction", waited)

    async def together() -> list[Any]:
        store = Store(ready, lambda _: None)
        return await asyncio.gather(*(store.keep(account, hang(str(n))) for n in range(20)), return_exceptions=True)

    with ExitStack() as busy:
        for _ in range(pool.size() + 5):
            busy.enter_context(db.engine(ready).connect())
        said = asyncio.run(together())
    assert {type(each) for each in said} == {NoConnection}
    assert len(waits) == 1
    assert keep(ready, [hang("1")])[0] == [None]


def test_repeats_in_one_batch_and_later_are_one_event_and_one_wake(ready: str) -> None:
    said, woken = keep(ready, [hang("1"), hang("1"), hang("2")])
    assert said == [None] * 3
    assert len(woken) == len(rows(ready)) == 2
    assert keep(ready, [hang("1")]) == ([None], [])


def test_numbers_of_any_size_are_stored(ready: str) -> None:
    body = b'{"message": {"type": "hang", "call": {"id": "1"}, "a": 1' + b"0" * 250 + b', "b": NaN, "c": 1e999}}'
    assert keep(ready, [read_message(body)])[0] == [None]


def test_what_comes_is_counted_by_type_and_by_what_became_of_it(web: Web) -> None:
    kinds = ("status-ringing", "speech-update", "speech-update", "legacy-function-call")
    before = counted(web)
    for kind in kinds:
        body = message(kind, provider_id=str(uuid.uuid4()))
        assert web.post(body, signed(body)).status_code == 200
    assert web.post(b"{}", {}).status_code == 401
    assert web.post(b"{}", {}, account="nobody").status_code == 404

    def difference() -> dict[tuple[str, str], int]:
        now = counted(web)
        return {key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)}

    expected = {
        ("status-update", "stored"): 1,
        ("speech-update", "counted"): 2,
        ("function-call", "counted"): 1,
        ("", "refused"): 1,
    }
    eventually(lambda: difference() == expected, lambda: str(difference()), seconds=20)


def counted(web: Web) -> dict[tuple[str, str], int]:
    with db.transaction(web.database) as session:
        found = ingesting.counted(session, since=clock.read(session).now.date())
    return {(row["type"], row["became"]): row["count"] for row in found if row["account"] == "main"}
