"""The processes of `outbound up` when `up` itself is killed: the kernel ends them, and there is no saying no."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import PATIENCE, eventually, is_running

DEAF = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid()); time.sleep(600)"
PARENT = f"""
import os, sys, time
from campaigns.cli.processes import Fleet
with Fleet({{}}, show=lambda name, line: print(line, flush=True)) as fleet:
    fleet.start("deaf", [sys.executable, "-c", {DEAF!r}], ends_at_once=sys.argv[1] == "at once")
    time.sleep(600)
"""


@pytest.mark.parametrize("how", ["at once", "asked"])
def test_only_what_may_end_at_once_is_given_no_say_when_its_parent_is_killed(how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, how], stdout=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait(PATIENCE)
        if how == "asked":
            assert is_running(child)
        else:
            eventually(lambda: not is_running(child), "the child has ended")
    finally:
        parent.stdout.close()
        if is_running(child):
            os.kill(child, 9)
