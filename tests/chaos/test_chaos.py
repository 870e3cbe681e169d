"""A small part of the fault matrix, and of the proof that it would notice. `make chaos` runs all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cases import CASES
from tests.chaos.guards import REMOVALS
from tests.chaos.matrix import examine, run_removal
from tests.chaos.servers import Servers


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    with Servers() as running:
        yield running


def test_every_promise_is_kept_while_a_little_of_everything_goes_wrong(own_servers: Servers, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "mixed")
    findings = examine(case, own_servers, tmp_path, prospects=200, seed=1)
    assert [str(each) for each in findings.broken] == []
    assert findings.posts >= 130


def test_the_matrix_notices_that_the_intent_is_missing(own_servers: Servers) -> None:
    removal = next(each for each in REMOVALS if each.guard == "intent")
    caught, else_found = run_removal(removal, own_servers, prospects=60, seed=1)
    assert caught, else_found
