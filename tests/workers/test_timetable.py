"""Periodic tasks come whatever is done to the machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from celery.beat import Scheduler

from campaigns.pipeline.warning import LOOKS_FOR_IMPORTS, PERIODIC
from workers.app import app
from workers.timetable import TICKS


def test_a_clock_that_is_set_back_holds_up_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    with monkeypatch.context() as patch:
        patch.setattr(app, "now", lambda: ahead)  # the clock beat goes by, unless a schedule has one of its own
        beat = Scheduler(app, lazy=False)
        beat.populate_heap()
    assert (
        {entry.name for entry in beat.schedule.values()}
        >= {tick.task for tick in TICKS}
        == {*PERIODIC, LOOKS_FOR_IMPORTS}
    )
    time.sleep(max(tick.every_seconds for tick in TICKS) + 0.1)
    assert all(entry.is_due().is_due for entry in beat.schedule.values())
