"""Hints: whatever becomes of them, their sender goes on."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import redis
from celery import Celery

from campaigns.embedded import Servers
from workers.app import app, hint


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


def test_a_hint_is_tried_at_most_twice() -> None:
    """Waiting between more tries, a tick with many hints would be kept by each of them while Redis is away."""
    tried = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    tried.append(listener.accept()[0].close())

        refusing = threading.Thread(target=refuse)
        refusing.start()
        options = dict(app.conf.broker_transport_options)
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        sender = Celery("hints", broker=url, set_as_current=False)
        sender.conf.update(broker_transport_options=options, task_publish_retry=False)

        @sender.task(name="refused")
        def refused(_number: int) -> None: ...

        assert not hint(refused, 1)
        listener.shutdown(socket.SHUT_RDWR)
        refusing.join()
        sender.close()
    assert 1 <= len(tried) <= 2
