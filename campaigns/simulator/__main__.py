"""`python -m campaigns.simulator`: the simulator as a bare process, for tests that start one on a free port.

The first line on standard output ends with the address.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from campaigns.simulator import DEFAULT_HOST, DEFAULT_PORT
from campaigns.simulator.mistakes import SimulatorError
from campaigns.simulator.scenario import load_scenario
from campaigns.simulator.server import read_clock, serve


def main() -> int:
    """Run until interrupted; 1 when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m campaigns.simulator", description="A stand-in for Vapi.")
    parser.add_argument("--scenario", type=Path)
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument("--origin", help="simulated time at --started, ISO 8601")
    parser.add_argument("--started", help="real time at which the clock starts, ISO 8601")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    try:
        scenario = load_scenario(given.scenario, os.environ)
        if given.seed is not None:
            scenario = scenario.changed({"seed": given.seed})
        clock = read_clock(given.origin, given.started, given.speed)
        serve(scenario, clock, host=given.host, port=given.port, announce=_say)
    except SimulatorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
