"""Runs a module of the product with something broken in it: `CHAOS='{…}' python sabotaged.py celery …`.

The product knows nothing of this file. `CHAOS` says what is done, as JSON:

    witness   a file that gets a line for each process that ended or stopped itself, just before it does
    seed      of the dice
    points    [{"point", "do": "kill" | "stop" | "sleep", "chance", "seconds"}]: at a point of a call's life
    guards    names of guards that are switched off
    clock     a file with one double: seconds by which this process's clocks are wrong
    repeat    how many times each hint is sent

The points hang on seams that do not depend on how the work is cut into tasks and transactions: the commit that claims,
the commit that moves a call to `placing`, the bytes of the POST, its answer, the commit that records it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import random
import runpy
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: its modules are not the product's

import httpx
from celery.app.task import Task
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import Session

ORDERS: dict[str, Any] = json.loads(os.environ["CHAOS"])
GUARDS = frozenset(ORDERS.get("guards", ()))


class _Here(threading.local):
    """What the open transaction of this thread has written: whether it claims, and to which calls it does what."""

    def __init__(self) -> None:
        self.claimed = False
        self.intents: set[Any] = set()
        self.changed: set[Any] = set()


here = _Here()
unanswered: set[Any] = set()
"""Calls whose intent this process has committed and whose answer it has not, whichever of its threads asks."""


def _dice() -> random.Random:
    """Another one in every process, the same ones in every run as far as process numbers allow."""
    if _dice_of.get("pid") != os.getpid():
        _dice_of.update(pid=os.getpid(), dice=random.Random(f"{ORDERS.get('seed')}-{os.getpid()}"))  # noqa: S311 - dice
    found: random.Random = _dice_of["dice"]
    return found


_dice_of: dict[str, Any] = {}


def reach(point: str) -> None:
    """A point of a call's life: do what was ordered for it, if the dice say so."""
    for order in ORDERS.get("points", ()):
        if order["point"] != point or _dice().random() >= order.get("chance", 1):
            continue
        if order["do"] == "sleep":
            time.sleep(order["seconds"])
            continue
        line = {"point": point, "pid": os.getpid(), "do": order["do"], "open": len(unanswered | here.intents)}
        with Path(ORDERS["witness"]).open("a") as witness:
            witness.write(json.dumps(line) + "\n")
        os.kill(os.getpid(), signal.SIGKILL if order["do"] == "kill" else signal.SIGSTOP)


# Transactions


@event.listens_for(Engine, "after_cursor_execute")
def _look(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
    if statement.startswith("INSERT INTO calls"):
        here.claimed = True
    elif statement.startswith("UPDATE calls SET"):
        for row in parameters if isinstance(parameters, list | tuple) else [parameters]:
            if "calls_id" in row:  # one call that was locked before; the rest are slots and questions
                (here.intents if str(row.get("state")) == "placing" else here.changed).add(row["calls_id"])


@event.listens_for(Session, "before_commit")
def _before(session: Session) -> None:
    session.flush()
    if here.claimed:
        reach("before_claim")
    if here.intents:
        reach("before_intent")
    if here.changed & unanswered:
        reach("before_recording")


@event.listens_for(Session, "after_commit")
def _after(_session: Session) -> None:
    claimed, intents = here.claimed, here.intents
    unanswered.difference_update(here.changed)
    unanswered.update(intents)
    _forget()
    if claimed:
        reach("after_claim")
    if intents:
        reach("after_intent")


@event.listens_for(Session, "after_rollback")
def _undone(_session: Session) -> None:
    _forget()


def _forget() -> None:
    here.claimed, here.intents, here.changed = False, set(), set()


# Requests


def _watch_requests() -> None:
    plain: Callable[..., httpx.Response] = httpx.HTTPTransport.handle_request

    def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith("/call"):
            request.extensions = {**request.extensions, "trace": _trace}
            response = plain(self, request)
            response.read()
            reach("after_answer")
            return response
        return plain(self, request)

    httpx.HTTPTransport.handle_request = handle  # type: ignore[method-assign]


def _trace(name: str, _info: Any) -> None:
    if name == "http11.receive_response_headers.started":  # every byte of the request has left
        reach("mid_post")


# Clocks and hints


def _shift_clocks(path: str) -> None:
    """Python's own clocks in this process are wrong by what the file says.

    The C library's are not: only root could set those, and no name space of Linux moves the wall clock.
    """
    with Path(path).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 8)
    plain = time.time

    def shifted() -> float:
        (seconds,) = struct.unpack("d", shared[:8])
        return plain() + float(seconds)

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(shifted(), tz)

    time.time = shifted
    # The class cannot be replaced, as too many hold it already, nor written to by ordinary means.
    (members,) = gc.get_referents(datetime.__dict__)
    members["now"] = classmethod(now)
    members["utcnow"] = classmethod(lambda cls: now(cls, UTC).replace(tzinfo=None))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))


def _repeat_hints(times: int) -> None:
    plain: Callable[..., Any] = Task.apply_async

    def apply_async(self: Task, *args: Any, **options: Any) -> Any:
        for _ in range(times - 1):
            plain(self, *args, **options)
        return plain(self, *args, **options)

    Task.apply_async = apply_async


# Guards


def _missing(guard: str) -> None:
    """Witness that this process went past the place where the guard would have been."""
    if guard not in _told:
        _told.add(guard)
        with Path(f"{ORDERS['witness']}.guards").open("a") as witness:
            witness.write(f"{guard}\n")


_told: set[str] = set()


def _intent_is_not_committed() -> None:
    """The POST goes out although the intent was lost."""
    plain: Callable[..., None] = DefaultDialect.do_commit

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        if here.intents:
            _missing("intent")
            self.do_rollback(connection)
        else:
            plain(self, connection)

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _any_state_is_claimed() -> None:
    """Whoever looks at a call to place it finds it claimed, whatever became of it meanwhile."""
    from sqlalchemy import update

    from campaigns.models import Call
    from campaigns.pipeline import calling

    def claimed_first(plain: Callable[..., Any]) -> Callable[..., Any]:
        def looked_at(session: Session, calls: Any, **options: Any) -> Any:
            going_on = Call.id.in_(list(calls)), Call.state.not_in(["ended", "not_placed", "claimed"])
            if session.execute(update(Call).where(*going_on).values(state="claimed").returning(Call.id)).all():
                _missing("state comparison")
            return plain(session, calls, **options)

        return looked_at

    calling.await_slots = claimed_first(calling.await_slots)
    calling.hold_still = claimed_first(calling.hold_still)


def _unclear_is_claimed_again() -> None:
    """A call whose answer never came is offered again."""
    from campaigns.rules.call_state import CallState, Effect, Evidence, Verdict

    _judge_otherwise(
        "expired placing", {(CallState.PLACING, Evidence.UNCLEAR): Verdict(CallState.CLAIMED, Effect.MOVE)}
    )


def _final_states_are_not_final() -> None:
    """A late word about a call that is over opens it again."""
    from campaigns.rules import call_state
    from campaigns.rules.call_state import CallState, Effect, Verdict

    again = {(CallState.ENDED, said): Verdict(state, Effect.MOVE) for said, state in call_state._AHEAD.items()}
    _judge_otherwise("terminal states", again)


def _judge_otherwise(guard: str, verdicts: dict[Any, Any]) -> None:
    """The ledger judges some pairs of state and evidence by these verdicts instead of its own."""
    from campaigns import ledger

    plain: Callable[..., Any] = ledger.judge

    def judge(state: Any, evidence: Any, **options: Any) -> Any:
        verdict = verdicts.get((state, evidence))
        if verdict is None:
            return plain(state, evidence, **options)
        _missing(guard)
        return verdict

    ledger.judge = judge


def _no_send_budget() -> None:
    """The clock by which the time since the intent is measured stands still."""
    from workers import calls

    def stands_still() -> timedelta:
        _missing("send budget")
        return timedelta(0)

    assert callable(calls._uptime)
    calls._uptime = stands_still


def _strip(guard: str, lock: str, from_table: str) -> None:
    """Statements about a table lose their lock."""

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def without(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        if lock in statement and f"FROM {from_table}" in statement.replace("\n", ""):
            statement = statement.replace(lock, "")
            _missing(guard)
        return statement, parameters


def _no_capacity_lock() -> None:
    """Lines are counted without the account's row: it is neither locked nor written, which would lock it too."""
    _strip("capacity lock", " FOR NO KEY UPDATE", "pace")

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def without(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return ("SELECT 1" if statement.startswith("UPDATE pace SET") else statement), parameters


def _no_share_locks() -> None:
    """Neither the rows are shared, nor is the queue before them passed."""
    _strip("share locks", " FOR SHARE OF accounts, campaigns, people", "calls")
    _strip("share locks", "pg_advisory_xact_lock_shared", "calls")


OFF: dict[str, Callable[[], None]] = {
    "intent": _intent_is_not_committed,
    "state comparison": _any_state_is_claimed,
    "expired placing": _unclear_is_claimed_again,
    "terminal states": _final_states_are_not_final,
    "send budget": _no_send_budget,
    "capacity lock": _no_capacity_lock,
    "share locks": _no_share_locks,
}
"""Guards that live in the code. Those that live in the schema are dropped there, by the matrix."""


def main() -> None:
    _watch_requests()
    if path := ORDERS.get("clock"):
        _shift_clocks(path)
    if times := ORDERS.get("repeat"):
        _repeat_hints(times)
    for guard in GUARDS:
        OFF[guard]()
    module = sys.argv[1]
    sys.argv = [module, *sys.argv[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
