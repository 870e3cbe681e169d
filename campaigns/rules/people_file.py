"""What a CSV file of people says: which column is what, and its rows one by one, the unreadable ones included."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, TextIO

from campaigns.errors import InvalidList
from campaigns.rules.definition import RESERVED_VARIABLES, CampaignDefinition

LONGEST_CELL: Final = 131_072  # characters; a spreadsheet cell holds 32 767, so more is a broken quotation mark
LONGEST_LINE: Final = 1_048_576  # characters; a real row has thousands, and a file of one line must not fill the memory
REPORT_COLUMNS: Final = ("rejected_line", "rejected_column", "rejected_value", "rejected_reason")
"""What a file of rejected rows has beside the original columns; ignored when it is corrected and imported again."""

_HEADINGS: Final = {
    "phone": ("phone", "phone_number", "phonenumber", "telephone", "tel", "mobile", "cell", "number", "msisdn"),
    "name": ("name", "full_name", "fullname", "contact", "contact_name", "customer_name"),
    "external_id": ("external_id", "externalid", "id", "contact_id", "customer_id", "lead_id"),
    "extension": ("extension", "ext"),
    "zone": ("time_zone", "timezone", "zone", "tz"),
    "country": ("country", "country_code"),
    "region": ("state", "province", "state_code"),
}
"""Headings that are understood without being told, in small letters and with _ for spaces."""

_SAVE: Final = "save the list as CSV in UTF-8"
_NOT_TEXT: Final = {
    b"PK\x03\x04": f"the file is a spreadsheet or an archive, not CSV: {_SAVE}",
    b"\xd0\xcf\x11\xe0": f"the file is a spreadsheet, not CSV: {_SAVE}",
    b"\xff\xfe": f"the file is UTF-16 text: {_SAVE}",
    b"\xfe\xff": f"the file is UTF-16 text: {_SAVE}",
}
"""First bytes of what people mistake for CSV."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the file is what."""

    header: tuple[str, ...]
    phone: str
    name: str | None = None
    external_id: str | None = None
    extension: str | None = None
    zone: str | None = None
    country: str | None = None
    region: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """variable → column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file: its cells by column and, where it cannot be used as it stands, why."""

    line: int
    """Of its first line in the file, from 1."""
    cells: Mapping[str, str]
    problem: str | None = None
    text: str | None = None
    """What the problem is about, where that is more than the cells show."""


def read_rows(file: BinaryIO, definition: CampaignDefinition) -> tuple[Columns, Iterator[Row]]:
    """The columns of a CSV file, and its rows one by one: nothing but the current row is in memory.

    Cells may be separated by commas, semicolons or tabs: the header tells. Raises `InvalidList` where the file as a
    whole cannot be used: empty, not text, without a column of numbers.
    """
    lines = _Lines(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    try:
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise InvalidList("the file is empty: its first row must name the columns, one of them the phone number")
        _refuse_what_is_no_text(first)
        lines.give_back(keep=0)
        table = _Table(lines, _delimiter(first))
        header = next(cells for cells in table.reader if any(cell.strip() for cell in cells))
    except csv.Error as problem:
        raise InvalidList(f"the header cannot be read as CSV: {problem}") from problem
    except StopIteration:
        raise InvalidList("the first row is empty: it must name the columns, one of them the phone number") from None
    names = tuple(printable(cell) for cell in header)
    return _columns(names, definition), _rows(table, names)


def printable(text: str) -> str:
    """`text` without surrounding space, as the database can store it: what is no character becomes a mark."""
    return text.strip().replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


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


class _Table:
    """A CSV reader over lines that can begin anew after a row that it could not read."""

    def __init__(self, lines: _Lines, delimiter: str) -> None:
        self.lines = lines
        self._delimiter = delimiter
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget a row that was half read."""
        csv.field_size_limit(LONGEST_CELL)
        # Strict, because a lax reader takes everything from a stray quotation mark to the next one for a single cell,
        # and the people in between would be lost without a word.
        self.reader = csv.reader(self.lines, delimiter=self._delimiter, strict=True)


def _refuse_what_is_no_text(first: str) -> None:
    for start, problem in _NOT_TEXT.items():
        if first.encode("utf-8", "surrogateescape").startswith(start):
            raise InvalidList(problem)
    if "\x00" in first or _is_broken(first):
        raise InvalidList(f"the header is not UTF-8 text: {_SAVE}")


def _delimiter(first: str) -> str:
    outside_quotes = re.sub(r'"[^"]*"', "", first)
    return max(",;\t", key=outside_quotes.count)  # the first of equals: the comma


def _columns(header: tuple[str, ...], definition: CampaignDefinition) -> Columns:
    repeated = [name for name, times in Counter(name for name in header if name).items() if times > 1]
    if repeated:
        raise InvalidList(f"the column {repeated[0]!r} appears more than once: give each column a name of its own")
    mapping = definition.mapping
    wanted = mapping.model_dump(exclude={"variables"})
    by_heading = {name.lower().replace(" ", "_").replace("-", "_"): name for name in reversed(header) if name}
    found: dict[str, str | None] = {}
    for role, headings in _HEADINGS.items():
        explicit = wanted[role]
        if explicit is not None and explicit not in header:
            raise InvalidList(f"mapping.{role} names the column {explicit!r}; the file has: {_listed(header)}")
        found[role] = explicit or next((by_heading[heading] for heading in headings if heading in by_heading), None)
    phone = found.pop("phone")
    if phone is None:
        raise InvalidList(
            "no column of phone numbers: name one `phone`, or say which with mapping.phone; "
            f"the file has: {_listed(header)}"
        )
    for variable, column in mapping.variables.items():
        if column not in header:
            raise InvalidList(
                f"mapping.variables.{variable} names the column {column!r}; the file has: {_listed(header)}"
            )
    taken = {phone, *REPORT_COLUMNS, *found.values(), *mapping.variables.values()}
    variables = _own_names([name for name in header if name and name not in taken])
    return Columns(header=header, phone=phone, variables={**variables, **mapping.variables}, **found)


def _own_names(columns: Sequence[str]) -> dict[str, str]:
    """The columns that become variables under their own names."""
    variables: dict[str, str] = {}
    for column in columns:
        variable = _variable_name(column)
        if variable in RESERVED_VARIABLES:
            raise InvalidList(
                f"the column {column!r} would hide Vapi's own {variable!r}: "
                "rename it, or map it to another variable in mapping.variables"
            )
        if variable in variables:
            raise InvalidList(
                f"the columns {variables[variable]!r} and {column!r} would both be the variable {variable!r}: "
                "rename one, or map it to another variable in mapping.variables"
            )
        if variable:  # a heading such as # has no name that a prompt could use
            variables[variable] = column
    return variables


def _rows(table: _Table, header: tuple[str, ...]) -> Iterator[Row]:
    lines = table.lines
    while True:
        lines.begin_row()
        line = lines.number + 1
        try:
            cells = next(table.reader)
        except StopIteration:
            return
        except csv.Error as error:
            # What a quotation mark swallowed after its own line is read once more: those rows are somebody else.
            first = lines.give_back(keep=1)
            yield Row(line, {}, f"cannot be read as CSV, check its quotation marks: {error}", printable(first))
            table.begin_anew()
            continue
        if not any(cell.strip() for cell in cells):
            continue
        surplus = [cell for cell in cells[len(header) :] if cell.strip()]
        problem: str | None = None
        text: str | None = None
        if surplus:
            problem = f"has {len(cells)} cells where the header has {len(header)} columns"
            text = printable(", ".join(surplus))
        elif _is_broken("".join(cells)):
            problem = f"is not UTF-8 text: {_SAVE}"
        elif any("\x00" in cell for cell in cells):
            problem = "contains a NUL character"
        padded = [*cells, *[""] * (len(header) - len(cells))]
        named = {name: printable(cell) for name, cell in zip(header, padded, strict=False) if name}
        yield Row(line, named, problem, text)


def _is_broken(text: str) -> bool:
    """Whether bytes were in it that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _variable_name(column: str) -> str:
    """A heading as a prompt can name it: `First name` is used as {{first_name}}."""
    return "_".join("".join(letter if letter.isalnum() else " " for letter in column.lower()).split())


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(name[:40] or "(no name)" for name in header[:12])
    return shown if len(header) <= 12 else f"{shown} and {len(header) - 12} more"
