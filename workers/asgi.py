"""The web process's composition root: the HTTP edge with a wake that sends hints to the workers.

`python -m workers.asgi` serves it as `outbound up` does; `uvicorn workers.asgi:app` works too, without the time limit
for headers.
"""

from __future__ import annotations

import gc
import logging
import queue
import sys
import threading
import time

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from campaigns.errors import OutboundError
from campaigns.settings import settings
from campaigns.web.app import create_app
from campaigns.web.doors import require_checks
from campaigns.web.server import serve
from workers.app import database_url, hint, log
from workers.events import apply_events

GATHER_SECONDS = 0.01  # for each event of the hint before: a hint and its transaction cost more than an event in it
LONGEST_GATHER = 0.15  # seconds, where many come: then lines come free in lots, and are claimed in lots
MOST_IN_A_HINT = 50  # events; less than a second of work for one worker
WAITING_WAKES = 10_000  # more are dropped: the sweep finds their events

_wakes: queue.SimpleQueue[int] = queue.SimpleQueue()


def wake(event_id: int) -> None:
    """Hint that an event is stored, at once and whatever state Redis is in: a thread of its own sends it."""
    if _wakes.qsize() < WAITING_WAKES:
        _wakes.put(event_id)


def _send_wakes() -> None:
    waiting: list[int] = []
    while True:
        busy = len(waiting)
        waiting = [_wakes.get()]
        if _wakes.qsize() < MOST_IN_A_HINT:  # else there is a hint's worth already, and more behind it
            time.sleep(min(GATHER_SECONDS * busy, LONGEST_GATHER))
        while len(waiting) < MOST_IN_A_HINT and not _wakes.empty():
            waiting.append(_wakes.get())  # nobody else takes any
        hint(apply_events, *waiting)


def _compose() -> FastAPI:
    """The application, unless it could not tell who sends the webhooks that an account expects."""
    url = database_url()
    try:
        require_checks(url)
    except SQLAlchemyError as problem:
        # Each message is checked all the same, and answered 503 as long as it cannot be.
        log.warning("the accounts' checks were not looked at: %s", type(problem).__name__)
    threading.Thread(target=_send_wakes, name="wake", daemon=True).start()
    return create_app(url, wake)


logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
try:
    app = _compose()
except OutboundError as refusal:
    sys.exit(f"outbound: {refusal}")
gc.collect()
gc.freeze()  # what is loaded by now stays: no collection need look through it again

if __name__ == "__main__":
    serve(app, host=settings().host, port=settings().port)
