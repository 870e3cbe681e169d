"""Text with separated cells, CSV as people have it: each row that cannot be read costs itself alone."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import Final, TextIO

from campaigns.errors import InvalidList
from campaigns.rules.people_file.rows import Row, Table, own_names, printable

LONGEST_CELL: Final = 131_072  # characters; a spreadsheet cell holds 32 767, so more is a broken quotation mark
LONGEST_LINE: Final = 1_048_576  # characters; a real row has thousands, and a file of one line must not fill the memory


def read_csv_rows(text: TextIO, delimiter: str) -> Table:
    """The header of the file, and its rows one by one: nothing but the current row is in memory.

    Raises `InvalidList` where there is no header.
    """
    reader = _Reader(_Lines(text), delimiter)
    try:
        header = next(cells for cells in reader if any(cell.strip() for cell in cells) and not _says_separator(cells))
    except csv.Error as problem:
        raise InvalidList(f"the header cannot be read as CSV: {problem}") from problem
    except StopIteration:
        raise InvalidList(
            "the file is empty: its first row must name the columns, one of them the phone number"
        ) from None
    if "\x00" in "".join(header):
        raise InvalidList("the header has a NUL character: the file is not text, save the list as CSV or XLSX")
    names = own_names([printable(cell) for cell in _without_end(header)])
    return Table(names, _rows(reader, len(names)))


class _Lines:
    """The lines of a file, the number of the latest, and a way back to where the current row began."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._ahead: deque[str] = deque()
        self._taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        if len(line) >= LONGEST_LINE and line[-1] not in "\r\n":
            while (rest := self._text.readline(LONGEST_LINE)) and rest[-1] not in "\r\n":
                pass
            raise csv.Error(f"a line of more than {LONGEST_LINE:,} characters")
        return line

    def begin_row(self) -> None:
        """The next line is the first of a row."""
        self._taken.clear()

    def give_back(self, *, keep: int) -> str:
        """Offer all but the first `keep` lines since the row began once more; returns what is kept."""
        again = self._taken[keep:]
        self._ahead.extendleft(reversed(again))
        self.number -= len(again)
        return "".join(self._taken[:keep])


class _Reader:
    """A CSV reader over lines that can begin anew after a row that it could not read."""

    def __init__(self, lines: _Lines, delimiter: str) -> None:
        self.lines = lines
        self._delimiter = delimiter
        self.begin_anew()

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self.lines.begin_row()
        return next(self._cells)

    def begin_anew(self) -> None:
        """Forget a row that was half read."""
        csv.field_size_limit(LONGEST_CELL)
        # Strict, because a lax reader takes everything from a stray quotation mark to the next one for a single cell,
        # and the people in between would be lost without a word.
        self._cells = csv.reader(self.lines, delimiter=self._delimiter, strict=True)


def _says_separator(cells: list[str]) -> bool:
    """Whether it is the line by which Excel is told what separates cells."""
    return cells[0].strip().lower().startswith("sep=") and not any(cell.strip() for cell in cells[1:])


def _without_end(header: list[str]) -> list[str]:
    """The header without what nameless columns follow its last name: separators that a spreadsheet left behind."""
    last = max(place for place, cell in enumerate(header) if cell.strip())
    return header[: last + 1]


def _rows(reader: _Reader, width: int) -> Iterator[Row]:
    lines = reader.lines
    while True:
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # What a quotation mark swallowed after its own line is read once more: those rows are somebody else.
            first = lines.give_back(keep=1)
            why = f"cannot be read as CSV, check its quotation marks: {error}"
            yield Row(line, (), why, printable(first), len(first))
            reader.begin_anew()
            continue
        whole = "".join(cells)
        if whole.isascii() and "\x00" not in whole:
            stripped, problem = [cell.strip() for cell in cells], None
        else:
            stripped, problem = [printable(cell) for cell in cells], _what_is_no_text(whole)
        if len(stripped) == width:
            if problem is None and not whole.strip():
                continue
            yield Row(line, stripped, problem, None, len(whole))
            continue
        surplus = [cell for cell in stripped[width:] if cell]
        if not surplus and not any(stripped):
            continue
        cells = [*stripped[:width], *[""] * (width - len(stripped))]
        if surplus:
            yield Row(
                line,
                cells,
                f"has {len(stripped)} cells where the header has {width} columns",
                ", ".join(surplus),
                len(whole),
            )
        else:
            yield Row(line, cells, problem, None, len(whole))


def _what_is_no_text(whole: str) -> str | None:
    if "\x00" in whole:
        return "contains a NUL character"
    try:
        whole.encode()
    except UnicodeEncodeError:
        return "is not text in the encoding of the file: correct it, or say --encoding"
    return None
