"""`outbound prospects import` as people use it: looked at first, told otherwise, and handed over."""

from __future__ import annotations

import csv
import gzip
from uuid import UUID

import pytest

from campaigns.lists.bringing import bring_handed_over
from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound

SAYS = CAMPAIGN.replace('assistant_id = "a8b0f3f2-51a4-4e0f-8d3b-2b1f5c7d9e10"\n', "") + (
    "\n[assistant]\nfirstMessage = \"Hello {{first_name}}, your plan is {{plan | default: 'none'}}. {{closing}}\"\n"
)
PEOPLE = "phone,first_name,mobile\n(212) 555-0101,Ana,(212) 555-0111\n(212) 555-0102,,(212) 555-0112\n"


@pytest.fixture
def ready(outbound: Outbound) -> Outbound:
    """An account, and a campaign whose assistant comes with each call."""
    outbound.write("vapi.toml", ACCOUNT)
    outbound.write("spring.toml", SAYS + '[variables]\nclosing = "Goodbye"\n')
    outbound.write("people.csv", PEOPLE)
    outbound("accounts", "apply", "vapi.toml")
    outbound("campaign", "apply", "spring.toml", "--json").json()
    return outbound


def bring(*more: str, file: str = "people.csv") -> tuple[str, ...]:
    return ("prospects", "import", file, "--campaign", "spring", *more)


def test_a_preview_says_how_the_list_is_read_and_stores_nothing(ready: Outbound) -> None:
    shown = ready(*bring("--preview"))
    assert shown.code == 0
    assert "the file is csv, utf-8, cells separated by ','" in shown.err
    for words in ("phone", "{{first_name}}", "{{mobile}}", "+12125550101", "nothing is stored", "1 would be rejected"):
        assert words in shown.out
    found = ready(*bring("--preview", "--json")).json()
    assert (found["rows"], found["people"], found["rejected"]) == (2, 1, 1)
    assert found["reasons"] == {
        "first_name: is empty, but the assistant says {{first_name}}: fill it in, or give it in [variables]": 1
    }
    assert found["first"][0]["phone"] == "+12125550101"
    assert ready("prospects", "imports", "--json").json() == []


def test_a_preview_shows_the_columns_of_a_list_that_lacks_a_variable_and_says_so(ready: Outbound) -> None:
    ready.write("list.csv", "phone,Vorname\n2125550101,Ana\n")
    shown = ready(*bring("--preview", file="list.csv"))
    assert shown.code == 1
    assert "{{vorname}}" in shown.out
    assert shown.err.splitlines()[-1].startswith(
        "outbound: the assistant says {{first_name}}, but the list has no such"
    )


def test_columns_and_forms_can_be_said(ready: Outbound) -> None:
    content = "a|b\n030 901820|Ana\n089 12345678|Bo\n".encode("cp1252")
    ready.write("list.dat", gzip.compress(content))
    said = ("--column", "phone=a", "--column", "variables.first_name=b", "--region", "DE", "--delimiter", "|")
    said += ("--encoding", "cp1252", "--format", "csv")
    found = ready(*bring(*said, "--json", file="list.dat")).json()
    assert (found["new"], found["rejected"]) == (2, 0)
    assert found["file"] == {"format": "csv", "packed": True, "encoding": "cp1252", "delimiter": "|"}
    assert found["columns"] == {"phone": "a", "variables": {"first_name": "b"}}


@pytest.mark.parametrize(
    ("more", "content", "words"),
    [
        ((), "phone\n2125550101\n", "the assistant says {{first_name}}, but the list has no such column"),
        (("--column", "fone=phone"), PEOPLE, "--column 'fone=phone': say ROLE=HEADING or variables.NAME=HEADING; a"),
        (("--column", "variables.now=phone"), PEOPLE, "--column 'variables.now=phone': the variable is filled in by"),
        (("--column", "phone=Fon"), PEOPLE, "mapping.phone names the column 'Fon'; the file has: phone, first_name"),
        (("--delimiter", "||"), PEOPLE, "--delimiter '||': say one character, or tab"),
        (("--encoding", "utf-9"), PEOPLE, "there is no encoding 'utf-9'"),
        (("--region", "UK"), PEOPLE, "default region 'UK' is not a country code such as US or DE"),
        (("--sheet", "x", "--format", "xlsx"), PEOPLE, "the file is an archive or a damaged spreadsheet"),
        ((), "phone,first_name,now\n2125550101,Ana,1\n", "the column 'now' would hide Vapi's own 'now'"),
        ((), "phone,first_name,First Name\n1,a,b\n", "would both be the variable 'first_name'"),
        ((), '[{"phone": 1}]', "the file is one JSON array: write one object to a line"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_and_nothing_is_stored(
    ready: Outbound, more: tuple[str, ...], content: str, words: str
) -> None:
    ready.write("list.csv", content)
    assert words in ready(*bring(*more, file="list.csv")).wrong()
    assert ready("prospects", "imports", "--json").json() == []


def test_the_rejected_rows_are_corrected_and_come_again(ready: Outbound) -> None:
    first = ready(*bring())
    assert "2 rows: 1 new, 0 already there, 1 rejected" in first.out
    path = ready.directory / "people.rejected.csv"
    with path.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["rejected_line"], row["rejected_column"], row["mobile"]) == ("3", "first_name", "(212) 555-0112")
    path.write_text(path.read_text().replace("(212) 555-0102,,", "(212) 555-0102,Bo,"))
    assert ready(*bring("--json", file="people.rejected.csv")).json()["new"] == 1
    assert len(ready("prospects", "list", "--campaign", "spring", "--json").json()) == 2


def test_a_list_on_standard_input_is_read_as_one_in_a_file(ready: Outbound) -> None:
    found = ready(*bring("--json", file="-"), stdin=PEOPLE.encode("utf-16")).json()
    assert (found["new"], found["file"]["encoding"]) == (1, "utf-16")


def test_a_list_can_be_handed_to_a_worker(ready: Outbound, database: str) -> None:
    handed = ready(*bring("--background", "--json")).json()
    (waiting,) = ready("prospects", "imports", "--json").json()
    assert (waiting["id"], waiting["state"], waiting["rows"]) == (handed["import"], "waits for a worker", 0)
    report = bring_handed_over(database, UUID(handed["import"]))
    assert report is not None
    (done,) = ready("prospects", "imports", "--json").json()
    assert (done["state"], done["rows"], done["new"], done["share"]) == ("finished", 2, 1, 1.0)
    shown = ready("prospects", "imports")
    assert "people.csv" in shown.out


def test_an_assistant_that_cannot_be_asked_is_a_note(outbound: Outbound) -> None:
    outbound.write("vapi.toml", ACCOUNT)
    outbound.write("spring.toml", CAMPAIGN)
    outbound.write("people.csv", PEOPLE)
    outbound("accounts", "apply", "vapi.toml")
    outbound("campaign", "apply", "spring.toml", "--json").json()
    imported = outbound(*bring())
    assert imported.code == 0
    assert imported.err.startswith("the list is not checked for the variables that the assistant says:")
