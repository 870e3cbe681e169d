"""What is odd in a file costs its own row, or the whole file one line: never more."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, datetime
from typing import BinaryIO, cast

import openpyxl
import pytest

from campaigns.errors import InvalidList
from campaigns.pipeline.importing.preparing import prepare
from campaigns.rules.definition import Mapping_
from campaigns.rules.people_file import Format, Row, Shape, read_table, survey
from campaigns.rules.people_file.columns import choose
from campaigns.rules.people_file.people import Lot, Reader, read_lot
from campaigns.rules.people_file.rows import own_names

JSON_PHONE = '"phone": "+12125550101"'
NO_MOMENT = "is not a moment such as 2026-03-02 or 2026-03-02T09:30"
NO_PRIORITY = "is not a whole number from -100 to 100: the higher, the sooner"
NO_JSON = "cannot be read as JSON"
TOO_DEEP = "holds objects or lists within one another, more than 20 deep"


def rows_of(content: bytes, wanted: Shape | None = None) -> tuple[tuple[str, ...], list[Row]]:
    file = io.BytesIO(content)
    table = read_table(file, survey(file, wanted or Shape()).shape)
    return table.header, list(table.rows)


def read(content: str | bytes, wanted: Shape | None = None) -> Lot:
    """The people of a list, who can be stored, and its rejected rows."""
    header, rows = rows_of(content if isinstance(content, bytes) else content.encode(), wanted)
    columns = choose(header, Mapping_(), sample=[row.cells for row in rows if row.problem is None])
    lot = read_lot(Reader(columns, "US", overridable=frozenset({"model"})), rows)
    prepare(lot)
    return lot


def reasons(content: str) -> list[str]:
    return [each.reason for each in read(content).rejections]


@pytest.mark.parametrize("column", ["not before", "consent at"])
@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01", "0001-01-01T00:00+14:00", "1969-12-31", "2200-01-01", "9999-12-31T23:59",
        "9999-12-31T23:59-12:00", "1970-01-01T00:00+14:00", "2199-12-31T23:59-12:00",
    ],
)  # fmt: skip
def test_a_moment_outside_the_years_that_people_mean_is_none(column: str, moment: str) -> None:
    assert reasons(f"phone,{column}\n+12125550101,{moment}\n") == [NO_MOMENT]


def test_a_moment_must_also_be_one_on_the_clock_of_the_person() -> None:
    assert reasons("phone,not before\n+12125550101,2199-12-31T23:00\n") == [NO_MOMENT]


def test_an_offset_that_the_database_has_not_is_still_the_same_moment() -> None:
    lot = read("phone,not before,consent at\n+12125550101,2026-03-02T09:30+23:59,2026-03-02T09:30-23:59\n")
    (who,) = lot.people
    assert who.not_before is not None
    assert who.not_before.isoformat() == "2026-03-01T09:31:00+00:00"
    assert who.consent is not None
    assert who.consent.obtained_at is not None
    assert who.consent.obtained_at.isoformat() == "2026-03-03T09:29:00+00:00"


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-01T01:30", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),  # twice in New York: at 05:30 and 06:30
        ("2026-03-08T02:30", datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),  # never in New York: 03:30 or 01:30 is meant
    ],
)
def test_an_hour_that_is_there_twice_or_never_takes_the_later_moment(written: str, moment: datetime) -> None:
    (who,) = read(f"phone,zone,not before\n+12125550101,America/New_York,{written}\n").people
    assert who.not_before == moment


@pytest.mark.parametrize(
    "priority",
    [
        "+-5",
        "--5",
        "9" * 5_000,
        "101",
        "-101",
        "0005",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "\N{FULLWIDTH DIGIT FIVE}",
        "1.0",
    ],
)
def test_a_priority_that_is_no_small_number_costs_its_row(priority: str) -> None:
    assert reasons(f"phone,priority\n+12125550101,{priority}\n") == [NO_PRIORITY]


def test_a_priority_may_have_a_sign() -> None:
    lot = read("phone,priority\n+12125550101,+5\n+12125550102,-100\n+12125550103,007\n")
    assert [who.priority for who in lot.people] == [5, -100, 7]


@pytest.mark.parametrize("depth", [20, 21, 300, 900])
@pytest.mark.parametrize("kind", ["list", "object"])
def test_what_is_nested_too_deep_costs_its_row(depth: int, kind: str) -> None:
    opening, closing = {"list": ("[", "]"), "object": ('{"a":', "}")}[kind]
    inner = f"{opening * depth}0{closing * depth}"
    good = '{"phone": "+12125550102", "x": [1, [2]], "overrides": {"model": {"a": [1]}}}'
    assert reasons(f'{{{JSON_PHONE}, "x": {inner}}}\n{good}\n') == [TOO_DEEP]
    assert reasons(f'{{{JSON_PHONE}, "overrides": {{"model": {inner}}}}}\n{good}\n') == [TOO_DEEP]
    (who,) = read(f'{{{JSON_PHONE}, "x": {inner}}}\n{good}\n').people
    assert who.overrides == {"model": {"a": [1]}}


@pytest.mark.parametrize("depth", [20, 300, 900])
def test_overrides_that_are_text_may_not_be_deeper_either(depth: int) -> None:
    text = f'"{{""model"":{"[" * depth}{"]" * depth}}}"'
    assert reasons(f"phone,overrides\n+12125550101,{text}\n") == [TOO_DEEP]


@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_what_no_parser_can_follow_is_no_json(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    assert reasons(f'{{{JSON_PHONE}, "x": {deep}}}\n{{{JSON_PHONE}}}\n') == [NO_JSON]


def test_overrides_that_are_text_are_stored_as_objects_are() -> None:
    (as_text,) = read('phone,overrides\n+12125550101,"{""model"": ""a\\u0000b""}"\n').people
    (as_object,) = read(f'{{{JSON_PHONE}, "overrides": {{"model": "a\\u0000b"}}}}\n').people
    assert as_text.overrides == as_object.overrides == {"model": "a\N{REPLACEMENT CHARACTER}b"}


def test_whatever_is_wrong_with_json_is_one_reason() -> None:
    broken = [
        '{bad "phone": 1}',
        '{"phone": }',
        '{"phone": "+1212',
        '{"phone": 1e400}',
        '{"phone": ' + "9" * 5_000 + "}",
        '{"phone": "\\ud800"}',
    ]
    lot = read("\n".join([f"{{{JSON_PHONE}}}", *broken]))
    assert [each.reason for each in lot.rejections] == [NO_JSON] * len(broken)
    assert [each.value for each in lot.rejections] == broken
    assert reasons('phone,overrides\n+12125550101,{\n+12125550102,"{""model"": }"\n') == [NO_JSON] * 2


def test_a_number_that_lost_its_digits_is_no_telephone_number() -> None:
    (rejection,) = read('{"phone": 4.9151E+12}\n').rejections
    assert rejection.value == "4.9151E+12"
    assert "spreadsheet" in rejection.reason


@pytest.mark.parametrize("first", ["9007199254740992", "123456789012345678901", "9" * 199 + "1"])
def test_long_ids_stay_as_they_are_and_apart(first: str) -> None:
    second = str(int(first) + 1)
    lot = read(f'{{{JSON_PHONE}, "id": {first}}}\n{{"phone": "+12125550102", "id": {second}}}\n')
    assert [who.external_id for who in lot.people] == [first, second]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12.5", 12.5),
        ("12.50", 12.5),
        ("-7", -7),
        ("true", True),
        ("123456789012345", 123456789012345),
        ("9007199254740992", 9007199254740992),
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740992", -9007199254740992),
        ("-9007199254740993", "-9007199254740993"),
        ("0.1234567890123456", "0.1234567890123456"),
        ("12345678.90123456", "12345678.90123456"),
        ("1e3", "1e3"),
        ("1.50E-3", "1.50E-3"),
        ('"1e3 and 12345678901234567890"', "1e3 and 12345678901234567890"),
        ("[12345678901234567890, 1e3]", ["12345678901234567890", 1000.0]),
    ],
)
def test_a_number_never_becomes_another_one(written: str, value: object) -> None:
    (who,) = read(f'{{{JSON_PHONE}, "x": {written}}}\n').people
    assert who.variables == {"x": value}
    assert type(who.variables["x"]) is type(value)


def test_a_number_inside_overrides_stays_one() -> None:
    (who,) = read(f'{{{JSON_PHONE}, "overrides": {{"model": {{"temperature": 1e-1}}}}}}\n').people
    assert who.overrides == {"model": {"temperature": 0.1}}
    (who,) = read('phone,overrides\n+12125550101,"{""model"": 1e-1}"\n').people
    assert who.overrides == {"model": 0.1}


SHEET = b"<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'><sheetData>%s</sheetData></worksheet>"


def workbook(part: str = "", content: bytes | None = None) -> bytes:
    """A spreadsheet of which one part is something else, or only its first half."""
    book, whole, changed = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    sheet.append(["phone"])
    for turn in range(200):
        sheet.append([f"+1212555{turn:04}"])
    book.save(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            held = old.read(name)
            new.writestr(name, held if name != part else content or held[: len(held) // 2])
    return changed.getvalue()


def other_files() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("list.csv", "phone\n+12125550101\n")
    return packed.getvalue()


def overwritten(content: bytes, part: str) -> bytes:
    """The file with zeros in the middle of what a part of it is packed as."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        place = new.getinfo(part).header_offset + 100
    damaged = bytearray(packed.getvalue())
    damaged[place : place + 200] = bytes(200)
    return bytes(damaged)


@pytest.mark.parametrize(
    "content",
    [
        workbook("xl/worksheets/sheet1.xml"),
        workbook("xl/worksheets/sheet1.xml", SHEET % b"<row r='x'/>"),
        workbook("xl/workbook.xml"),
        workbook("xl/_rels/workbook.xml.rels"),
        workbook("xl/styles.xml"),
        workbook("[Content_Types].xml"),
        overwritten(workbook(), "xl/worksheets/sheet1.xml"),
        overwritten(workbook(), "xl/styles.xml"),
        workbook()[:-100],
        workbook()[:1_000],
        other_files(),
        b"PK\x03\x04",
        b"phone\n+12125550101\n",
    ],
    ids=[
        "half a sheet", "a row of no number", "half a workbook", "half of what belongs together",
        "half of its styles", "half of what it holds", "a broken sheet", "broken styles", "without its end",
        "a beginning", "other files", "hardly anything", "no archive",
    ],
)  # fmt: skip
def test_a_damaged_spreadsheet_is_one_line_in_plain_words(content: bytes) -> None:
    with pytest.raises(InvalidList, match=r"^(the file is an archive or a damaged|the spreadsheet is damaged)") as told:
        read(content, Shape(format=Format.XLSX))
    assert str(told.value).endswith("open it in a spreadsheet program, and save the list as XLSX or CSV")


def test_a_sheet_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(InvalidList, match="there is no sheet 'People'; the file has: Sheet"):
        read(workbook(), Shape(sheet="People"))


def test_what_a_spreadsheet_lacks_of_styles_is_nobodys_business() -> None:
    styles = b"<styleSheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'/>"
    assert read(workbook("xl/styles.xml", styles)).rows == 200


def test_the_rows_of_a_spreadsheet_are_counted_by_their_characters() -> None:
    book, written = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for cells in (["phone", "name"], ["+12125550101", "Ana"], ["+12125550102", "Bo", "x" * 1_000]):
        sheet.append(cells)
    book.save(written)
    _, rows = rows_of(written.getvalue())
    assert [row.size for row in rows] == [15, 1_014]


@pytest.mark.parametrize("damage", ["ends early", "broken inside", "no gzip any more", "other content"])
@pytest.mark.parametrize("line", [b"+1212555%04d,Name\n", b'{"phone": "+1212555%04d"}\n'], ids=["csv", "jsonl"])
def test_a_packed_file_that_was_damaged_after_it_was_looked_at_is_one_line(damage: str, line: bytes) -> None:
    lines = (b"" if line.startswith(b"{") else b"phone,name\n") + b"".join(line % turn for turn in range(10_000))
    packed = gzip.compress(lines, mtime=0)
    half = len(packed) // 2
    damaged = {
        "ends early": packed[:half],
        "broken inside": packed[:half] + b"\xff" * 500 + packed[half + 500 :],
        "no gzip any more": lines,
        "other content": packed[:-8] + bytes(8),
    }[damage]
    shape = survey(io.BytesIO(packed)).shape
    with pytest.raises(InvalidList, match="the packed file is damaged, get it once more"):
        list(read_table(io.BytesIO(damaged), shape).rows)


@pytest.mark.parametrize(
    "encoding",
    [
        "idna", "punycode", "unicode_escape", "unicode-escape", "raw_unicode_escape", "undefined", "rot13", "rot_13",
        "hex", "base64", "bz2", "zlib", "quopri", "uu", "nothing", "utf-8\x00", "",
    ],
)  # fmt: skip
def test_an_encoding_that_no_file_has_is_one_line(encoding: str) -> None:
    with pytest.raises(InvalidList, match="there is no encoding"):
        survey(cast("BinaryIO", io.BytesIO(b"phone,name\n+12125550123,a\xff\\xzz\n")), Shape(encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-7", "iso2022_jp", "hz", "shift_jis", "gb18030", "cp1252", "U8", "latin-1"])
def test_bytes_that_are_none_of_the_encoding_cost_their_rows_at_most(encoding: str) -> None:
    lot = read(b"phone,name\n+12125550101,Ana\n2125550102,a\xff+\x1b~z\x81 \n2125550103,Bo\n", Shape(encoding=encoding))
    assert lot.rows == 3
    assert {who.number for who in lot.people} >= {"+12125550103"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf_16", "UTF16", "u16", "utf_16_le", "UTF-16LE", "utf_32"])
def test_an_encoding_may_be_called_as_it_is_elsewhere(encoding: str) -> None:
    broken = {"utf_32": b"\xff\xff\xff\xff"}.get(encoding, b"\x00\xdc")
    content = "phone,name\n+12125550101,".encode(encoding) + broken + "\n".encode(encoding)[-4 if broken[0] else -2 :]
    (who,) = read(content, Shape(encoding=encoding)).people
    assert (who.number, who.name) == ("+12125550101", "\N{REPLACEMENT CHARACTER}")


def test_a_heading_that_is_there_very_often_gets_as_many_names() -> None:
    names = own_names([*["a"] * 20_000, *[""] * 20_000, "a 2"])
    assert len(set(names)) == len(names) == 40_001
    assert (names[0], names[1], names[19_999], names[20_000], names[-1]) == (
        "a", "a 3", "a 20001", "column 20001", "a 2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "role", "cell"),
    [("言語", "language", "ja"), ("都道府県", "region", "TX"), ("郵便番号", "postal_code", "10001"),
     ("código postal", "postal_code", "10001"), ("Codigo Postal", "postal_code", "10001")],
)  # fmt: skip
def test_headings_of_other_languages_are_understood(heading: str, role: str, cell: str) -> None:
    header, _ = rows_of(f"電話,{heading}\n+12125550101,{cell}\n".encode())
    assert choose(header, Mapping_()).named() == {"phone": "電話", role: heading}
