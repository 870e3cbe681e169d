"""`make chaos`: the fault matrix. `python -m tests.chaos --help` says how to run a part of it."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.chaos.cases import CASES
from tests.chaos.guards import REMOVALS, Removal
from tests.chaos.judging import Findings, judge
from tests.chaos.reporting import Report, row
from tests.chaos.running import Case, running
from tests.chaos.servers import Servers

USUAL = 1_000
LARGE = 10_000
FOR_A_GUARD = 120  # prospects: enough for each removal to show at once
PER_SECOND = 8.0  # prospects done in a second, on two cores; only the forecast rests on it
AROUND = 25.0  # seconds for starting, the last calls and the judge


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
    say(f"{len(cases)} cases and {len(removals)} guards, {everybody} prospects: about {minutes:.0f} minutes")
    failed = False
    with Servers() as servers:
        for case in cases:
            result = run_case(case, servers, prospects=people[case.name], seed=options.seed, keep=options.keep)
            report.add(result)
            say(row(result))
            failed = failed or not result["passed"]
        for removal in removals:
            caught = run_removal(removal, servers, prospects=FOR_A_GUARD, seed=options.seed)
            report.add_guard(removal.guard, caught)
            say(f"without {removal.guard:<31} {'caught by ' + caught if caught else 'NOT CAUGHT'}")
            failed = failed or not caught
    return int(failed)


def size(case: Case, usual: int, *, full: bool) -> int:
    """With how many people the case runs."""
    if usual != USUAL:  # a trial
        return max(int(usual * case.share), 20)
    return int(LARGE * case.share) if full or case.large else int(usual * case.share)


def run_case(case: Case, servers: Servers, *, prospects: int, seed: int, keep: bool = False) -> dict[str, Any]:
    """Its row of the report. What the processes said is kept where it failed."""
    folder = Path(tempfile.mkdtemp(prefix="outbound-case-"))
    began = time.monotonic()
    findings = examine(case, servers, folder, prospects=prospects, seed=seed)
    result = {
        "name": case.name,
        "double_calls": findings.figure("double_calls"),
        "lost": findings.figure("lost"),
        "over_limit": findings.figure("over_limit"),
        "review": findings.review,
        "seconds": round(time.monotonic() - began, 1),
        "passed": not findings.broken,
        "prospects": prospects,
        "posts": findings.posts,
        "broken": [str(each) for each in findings.broken[:20]],
    }
    if findings.broken or keep:
        result["logs"] = str(folder)
    else:
        shutil.rmtree(folder)
    return result


def run_removal(removal: Removal, servers: Servers, *, prospects: int, seed: int) -> str | None:
    """What caught the missing guard; None where nothing did."""
    folder = Path(tempfile.mkdtemp(prefix="outbound-case-"))
    case = replace(removal.case, patience=20.0)
    findings = examine(case, servers, folder, prospects=prospects, seed=seed)
    shutil.rmtree(folder)
    caught = next((each.what for each in findings.broken if each.figure == removal.figure), None)
    return None if caught is None else f"{case.name}: {caught}"


def examine(case: Case, servers: Servers, folder: Path, *, prospects: int, seed: int) -> Findings:
    """Run it and judge it."""
    with running(case, servers, folder, prospects=prospects, seed=seed) as run:
        return judge(run)


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
