"""The web process's composition root: the HTTP edge with a wake that sends hints to the workers."""

from __future__ import annotations

import logging
import queue
import threading

from campaigns.web.app import create_app
from workers.app import database_url, hint
from workers.events import apply_event

WAITING_WAKES = 10_000  # more are dropped: the sweep finds their events

_wakes: queue.SimpleQueue[int] = queue.SimpleQueue()


def wake(event_id: int) -> None:
    """Hint that an event is stored, at once and whatever state Redis is in: a thread of its own sends it."""
    if _wakes.qsize() < WAITING_WAKES:
        _wakes.put(event_id)


def _send_wakes() -> None:
    while True:
        hint(apply_event, _wakes.get())


logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
threading.Thread(target=_send_wakes, name="wake", daemon=True).start()
app = create_app(database_url(), wake)
