"""A sheet of an XLSX workbook, row by row, its values as a person sees them."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO, Final

import openpyxl

from campaigns.errors import InvalidList
from campaigns.rules.people_file.rows import Row, Table, own_names, printable

MOST_TEXT: Final = 64 << 20  # bytes of different texts, which must be in memory at once: about a million of them
_TEXTS: Final = "xl/sharedStrings.xml"


def read_spreadsheet_rows(file: BinaryIO, sheet: str | None) -> Table:
    """The header of the sheet, the first one where none is named, and its rows one by one.

    Raises `InvalidList` for what is no spreadsheet, has no such sheet or no header.
    """
    warnings.filterwarnings("ignore", module=r"openpyxl\.")  # of styles and dates: nothing that one could do about it
    try:
        _refuse_what_is_too_much(file)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheets = {each.title: each for each in book.worksheets}
    except InvalidList:
        raise
    except Exception as problem:  # whatever is damaged, the library says so in another way
        raise InvalidList(
            "the file is an archive or a damaged spreadsheet: open it in a spreadsheet program, and save the list as "
            "XLSX or CSV"
        ) from problem
    if not sheets:
        raise InvalidList("the spreadsheet has no sheet with cells")
    if sheet is not None and sheet not in sheets:
        raise InvalidList(f"there is no sheet {sheet!r}; the file has: {', '.join(sheets)}")
    rows = _numbered(sheets[sheet] if sheet is not None else next(iter(sheets.values())))
    header = next(([_shown(cell) for cell in cells] for _, cells in rows if any(_shown(cell) for cell in cells)), None)
    if header is None:
        raise InvalidList("the sheet is empty: its first row must name the columns, one of them the phone number")
    names = own_names(_without_end(header))
    return Table(names, _rows(rows, len(names)))


def _refuse_what_is_too_much(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        if _TEXTS in archive.namelist() and archive.getinfo(_TEXTS).file_size > MOST_TEXT:
            raise InvalidList("the spreadsheet has more different texts than fit into memory: save the list as CSV")
    file.seek(0)


def _numbered(sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    line = 0
    try:
        for line, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            yield line, cells
    except Exception as problem:
        raise InvalidList(
            f"the spreadsheet is damaged after row {line:,}: open it in a spreadsheet program, and save the list as "
            "XLSX or CSV"
        ) from problem


def _rows(rows: Iterator[tuple[int, Sequence[Any]]], width: int) -> Iterator[Row]:
    for line, values in rows:
        cells = [_shown(value) for value in values]
        if not any(cells):
            continue
        surplus = [cell for cell in cells[width:] if cell]
        named = [*cells[:width], *[""] * (width - len(cells))]
        size = sum(map(len, cells))
        if surplus:
            why = f"has {len(cells)} cells where the header has {width} columns"
            yield Row(line, named, why, ", ".join(surplus), size)
        else:
            yield Row(line, named, None, None, size)


def _shown(value: Any) -> str:
    """A cell as text: whole numbers without a fraction, moments as ISO 8601."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime() if not (value.hour or value.minute or value.second or value.microsecond):
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return printable(str(value))


def _without_end(header: list[str]) -> list[str]:
    last = max(place for place, cell in enumerate(header) if cell)
    return header[: last + 1]
