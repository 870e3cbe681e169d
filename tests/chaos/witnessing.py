"""What processes did to themselves, as they noted it: they killed themselves, fell asleep, went without a guard."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def waking(witness: Path, points: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Inside the block, processes that stopped themselves go on after as many seconds as was ordered."""
    seconds = next((point["seconds"] for point in points if point["do"] == "stop"), None)
    done = threading.Event()

    def wake() -> None:
        asleep: dict[int, float] = {}
        known = 0
        while not done.wait(0.1) or asleep:
            lines = witness.read_text().splitlines()
            for line in lines[known:]:
                asleep[json.loads(line)["pid"]] = time.monotonic() + float(seconds or 0)
            known = len(lines)
            for pid in [pid for pid, until in asleep.items() if done.is_set() or until < time.monotonic()]:
                del asleep[pid]
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=wake) if seconds else None
    if thread is not None:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread is not None:
            thread.join()


def witnessed(witness: Path) -> tuple[int, int]:
    """How often a process killed or stopped itself, and how many calls were between intent and answer in the killed."""
    lines = [json.loads(line) for line in witness.read_text().splitlines()]
    return len(lines), sum(line["open"] for line in lines if line["do"] == "kill")


def gone_past(folder: Path) -> set[str]:
    """The guards, taken out, that some process of the run in that folder would have needed."""
    told = folder / "witness.guards"
    return set(told.read_text().split("\n")) if told.exists() else set()
