"""How a file of people is written: packed or not, in which format and encoding, and what separates its cells.

The file is read once from its beginning to its end for that: a byte that is no UTF-8 may come in its last row, and the
digest by which an interrupted import is known again needs all of it.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, BinaryIO, Final, TextIO, cast

from campaigns.errors import InvalidList

PIECE: Final = 1 << 20  # bytes; a file is never in memory as a whole
_BUFFER: Final = 1 << 16  # bytes; small enough that what was read is nearly what was taken

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_PDF: Final = b"%PDF"
_OLD_SPREADSHEET: Final = b"\xd0\xcf\x11\xe0"  # XLS, and XLSX with a password
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as the mark of UTF-16 does
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NOT_OF_FILES: Final = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})
"""Encodings of names and of source code: text of several lines is not in them, and errors cost all of it."""
_LONE: Final = "outbound-lone-surrogates"
_BROKEN: Final = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII: Final = re.compile("[\u0080-\ud7ff\ue000-\U0010ffff]")
_SAMPLE: Final = 1_000  # bytes; enough to tell text of two bytes a letter from text of one
_SEPARATORS: Final = ",;\t|"
_SEPARATOR_SAID: Final = re.compile(r"\s*sep=(.)\r?\n", re.IGNORECASE)  # how Excel is told
_IN_QUOTES: Final = re.compile(r'"[^"]*"')
_LINES: Final = 20  # as many of them tell an unusual separator from a letter


class Format(StrEnum):
    """What lists of people come as."""

    CSV = "csv"
    XLSX = "xlsx"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a file is written. None: not said yet, or nothing that its format has."""

    format: Format | None = None
    packed: bool | None = None
    """Whether by gzip."""
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    """Of a spreadsheet; None: its first."""


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A file that was read through once."""

    shape: Shape
    digest: str
    """SHA-256 of its bytes."""
    size: int


NOTHING_SAID: Final = Shape()


def survey(file: BinaryIO, wanted: Shape = NOTHING_SAID) -> Surveyed:
    """How the file is written, as far as `wanted` does not say. The file must be seekable, and is left at its start.

    Raises `InvalidList` for what is no list of people in any form that can be read.
    """
    start = file.read(len(_ZIP))
    file.seek(0)
    if start == _OLD_SPREADSHEET:
        raise InvalidList("the file is an old or a password-protected spreadsheet: save it as XLSX, or as CSV")
    if start.startswith(_PDF):
        raise InvalidList("the file is a PDF: save the list as CSV or XLSX")
    counting = _Counting(file)
    if wanted.format is Format.XLSX or (wanted.format is None and start == _ZIP):
        shape = replace(wanted, format=Format.XLSX, packed=False)
    else:
        packed = start.startswith(_GZIP) if wanted.packed is None else wanted.packed
        shape = _shape_of_text(_unpacked(cast("BinaryIO", counting), packed=packed), replace(wanted, packed=packed))
    while counting.read(PIECE):
        pass  # what was not needed to know the shape belongs to the digest, too
    file.seek(0)
    return Surveyed(shape, counting.digest.hexdigest(), counting.size)


def decoded(file: BinaryIO, shape: Shape) -> TextIO:
    """The text of a surveyed file. Bytes that are none in its encoding become lone surrogates, which no text has, or
    the mark of replacement where letters are of two bytes.
    """
    errors = "replace" if (shape.encoding or "").startswith(("utf-16", "utf-32")) else _LONE
    unpacked = _unpacked(file, packed=shape.packed is True)
    borrowed = io.BufferedReader(_Borrowed(unpacked), _BUFFER)
    return io.TextIOWrapper(borrowed, encoding=shape.encoding, errors=errors, newline="")


def _lone_surrogates(problem: UnicodeError) -> tuple[str, int]:
    """As `surrogateescape` does, but also for ASCII: in UTF-7 and its like that may be broken, too."""
    if not isinstance(problem, UnicodeDecodeError):
        raise problem
    return "".join(chr(0xDC00 + byte) for byte in problem.object[problem.start : problem.end]), problem.end


codecs.register_error(_LONE, _lone_surrogates)


def _unpacked(file: BinaryIO, *, packed: bool) -> BinaryIO:
    return cast("BinaryIO", _Unpacked(file)) if packed else file


def _shape_of_text(file: BinaryIO, wanted: Shape) -> Shape:
    evidence = _Evidence()
    while piece := file.read(PIECE):
        evidence.add(piece)
    encoding = _known(wanted.encoding) if wanted.encoding is not None else evidence.encoding()
    try:
        beginning = codecs.getincrementaldecoder(encoding)("replace").decode(evidence.start)
    except UnicodeError as problem:
        raise InvalidList(f"the file is not {encoding}: leave --encoding out, or say another ({problem})") from None
    if wanted.encoding is None and "\x00" in beginning[:_SAMPLE].partition("\n")[0]:
        raise InvalidList("the file is not text: save the list as CSV or XLSX")
    format_ = wanted.format or _format(beginning)
    delimiter = wanted.delimiter or (_delimiter(beginning) if format_ is Format.CSV else None)
    return replace(wanted, format=format_, encoding=encoding, delimiter=delimiter)


class _Unpacked:
    """What a gzipped file holds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=file)

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise InvalidList(f"the packed file is damaged, get it once more: {problem}") from problem


class _Borrowed(io.RawIOBase):
    """A file that stays open when its text is read: somebody else closes it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Counting:
    """A file whose size and digest are known once it was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.size += len(piece)
        self.digest.update(piece)
        return piece


class _Evidence:
    """What the bytes of a file say of their encoding."""

    def __init__(self) -> None:
        self.start = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._begun = False
        self._broken = 0
        self._whole = 0

    def add(self, piece: bytes) -> None:
        """Look at the next piece of the file."""
        self.start += piece[: PIECE - len(self.start)]
        if not piece.isascii() or self._begun:
            self._count(self._decoder.decode(piece))
            self._begun = bool(self._decoder.getstate()[0])  # a letter may go on in the next piece

    def encoding(self) -> str:
        """The encoding, once all of the file was looked at."""
        said = next((name for mark, name in _MARKS.items() if self.start.startswith(mark)), None)
        if said is not None:
            return said
        odd, even = (self.start[place:_SAMPLE:2] for place in (1, 0))
        for zeros, letters, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
            if zeros.count(0) > len(zeros) * 0.7 and 0 not in letters:
                return name
        self._count(self._decoder.decode(b"", final=True))
        # A few broken bytes among whole letters are a few broken rows; with hardly a whole letter it is no UTF-8.
        return "utf-8" if self._whole >= self._broken else "cp1252"

    def _count(self, text: str) -> None:
        self._broken += len(_BROKEN.findall(text))
        self._whole += len(_BEYOND_ASCII.findall(text))


def _known(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding).name
        "a".encode(encoding)  # raises for what makes no bytes of text, such as rot13 and hex
    except (LookupError, ValueError, TypeError):
        found = None
    if found is None or found in _NOT_OF_FILES:
        raise InvalidList(
            f"there is no encoding {encoding!r} of files: say one such as utf-8, utf-16 or cp1252"
        ) from None
    return found


def _format(beginning: str) -> Format:
    match beginning.lstrip()[:1]:
        case "{":
            return Format.JSONL
        case "[":
            raise InvalidList("the file is one JSON array: write one object to a line (JSON lines)")
    return Format.CSV


def _delimiter(beginning: str) -> str:
    """What separates the cells of the header."""
    if said := _SEPARATOR_SAID.match(beginning):
        return said[1]
    lines = [_IN_QUOTES.sub("", line) for line in beginning.splitlines()[:_LINES] if line.strip()]
    header = lines[0] if lines else ""
    common = max(_SEPARATORS, key=header.count)  # the first of equals: the comma
    if common in header:
        return common
    unusual = Counter(letter for letter in header if not letter.isalnum() and letter not in " _-.'\"#()/+\ufeff")
    for letter, times in unusual.most_common():
        if all(line.count(letter) == times for line in lines):
            return letter
    return common
