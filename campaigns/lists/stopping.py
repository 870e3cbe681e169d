"""A list of people who are not to be called, from its file to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import BinaryIO, Final
from uuid import UUID

from campaigns import clock, db
from campaigns.lists.bringing import again
from campaigns.lists.opening import SAMPLE
from campaigns.pipeline import suppressing
from campaigns.pipeline.suppressing import Stored
from campaigns.rules.people_file import NOTHING_SAID, Row, Shape, Surveyed, read_table, survey
from campaigns.rules.people_file.people import Rejection
from campaigns.rules.people_file.stops import Stop, StopReader, choose_stops
from campaigns.rules.phone import known_region

LOT: Final = 5_000  # rows to a transaction: the intents of these people, and nobody else's, wait for half a second


@dataclass(frozen=True, slots=True)
class OpenStops:
    """A list that was read through once, and whose rows can be read now."""

    file: BinaryIO
    surveyed: Surveyed
    header: tuple[str, ...]
    reader: StopReader
    rows: Iterator[Row]


@dataclass(slots=True)
class StopReport:
    """What became of the rows so far: `added + already_there + rejected = rows`."""

    rows: int = 0
    added: int = 0
    already_there: int = 0
    rejected: int = 0
    finished: int = 0
    """Prospects who waited for a call, and are done."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Rejected rows by what is wrong with them."""


def open_stops(
    file: BinaryIO, said: Mapping[str, str], *, shape: Shape = NOTHING_SAID, default_region: str | None = None
) -> OpenStops:
    """The list in a seekable file. Raises `InvalidList` where it is none, or has no column of numbers."""
    default_region = known_region(default_region)
    surveyed = survey(file, shape)
    table = read_table(file, surveyed.shape)
    sample = list(islice(table.rows, SAMPLE))
    cells = [row.cells for row in sample if row.problem is None]
    reader = choose_stops(table.header, said, sample=cells, default_region=default_region)
    return OpenStops(file, surveyed, table.header, reader, chain(sample, table.rows))


def read_stops(opened: OpenStops, report: StopReport, reject: Callable[[Rejection], object]) -> Iterator[list[Stop]]:
    """The numbers of the list by the lot. Rows without one are counted in the report and told to `reject`."""
    while rows := list(islice(opened.rows, LOT)):
        stops: list[Stop] = []
        for row in rows:
            found = opened.reader.read(row)
            if isinstance(found, Rejection):
                report.rejected += 1
                report.reasons[found.sentence()] = report.reasons.get(found.sentence(), 0) + 1
                reject(found)
            else:
                stops.append(found)
        report.rows += len(rows)
        yield stops


def bring_stops(
    url: str,
    opened: OpenStops,
    *,
    campaign_id: UUID | None,
    reason: str,
    source: str,
    who: str,
    reject: Callable[[Rejection], object],
    progress: Callable[[int, int], object] = lambda _, __: None,
) -> StopReport:
    """Have nobody call these numbers any more. Killed and run again, it adds those that are missing.

    `progress` is told how many rows and how many bytes of the file were read.
    """
    report = StopReport()

    def store(stops: list[Stop], turn: int) -> Stored:  # noqa: ARG001 - each time is like the first
        with db.transaction(url) as session:
            return suppressing.suppress_all(
                session,
                stops,
                campaign_id=campaign_id,
                reason=reason,
                source=source,
                who=who,
                now=clock.read(session).now,
            )

    def take(stored: Future[Stored]) -> None:
        report.added += stored.result().added
        report.finished += stored.result().finished

    with ThreadPoolExecutor(1) as writer:  # while the server stores a lot, the next one is read
        waiting: Future[Stored] | None = None
        for stops in read_stops(opened, report, reject):
            if waiting is not None:
                take(waiting)
            waiting = writer.submit(again, partial(store, stops))
            progress(report.rows, opened.file.tell())
        if waiting is not None:
            take(waiting)
    report.already_there = report.rows - report.rejected - report.added
    return report
