"""Hints: whatever becomes of them, their sender goes on."""

from __future__ import annotations

import redis
from celery import Celery

from campaigns.embedded import Servers
from workers.app import hint


def test_a_hint_that_redis_refuses_raises_nothing(embedded: Servers) -> None:
    url = f"{embedded.redis_url.rpartition('/')[0]}/0"
    sender = Celery("hints", broker=url, set_as_current=False)

    @sender.task(name="refused")
    def refused(_number: int) -> None: ...

    with redis.Redis.from_url(url) as client:
        client.set("celery", "not a queue")  # so the server answers WRONGTYPE
        assert not hint(refused, 1)
        client.delete("celery")
        assert hint(refused, 1)
        client.delete("celery")
    sender.close()
