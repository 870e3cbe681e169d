"""The Celery application. Tasks carry ids and are hints: any of them may be lost, repeated or late."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from celery import Celery, Task
from celery.signals import setup_logging, task_success, worker_process_init
from kombu.entity import Queue
from sqlalchemy.orm import Session

from campaigns import clock, db
from campaigns.errors import SetupError
from campaigns.pipeline import breaking, warning
from campaigns.pipeline.warning import PERIODIC
from campaigns.rules.definition import AccountDefinition
from campaigns.settings import secret, settings
from campaigns.vapi.client import Client
from workers.timetable import timetable

Id = TypeVar("Id", UUID, int)

log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0  # of ticks that come each second or two, as many are noted as are worth a write
QUEUES = ("dispatch", "calls", "events", "upkeep", "bulk")

app = Celery("outbound", broker=settings().redis_url, include=[f"workers.{queue}" for queue in QUEUES])
app.conf.update(
    # A task is a hint about a row; what it did is in the database, so there is nothing to keep.
    task_ignore_result=True,
    result_backend=None,
    # Hints are acknowledged when they are taken: one that is lost with its worker is found again by its row's deadline,
    # one that is redelivered would only be late.
    task_acks_late=False,
    task_queues=[Queue(name) for name in QUEUES],
    task_default_queue="upkeep",
    task_routes={f"{name}.*": {"queue": name} for name in QUEUES},
    # One hint at a time: a worker that sleeps until its send slot must not sit on hints that another could serve.
    worker_prefetch_multiplier=1,
    # Nothing but the sending waits longer than seconds; a task that hangs is cut off and its row's deadline takes over.
    task_time_limit=120,
    # Flower shows what runs; events carry ids only.
    worker_send_task_events=True,
    task_send_sent_event=False,  # Flower shows received, started and done; telling it of each hint cost a fifth of it
    # Redis may be away for a while: workers come back by themselves, and publishing gives up at once.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_publish_retry=False,
    broker_transport_options={
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "retry_on_timeout": False,
        # Hints are acknowledged when they are taken: to keep in Redis which are not is half of what it is told, and a
        # worker that gives them back to a Redis that has just come back dies of it.
        "ack_emulation": False,
        # Without these a hint is tried for 6 s, and a tick that has many would wait for each of them.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
    },
    worker_cancel_long_running_tasks_on_connection_loss=False,  # a call that is being placed must record its answer
    # Beat's own file would be one more thing to lose; every tick is safe to run twice or to miss.
    beat_scheduler="celery.beat:Scheduler",
    beat_schedule=timetable(),
    beat_max_loop_interval=1,  # the shortest interval of the timetable
    enable_utc=True,
    timezone="UTC",
    worker_hijack_root_logger=False,
)


@setup_logging.connect
def _log_plainly(**_: Any) -> None:
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("celery.app.trace").setLevel("WARNING")  # a line for each hint would drown what matters
    logging.getLogger("celery.worker.strategy").setLevel("WARNING")
    logging.getLogger("celery.beat").setLevel("WARNING")  # as would a line for each tick, each second
    logging.getLogger("httpx").setLevel("WARNING")  # it logs every address it asks, call ids included


@worker_process_init.connect
def _begin_afresh(**_: Any) -> None:
    """A forked child must not share its parent's sockets."""
    db.forget()
    _client.cache_clear()


HINT_EXPIRES_SECONDS = 900  # by the clocks of two machines, of which one may be minutes wrong

_beat_at: dict[str, float] = {}  # by task, of this process, on the monotonic clock


@task_success.connect
def _note_that_it_runs(sender: Task, result: Any, **_: Any) -> None:
    """A sign of life of a periodic task that got through, every ten seconds; False says that all of it failed."""
    task = sender.name
    if task not in PERIODIC or result is False or time.monotonic() - _beat_at.get(task, -math.inf) < BEAT_SECONDS:
        return
    with one_line(f"noting that {task} gets through"), transaction() as session:
        warning.beat(session, task, real=clock.read(session).real)
        _beat_at[task] = time.monotonic()


def database_url() -> str:
    """Where the rows are. Raises `SetupError` where nobody said."""
    url = settings().database_url
    if url is None:
        raise SetupError("DATABASE_URL is not set: a worker needs it; `outbound up` sets it for the workers it starts")
    return url


def transaction() -> AbstractContextManager[Session]:
    """A session that commits at the end of the block."""
    return db.transaction(database_url())


def client(account: AccountDefinition) -> Client:
    """This process's connection for the account, with the key as it is now: `.env` may say another than before.

    Raises `SetupError` where its key is missing from the environment.
    """
    return _client(account.base_url, secret(account.key_env), account.control_hosts)


@lru_cache(maxsize=64)
def _client(base_url: str, key: str, control_hosts: tuple[str, ...]) -> Client:
    return Client(base_url, key, control_hosts=control_hosts)


def hint(task: Task, *ids: str | int) -> bool:
    """Say that there is something to do; False where Redis is away. Never raises: a tick finds what no hint said."""
    try:
        task.apply_async(args=ids, expires=HINT_EXPIRES_SECONDS)
    except Exception as problem:  # noqa: BLE001 - Redis may also answer with an error of its own; a hint is never worth one
        log.warning("redis took no hint, a tick will find it: %s", type(problem).__name__)
        return False
    return True


def pause_if_at_fault(session: Session, campaign_id: UUID, *, now: datetime) -> bool:
    """Let the campaign pause itself if its calls fail by nobody's fault, and log it; True where it did."""
    paused = breaking.pause_if_at_fault(session, campaign_id, now=now)
    if paused:
        log.error("campaign %s paused itself: `outbound status` says why", campaign_id)
    return paused


def watch(campaign_id: UUID) -> None:
    """`pause_if_at_fault`, in a transaction of its own."""
    with transaction() as session:
        pause_if_at_fault(session, campaign_id, now=clock.read(session).now)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Log a failure of the block as one line and go on: the rows it was about keep their deadlines."""
    try:
        yield
    except Exception as problem:  # noqa: BLE001 - the net behind every task: nothing may be lost, everything is logged
        log.error("%s failed: %s: %s", what, type(problem).__name__, str(problem).splitlines()[:1])  # noqa: TRY400


def for_each(what: str, ids: Sequence[Id], act: Callable[[Id], object]) -> bool:
    """Do it for one after another; a failure is logged and keeps none of the others. False where it failed for all."""
    done = 0
    for one in ids:
        with one_line(f"{what} {one}"):
            act(one)
            done += 1
    return done > 0 or not ids
