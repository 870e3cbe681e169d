"""The rows of a list by the lot, a long list read ahead by a process of its own.

To read a lot takes about as long as to store it. Both in one process would take turns, so the child reads the next lot
while the parent stores this one; the pipe between them is what stops the child from running further ahead.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, cast

from campaigns.errors import OutboundError
from campaigns.pipeline.importing.preparing import PreparedLot, prepare
from campaigns.rules.people_file import Row, Shape, read_table
from campaigns.rules.people_file.people import Lot, Reader, read_lot

if TYPE_CHECKING:  # the child shall not wait for the ledger to be imported
    from campaigns.lists.opening import OpenList

AHEAD_FROM: Final = 2_000_000  # bytes of a file; a shorter one is read before a process has started


@dataclass(frozen=True, slots=True)
class Size:
    """How much a lot, which is one transaction, holds at most."""

    rows: int = 5_000
    """About a quarter of a second: little is lost when killed, and locks are short."""
    characters: int = 8_000_000
    """Long rows must not fill the memory."""


LOT: Final = Size()


class ReadLot(NamedTuple):
    """A lot, and how many bytes of the file were read until its end."""

    lot: PreparedLot
    read: int


class _Job(NamedTuple):
    fileno: int
    shape: Shape
    reader: Reader
    skip: int
    size: Size


def lots(reader: Reader, rows: Iterator[Row], size: Size = LOT) -> Iterator[Lot]:
    """The people in the rows."""
    gathered: list[Row] = []
    characters = 0
    for row in rows:
        gathered.append(row)
        characters += row.size
        if len(gathered) >= size.rows or characters >= size.characters:
            yield read_lot(reader, gathered)
            gathered, characters = [], 0
    if gathered:
        yield read_lot(reader, gathered)


def read_ahead(opened: OpenList, *, skip: int, size: Size = LOT) -> Iterator[ReadLot]:
    """What the list holds after its first `skip` rows."""
    if opened.surveyed.size < AHEAD_FROM:
        rows = islice(opened.rows, skip, None)
        return (ReadLot(prepare(lot), opened.file.tell()) for lot in lots(opened.reader, rows, size))
    opened.file.seek(0)
    return _from_child(_Job(opened.file.fileno(), opened.surveyed.shape, opened.reader, skip, size))


def _from_child(job: _Job) -> Iterator[ReadLot]:
    child = subprocess.Popen(
        [sys.executable, "-m", "campaigns.lists"],
        cwd=Path(__file__).parents[2],  # `-m` looks here first: for our code, not for a csv.py beside somebody's list
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[job.fileno],
    )
    with child, cast("BinaryIO", child.stdout) as done:
        try:
            with cast("BinaryIO", child.stdin) as work:
                pickle.dump(job, work)
            while (answer := _receive(done)) is not None:
                if isinstance(answer, OutboundError):
                    raise answer
                yield answer
        except (EOFError, BrokenPipeError):
            raise OutboundError(
                f"the process that reads the list ended with {child.wait()}: what it had read is stored, "
                "and the same command goes on after it"
            ) from None
        finally:
            child.kill()


def _send(answer: ReadLot | OutboundError | None, out: BinaryIO) -> None:
    """All of it is made before any of it leaves: the parent shall not wait for more than the pipe."""
    content = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    out.write(len(content).to_bytes(8) + content)
    out.flush()


def _receive(done: BinaryIO) -> ReadLot | OutboundError | None:
    """Raises EOFError where the child ended in the middle."""
    length = done.read(8)
    content = done.read(int.from_bytes(length))
    if len(length) < 8 or len(content) < int.from_bytes(length):
        raise EOFError
    return cast("ReadLot | OutboundError | None", pickle.loads(content))  # noqa: S301 - from our own child


def serve() -> None:
    """Be the child: answer with the lots, then None; or with what is wrong with the list."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; without it nobody reads, and we end
    job: _Job = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    out = sys.stdout.buffer
    # The collector would go through all of the metadata and all of the lot again and again, and find nothing.
    gc.freeze()
    gc.disable()
    with os.fdopen(job.fileno, "rb") as file:
        try:
            rows = islice(read_table(file, job.shape).rows, job.skip, None)
            for lot in lots(job.reader, rows, job.size):
                _send(ReadLot(prepare(lot), file.tell()), out)
                gc.collect()
            _send(None, out)
        except OutboundError as problem:
            _send(problem, out)
        except BrokenPipeError:
            os._exit(1)
