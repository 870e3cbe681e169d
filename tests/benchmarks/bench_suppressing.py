"""A do-not-call list of a million numbers, a tenth of whom wait to be called: rows a second, and memory.

Beside it: the same done number by number, each in a transaction of its own, as `outbound suppressions add` does.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from campaigns import db
from campaigns.embedded import Servers
from campaigns.lists.stopping import StopReport, bring_stops, open_stops
from campaigns.pipeline import defining, scheduling, suppressing
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from tests.benchmarks.results import Result
from tests.factories import ACCOUNT, CAMPAIGN

ROWS = 1_000_000
ALONE = 500  # numbers that are added one by one; the rate does not change with more
MEMORY_MB = 60  # beyond what the process has before: a few lots of 5,000 rows
AREAS = ("212", "415", "312", "305", "713", "602", "206", "617", "404", "646")


def measure(servers: Servers) -> list[Result]:
    """Rows per second of a million numbers, the same again, and number by number; `PEOPLE=100000` makes it smaller."""
    rows = int(os.environ.get("PEOPLE", ROWS))
    url = servers.database_url
    _prospects(url, rows // 10)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "dnc.csv"
        with file.open("w") as out:  # not as one text: memory is measured by its highest mark
            out.write("phone,reason\n")
            out.writelines(f"{_number(turn)},by letter\n" for turn in range(rows))
        before = _memory()
        first, report = _bring(url, file)
        grown = _memory() - before
        again, nothing = _bring(url, file)
    if (report.added, report.finished, nothing.added) != (rows, rows // 10, 0):
        raise AssertionError(f"not everybody was suppressed once: {report}, then {nothing}")
    began = time.monotonic()
    for turn in range(ALONE):
        with db.transaction(url) as session:
            suppressing.suppress(
                session, _number(rows + turn), campaign_id=None, reason="said so", who="bench", now=datetime.now(UTC)
            )
    alone = ALONE / (time.monotonic() - began)
    return [
        Result("suppressing by file", "rows/s", "at_least", rows / first, {"number by number": alone}, 5.0),
        Result(
            "the same do-not-call list again", "rows/s", "at_least", rows / again, {"the first time": rows / first}, 1.0
        ),
        Result("memory that a do-not-call list takes", "MB", "at_most", max(grown, 1.0), {"limit": MEMORY_MB}, 1.0),
    ]


def _bring(url: str, file: Path) -> tuple[float, StopReport]:
    began = time.monotonic()
    with file.open("rb") as source:
        opened = open_stops(source, {})
        how = {"campaign_id": None, "reason": "on a list", "source": file.name, "who": "bench"}
        report = bring_stops(url, opened, reject=lambda _: None, **how)
    return time.monotonic() - began, report


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _number(turn: int) -> str:
    return f"+1{AREAS[turn % 10]}{2_000_000 + turn // 10}"


def _prospects(url: str, people: int) -> None:
    now = datetime.now(UTC)
    with db.transaction(url) as session:
        defining.apply_account(session, AccountDefinition.model_validate(ACCOUNT), who="bench", now=now, real=now)
        campaign = CampaignDefinition.model_validate(CAMPAIGN)
        defining.apply_campaign(session, campaign, who="bench", now=now)
        campaign_id = scheduling.find(session, campaign.name).id
        where = {"campaign": campaign_id, "import": uuid4(), "people": people}
        session.execute(
            text(
                "INSERT INTO imports (id, campaign_id, source, columns, rows, new, already_there, rejected, created_at)"
                " VALUES (:import, :campaign, 'bench', '{}', 0, 0, 0, 0, now())"
            ),
            where,
        )
        numbers = "'+1' || (ARRAY['212','415','312','305','713','602','206','617','404','646'])[turn % 10 + 1]"
        session.execute(
            text(
                f"INSERT INTO people (number, created_at) SELECT {numbers} || (2000000 + turn / 10), now()"  # noqa: S608
                " FROM generate_series(0, :people - 1) AS turn"
            ),
            where,
        )
        session.execute(
            text(
                "INSERT INTO prospects (campaign_id, import_id, person_id, line, state, due_at, created_at, changed_at)"
                " SELECT :campaign, :import, id, 2, 'waiting', now(), now(), now() FROM people"
            ),
            where,
        )
        session.execute(text("INSERT INTO tallies VALUES (:campaign, 'prospect:waiting', 0, :people)"), where)
    with db.transaction(url) as session:
        session.execute(text("ANALYZE people, prospects"))
