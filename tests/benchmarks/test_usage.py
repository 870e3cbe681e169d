"""What processor time is counted as."""

from __future__ import annotations

import os

import pytest

from campaigns.cli.processes import python
from campaigns.cli.up import WEB, WORKERS, worker_command
from tests.benchmarks.running import UP
from tests.benchmarks.usage import per_call, processors, role


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (WEB, "web"),
        (UP, "outbound up"),
        (python("celery", "--quiet", "--app", "workers.app", "beat"), "beat"),
        (python("celery", "--app", "workers.app", "flower", "--port=1"), "flower"),
        (python("campaigns.simulator", "--port", "0"), "stand-in"),
        (["/usr/lib/postgres", "-D", "/data"], "postgres"),
        (["postgres: outbound outbound 127.0.0.1(5) idle"], "postgres"),
        (["/usr/lib/valkey-server", "127.0.0.1:1"], "redis"),
    ]
    + [(worker_command(queue, processes), f"worker {queue}") for queue, processes in WORKERS.items()],
)
def test_every_process_of_a_running_system_has_a_name(command: list[str], name: str) -> None:
    assert role(" ".join(command)) == name


def test_time_is_counted_for_a_process_and_all_below_it() -> None:
    assert sum(processors(os.getpid()).values()) > 0
    assert processors(2**22 + 1) == {}  # a process that has ended


def test_what_grew_is_shared_out_over_the_calls_with_the_largest_first() -> None:
    assert list(per_call({"web": 1.0}, {"web": 2.0, "beat": 3.0}, 2).items()) == [("beat", 1.5), ("web", 0.5)]
