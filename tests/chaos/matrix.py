"""A case or a missing guard, from its start to what was found."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.chaos.guards import Removal
from tests.chaos.judging import Findings, judge, keep_evidence
from tests.chaos.running import Case, running
from tests.chaos.servers import Servers
from tests.chaos.witnessing import gone_past
from tests.journeys.promises import Broken

USUAL = 1_000
LARGE = 10_000
SHOWN = 45.0  # seconds in which a missing guard shows, on a busy machine too


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


def run_removal(removal: Removal, servers: Servers, *, prospects: int, seed: int) -> tuple[str | None, str]:
    """What caught the missing guard, None where nothing did; and all else that is to be said about the run.

    A guard that no process went past counts as not caught, whatever was found: what takes it out is out of date.
    """
    folder = Path(tempfile.mkdtemp(prefix="outbound-case-"))
    case = replace(removal.case, longest=SHOWN, seen=removal.seen)
    findings = examine(case, servers, folder, prospects=prospects, seed=seed)
    unmet = set(case.guards) - gone_past(folder)
    shutil.rmtree(folder)
    if unmet:
        return None, f"no process went past {', '.join(unmet)}: what takes it out is out of date"
    caught = next((each.what for each in findings.broken if removal.sign in each.what), None)
    found = "; ".join(str(each) for each in findings.broken[:5])
    return None if caught is None else f"{case.name}: {caught}", f"{findings.posts} posts; {found or 'nothing found'}"


def examine(case: Case, servers: Servers, folder: Path, *, prospects: int, seed: int) -> Findings:
    """Run it and judge it. What keeps it from being judged is a finding too."""
    try:
        with running(case, servers, folder, prospects=prospects, seed=seed) as run:
            findings = judge(run)
            keep_evidence(run, findings)
            return findings
    except Exception as problem:  # noqa: BLE001 - the other rows of the matrix are wanted all the same
        (folder / "problem").write_text(traceback.format_exc())
        first = (str(problem).splitlines() or [""])[0]
        return Findings([Broken("unjudged", f"it could not be judged: {type(problem).__name__}: {first}")], 0, 0)
