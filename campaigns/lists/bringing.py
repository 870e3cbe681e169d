"""A list of people from its file to the ledger: opened, checked, and brought in lot by lot."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import UnsupportedOperation
from itertools import count
from typing import BinaryIO, Final, TypeVar, cast
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from campaigns import clock, db
from campaigns.errors import InvalidList, OutboundError
from campaigns.facts import about_campaigns
from campaigns.lists.opening import OpenList, Wishes, open_list
from campaigns.lists.reading import LOT, ReadLot, Size, read_ahead
from campaigns.pipeline import uploading
from campaigns.pipeline.importing import storing
from campaigns.pipeline.importing.adding import Met, meet
from campaigns.pipeline.importing.preparing import PreparedLot
from campaigns.pipeline.importing.storing import Report
from campaigns.rules.people_file import Format

PIECE: Final = 1 << 20  # bytes of a file that is handed over, to a row
TRIES: Final = 5  # a server that restarts is there again in some of 1 + 2 + 4 + 8 seconds
MANY: Final = 20_000  # people whom the server is told of at once: what it plans with is older than all of them
Progress = Callable[[int, int], None]
Done = TypeVar("Done")

# Of two imports that bring the same people the later one begins its lot anew, alone, and knows them then. COPY raises
# the driver's own errors.
CONFLICTS: Final = (IntegrityError, psycopg.IntegrityError, psycopg.errors.DeadlockDetected)
AWAY: Final = (OperationalError, psycopg.OperationalError)


def bring(
    url: str,
    campaign_id: UUID,
    opened: OpenList,
    *,
    source: str,
    who: str | None = None,
    progress: Progress = lambda _, __: None,
    size: Size = LOT,
) -> tuple[UUID, Report]:
    """Import the list. Killed and run again with the same file, it goes on after the last rows that were stored.

    `progress` is told how many rows and how many bytes of the file are stored. Raises `NotAllowed` where the campaign
    is over, or where the same file is being imported by somebody else.
    """
    import_id, done = begin(url, campaign_id, opened, source=source, who=who)
    return import_id, _go_on(url, import_id, campaign_id, opened, done, progress, size)


def _go_on(
    url: str,
    import_id: UUID,
    campaign_id: UUID,
    opened: OpenList,
    done: int,
    progress: Progress,
    size: Size,
) -> Report:
    read = 0
    with ThreadPoolExecutor(1) as writer:  # while the server stores a lot, the people of the next one are looked up
        stored: Future[None] | None = None
        for found in read_ahead(opened, skip=done, size=size):
            met = again(partial(_meet, url, campaign_id, found.lot))
            if stored is not None:
                stored.result()
                progress(done, read)
            store = partial(_store, url, import_id, campaign_id, opened, found, met, done)
            stored = writer.submit(again, store)
            done, read = done + found.lot.rows, found.read
        if stored is not None:
            stored.result()
            progress(done, read)
    _refuse_what_changed(opened)
    with db.transaction(url) as session:
        storing.finish(session, import_id, now=clock.read(session).now)
        report = storing.report(session, import_id)
    if report.new >= MANY:
        with db.transaction(url) as session:  # a moment, where the server's own round comes in a minute or so
            session.execute(text("ANALYZE people, prospects"))
    return report


def begin(url: str, campaign_id: UUID, opened: OpenList, *, source: str, who: str | None = None) -> tuple[UUID, int]:
    """Open the import, or go on with it; returns its id and how many of its rows are stored."""
    with db.transaction(url) as session:
        return storing.begin(
            session,
            campaign_id,
            source=source,
            surveyed=opened.surveyed,
            columns=opened.columns,
            terms=opened.wishes.as_terms(),
            now=clock.read(session).now,
            who=who,
        )


def hand_over(url: str, import_id: UUID, file: BinaryIO, progress: Callable[[int], None] = lambda _: None) -> None:
    """Put the file where a worker can read it, in pieces; done again, it goes on with the piece that is missing."""
    file.seek(0)
    for number in count():
        if not (piece := file.read(PIECE)):
            break
        with db.transaction(url) as session:
            uploading.keep(session, import_id, number, piece)
        progress(file.tell())
    with db.transaction(url) as session:
        uploading.queue(session, import_id, now=clock.read(session).now)


def bring_handed_over(url: str, import_id: UUID, *, progress: Progress = lambda _, __: None) -> Report | None:
    """Import a file that was handed over; None where somebody else is doing so, or it is done.

    What is wrong with the file is kept on the import. `progress` is told what `bring` tells.
    """
    with uploading.sole_runner(db.engine(url), import_id) as alone, tempfile.TemporaryFile() as file:
        if not alone:
            return None
        with db.transaction(url) as session:
            job = uploading.job(session, import_id)
        if job is None:
            return None
        for number in count():
            with db.transaction(url) as session:
                piece = uploading.piece(session, import_id, number)
            if piece is None:
                break
            file.write(piece)
        file.seek(0)
        try:
            opened = _opened(url, job, cast("BinaryIO", file))
            return _go_on(url, import_id, job.campaign_id, opened, job.rows, progress, LOT)
        except AWAY:
            raise  # the next look offers it again
        except Exception as problem:
            known = isinstance(problem, OutboundError)
            why = str(problem) if known else f"{type(problem).__name__}, which the worker's log tells more of"
            with db.transaction(url) as session:
                uploading.give_up(session, import_id, why)
            raise


def _refuse_what_changed(opened: OpenList) -> None:
    """Raises `InvalidList` for a file that is not as long as it was when it was looked at."""
    file = opened.file
    with suppress(UnsupportedOperation):  # what is in memory alone does not change
        read = os.lseek(file.fileno(), 0, os.SEEK_CUR)  # by whichever process
        # The rows of a spreadsheet are somewhere in its file.
        if opened.surveyed.shape.format is not Format.XLSX and read != opened.surveyed.size:
            raise InvalidList("the file was changed while it was read: what was read is stored, import it once more")


def _opened(url: str, job: uploading.Job, file: BinaryIO) -> OpenList:
    with db.transaction(url) as session:
        definition = about_campaigns(session, [job.campaign_id])[job.campaign_id].definition
    opened = open_list(file, definition, Wishes.of_terms(job.terms))
    if opened.surveyed.digest != job.digest:
        raise InvalidList("the file did not arrive whole: hand it over once more")
    return opened


def _meet(url: str, campaign_id: UUID, lot: PreparedLot, turn: int) -> Met:
    with db.transaction(url) as session:
        storing.take_turns(session, "people", alone=turn > 1)
        return meet(session, campaign_id, lot.people, now=clock.read(session).now)


def _store(
    url: str, import_id: UUID, campaign_id: UUID, opened: OpenList, found: ReadLot, met: Met, after: int, turn: int
) -> None:
    if turn > 1:  # somebody else's import may have brought the same people meanwhile
        met = _meet(url, campaign_id, found.lot, turn)
    with db.transaction(url) as session:
        # What an update finds must still be so when it is its turn.
        storing.take_turns(session, str(campaign_id), alone=turn > 1 or opened.wishes.options.update)
        if turn > 1 and storing.is_stored(session, import_id, found.lot, after=after):
            return  # all that was lost was the answer to the commit
        now = clock.read(session).now
        storing.store(session, import_id, opened.reader, found.lot, met, after=after, read=found.read, now=now)


def again(do: Callable[[int], Done]) -> Done:
    """Do it, in transactions of its own, until nobody else is in the way; it is told which time it is."""
    for turn in range(1, TRIES):
        try:
            return do(turn)
        except CONFLICTS:
            continue
        except AWAY:
            time.sleep(2 ** (turn - 1))
    return do(TRIES)
