"""What a file of people says, whatever it was written as: which column is what, and its rows one by one."""

from __future__ import annotations

from typing import BinaryIO

from campaigns.rules.people_file.csv_rows import read_csv_rows
from campaigns.rules.people_file.detecting import NOTHING_SAID, Format, Shape, Surveyed, decoded, survey
from campaigns.rules.people_file.rows import Row, Table, printable

__all__ = ["NOTHING_SAID", "Format", "Row", "Shape", "Surveyed", "Table", "printable", "read_table", "survey"]


def read_table(file: BinaryIO, shape: Shape) -> Table:
    """The header and the rows of a surveyed file, which is at its start; only the current rows are in memory.

    Raises `InvalidList` where the file as a whole cannot be used.
    """
    match shape.format:
        case Format.XLSX:
            from campaigns.rules.people_file.spreadsheet_rows import read_spreadsheet_rows  # noqa: PLC0415

            return read_spreadsheet_rows(file, shape.sheet)
        case Format.JSONL:
            from campaigns.rules.people_file.json_rows import gather_keys, read_json_rows  # noqa: PLC0415

            keys = gather_keys(decoded(file, shape))
            file.seek(0)
            return read_json_rows(decoded(file, shape), keys)
    return read_csv_rows(decoded(file, shape), shape.delimiter or ",")
