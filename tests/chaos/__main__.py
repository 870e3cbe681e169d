"""`make chaos`: the fault matrix. `python -m tests.chaos --help` says how to run a part of it."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.chaos.cases import CASES
from tests.chaos.guards import REMOVALS
from tests.chaos.matrix import USUAL, run_case, run_removal, size
from tests.chaos.reporting import Report, row
from tests.chaos.servers import Servers

FOR_A_GUARD = 120  # prospects: enough for each removal to show at once
PER_SECOND = 22.0  # prospects done in a second, on two cores; only the forecast rests on it
AROUND = 30.0  # seconds for starting, the last calls and the judge


def main() -> int:
    """Run the cases that are wanted, in their order; 1 where one failed."""
    options = _options()
    cases = [case for case in CASES if not options.case or case.name in options.case]
    removals = [each for each in REMOVALS if not options.case or f"without {each.guard}" in options.case]
    unknown = set(options.case) - {case.name for case in cases} - {f"without {each.guard}" for each in removals}
    if unknown:
        known = [*(case.name for case in CASES), *(f"without {each.guard}" for each in REMOVALS)]
        sys.exit(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    report = Report(options.out, prospects=options.prospects, seed=options.seed)
    if options.resume:
        cases = [case for case in cases if not report.has(case.name)]
        removals = [each for each in removals if not report.has_guard(each.guard)]
    people = {case.name: size(case, options.prospects, full=options.full) for case in cases}
    everybody = sum(people.values()) + FOR_A_GUARD * len(removals)
    minutes = (everybody / PER_SECOND + AROUND * (len(cases) + len(removals))) / 60
    what = [
        f"{len(found)} {kind}{'s' * (len(found) != 1)}"
        for found, kind in ((cases, "case"), (removals, "guard"))
        if found
    ]
    say(f"{' and '.join(what) or 'nothing'} to run, {everybody:,} prospects: about {minutes:.0f} minutes")
    failed = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # by the blocks' ends, which end what was started
    with Servers() as servers:
        for case in cases:
            result = run_case(case, servers, prospects=people[case.name], seed=options.seed, keep=options.keep)
            report.add(result)
            say(row(result))
            failed = failed or not result["passed"]
        for removal in removals:
            caught, else_found = run_removal(removal, servers, prospects=FOR_A_GUARD, seed=options.seed)
            report.add_guard(removal.guard, caught)
            say(f"without {removal.guard:<31} {'caught by ' + caught if caught else 'NOT CAUGHT: ' + else_found}")
            failed = failed or not caught
    return int(failed)


def say(line: str) -> None:
    """Print it, at once also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument(
        "--prospects", type=int, default=USUAL, help="people in a case [1000; 10 000 in the large ones]"
    )
    parser.add_argument("--case", action="append", default=[], help="only these cases; separated by commas")
    parser.add_argument("--full", action="store_true", help="10 000 people in every case")
    parser.add_argument("--resume", action="store_true", help="leave out what the report has already as passed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep what the processes said")
    parser.add_argument("--out", type=Path, default=Path("build/chaos.json"))
    options = parser.parse_args()
    options.case = [name.strip() for names in options.case for name in names.split(",")]
    return options


if __name__ == "__main__":
    sys.exit(main())
