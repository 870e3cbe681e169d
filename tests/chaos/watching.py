"""Looks at the tables four times a second while a case runs: what must hold at every moment, not only at the end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Self

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.harness import System
from tests.journeys.promises import DOUBLE, LIMIT, Broken

LOOK_SECONDS = 0.25

HELD_TWICE = """
    SELECT person_id, count(*) FROM calls
    WHERE state NOT IN ('ended', 'not_placed') GROUP BY person_id HAVING count(*) > 1
"""
LINES = """
    SELECT accounts.name, count(*) FROM calls JOIN accounts ON accounts.id = account_id
    WHERE calls.state NOT IN ('ended', 'not_placed', 'review', 'unknown') GROUP BY accounts.name
"""


class Watch:
    """Inside the block, looks."""

    def __init__(self, system: System, lines: Mapping[str, int]) -> None:
        self._system = system
        self._lines = lines
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: dict[str, Broken] = {}
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            try:
                with self._system.session() as session:
                    twice = session.execute(text(HELD_TWICE)).all()
                    lines = session.execute(text(LINES)).all()
            except DBAPIError:
                continue  # the database is away, as it is in some cases
            self.looks += 1
            for person, calls in twice:
                self.seen[f"person {person}"] = Broken(DOUBLE, f"person {person} was held by {calls} calls at once")
            for account, used in lines:
                if used > self._lines[account]:
                    what = f"{used} calls of {account} held a line at once, of {self._lines[account]}"
                    self.seen[f"account {account}"] = Broken(LIMIT, what)
