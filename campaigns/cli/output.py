"""How results look: tables and progress for people, JSON for programs. Data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

notes = Console(stderr=True, highlight=False, emoji=False)
"""Where progress and remarks go."""

READABLE = 20  # columns for text that is folded: a word or two on each line
WIDEST = 10_000  # columns of a table that goes to a file or another program: no cell is cut into lines there


def say(text: str) -> None:
    """One line of remark, to stderr."""
    notes.print(one_line(text), markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """`value` as JSON, to stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, least: Sequence[str] = ()
) -> None:
    """A table, to stdout; numbers stand to the right. Without rows one line says that there is nothing.

    Where it is wider than the terminal, times and ids are shortened, then empty columns and those of `least` are left
    out, the first of them first, until it fits; which ones is said on stderr.
    """
    raw = [list(row) for row in rows]
    if not raw:
        typer.echo(f"{title}: none")
        return
    body = _cells(raw, brief=False)
    kept, left_out = list(columns), []
    if _too_wide(kept, body):
        body = _cells(raw, brief=True)
        empty = [column for turn, column in enumerate(columns) if not any(row[turn] for row in body)]
        for column in (*empty, *least):
            if column in kept and _too_wide(kept, body):
                turn = kept.index(column)
                kept.pop(turn)
                body = [row[:turn] + row[turn + 1 :] for row in body]
                left_out += [] if column in empty else [column]
    table = Table(title=title, title_justify="left")
    for turn, column in enumerate(kept):
        numeric = all(row[turn].replace(",", "").replace(".", "").isdigit() for row in body if row[turn])
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*row)
    Console(highlight=False, markup=False, emoji=False, width=width()).print(table)
    if left_out:
        say(f"not shown here: {', '.join(left_out)}; a wider terminal or --json has all")


def _cells(rows: Iterable[Sequence[Any]], *, brief: bool) -> list[list[str]]:
    return [[one_line(_brief(cell) if brief else _shown(cell)) for cell in row] for row in rows]


def _too_wide(columns: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether a table would fold more than long text, which may take a few lines."""
    longest = [max(len(name), *(len(row[turn]) for row in body)) for turn, name in enumerate(columns)]
    return sum(min(each, READABLE) + 3 for each in longest) + 1 > width()


def width() -> int:
    """How many columns there are: the terminal's, or what COLUMNS says; else as many as anything needs."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return WIDEST


def print_settings(title: str, values: Mapping[str, Any]) -> None:
    """What a file says, as a table: a key in a section as `section.key`, without what is not set."""
    print_table(title, ("key", "value"), _flat(values))


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    match value:
        case None | []:
            return
        case Mapping():
            for name, inner in value.items():
                yield from _flat(inner, f"{key}.{name}" if key else str(name))
        case [Mapping(), *_]:
            for turn, inner in enumerate(value, start=1):
                yield from _flat(inner, f"{key} #{turn}")
        case list():
            yield key, ", ".join(str(each) for each in value)
        case _:
            yield key, value


class _Count(ProgressColumn):
    """How many of how many, or how many so far where the end is not known; with the unit %, how much of it all."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The count as text."""
        if self._unit == "%":
            return Text(f"{task.percentage:3.0f} %")
        of = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{of} {self._unit}")


def bar(text: str, *, unit: str) -> Progress:
    """A progress bar on stderr that shows the count, its rate and the remaining time; nothing where nobody watches."""
    return Progress(
        TextColumn(text),
        BarColumn(),
        _Count(unit),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=notes,
        disable=not notes.is_terminal,
    )


def shown_path(path: Path) -> str:
    """The path as a person in the working directory would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def one_line(text: str) -> str:
    """`text` as a terminal may be given it: what a list or a provider wrote must not move its cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _shown(cell: Any) -> str:
    match cell:
        case None:
            return ""
        case datetime():
            return cell.strftime("%Y-%m-%d %H:%M:%S %Z")
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case _:
            return str(cell)


def _brief(cell: Any) -> str:
    """The same in little room: the time in UTC to the minute, the beginning of an id, which commands take as well."""
    match cell:
        case datetime():
            return f"{cell.astimezone(UTC):%m-%d %H:%M}"
        case UUID():
            return str(cell)[:8]
        case _:
            return _shown(cell)


def counted(number: int, what: str, many: str | None = None) -> str:
    """The number with the word for so many: 1 row, 2 rows."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case UUID() | Path():
            return str(value)
        case Decimal():
            return float(value)
        case Mapping():
            return dict(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")
