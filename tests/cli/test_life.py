"""A campaign's whole life by the command line, from files to outcomes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound, Ran, execute

PEOPLE = """phone,first_name,plan
+12125550101,Ana,Basic
(212) 555-0102,Bö,"Gold, yearly"
12,Nobody,Basic
+12125550101,Ana again,Basic
"""


def together(outbound: Outbound, *commands: list[str]) -> list[Ran]:
    return [outbound(*arguments) for arguments in commands]


def prepared(outbound: Outbound) -> None:
    outbound.write("vapi.toml", ACCOUNT)
    outbound.write("spring.toml", CAMPAIGN)
    outbound.write("people.csv", PEOPLE)
    applied = outbound("accounts", "apply", "vapi.toml")
    assert (applied.code, applied.out) == (0, "account main created\n")
    assert applied.err.startswith("no public_url")
    assert outbound("campaign", "apply", "spring.toml", "--json").json()["created"] is True


def test_applying_the_same_file_again_finishes_a_rescheduling_that_was_interrupted(
    outbound: Outbound, database: str
) -> None:
    prepared(outbound)
    outbound("prospects", "import", "people.csv", "--campaign", "spring")
    execute(database, "UPDATE prospects SET due_at = '2099-01-01'")
    assert outbound("campaign", "apply", "spring.toml", "--json").json()["changed"] == []
    people = outbound("prospects", "list", "--campaign", "spring", "--json").json()
    assert len(people) == 2
    assert "2099" not in str(people)


def test_a_campaign_from_files_to_its_end(outbound: Outbound) -> None:
    prepared(outbound)
    imported = outbound("prospects", "import", "people.csv", "--campaign", "spring", "--json").json()
    figures = {name: imported[name] for name in ("rows", "new", "already_there", "rejected")}
    assert figures == {"rows": 4, "new": 2, "already_there": 1, "rejected": 1}
    assert imported["columns"]["variables"] == {"first_name": "first_name", "plan": "plan"}
    with (outbound.directory / "people.rejected.csv").open() as file:
        (rejected,) = csv.DictReader(file)
    assert (rejected["phone"], rejected["rejected_line"], rejected["rejected_column"]) == ("12", "4", "phone")

    again, changed, started = together(
        outbound,
        ["accounts", "apply", "vapi.toml", "--json"],
        ["campaign", "apply", "spring.toml", "--json"],
        ["campaign", "start", "spring", "--no-preflight", "--why", "nobody listens at port 9", "--json"],
    )
    assert json.loads(again.out) == {"account": "main", "created": False, "changed": []}
    assert changed.json() == {
        "campaign": "spring",
        "created": False,
        "changed": [],
        "preview": False,
        "changes": [],
        "people": None,
        "live_calls": 0,
    }
    assert started.json() == {"campaign": "spring", "state": "running", "held_up": None, "in_flight": []}

    accounts, account, campaigns, campaign, people, story = (
        ran.json()
        for ran in together(
            outbound,
            ["accounts", "list", "--json"],
            ["accounts", "show", "main", "--json"],
            ["campaign", "list", "--json"],
            ["campaign", "show", "spring", "--json"],
            ["prospects", "list", "--campaign", "spring", "--state", "waiting", "--json"],
            ["prospects", "trace", "+1 212 555 0102", "--json"],
        )
    )
    status = json.loads(outbound("status", "--json").out)
    lines, numbers = account.pop("lines"), account.pop("caller_numbers")
    assert accounts == [account]
    assert numbers == []  # none may do less than the account
    assert (account["state"], lines["now"], lines["in_use"]) == ("dialling", account["concurrency"], 0)
    assert [each["name"] for each in campaigns] == ["spring"]
    assert campaign["people"] == {"waiting": 2, "total": 2}
    assert campaign["definition"]["windows"] == "Mon-Sun 09:00-20:00"
    assert {person["phone"] for person in people} == {"+12125550101", "+12125550102"}
    assert [moment["what"].partition(" by ")[0] for moment in story] == [
        *("apply", "import", "imported", "start"),
        "is waiting",
    ]
    assert [each["what"] for each in status] == ["nothing runs: none has run yet"]

    paused = outbound("campaign", "pause", "spring", "--why", "wrong script")
    assert (paused.code, paused.out, paused.err) == (0, "campaign spring is paused\n", "")
    shown = outbound("campaign", "show", "spring").out
    assert "campaign spring is paused (wrong script)" in shown
    assert "Mon-Sun 09:00-20:00" in shown
    assert outbound("campaign", "resume", "spring", "--json").json()["state"] == "running"
    assert outbound("campaign", "cancel", "spring", "--json").json()["state"] == "cancelled"
    assert outbound("campaign", "show", "spring", "--json").json()["people"] == {"cancelled": 2, "total": 2}


def test_an_export_is_the_same_on_stdout_and_in_a_file(outbound: Outbound) -> None:
    prepared(outbound)
    piped = outbound("prospects", "import", "-", "--campaign", "spring", stdin=PEOPLE.encode())
    assert piped.code == 0
    assert piped.err.startswith("the list is not checked for the variables that the assistant says:")
    assert "4 rows: 2 new, 1 already there, 1 rejected" in piped.out
    assert (outbound.directory / "rejected.csv").exists()
    as_csv, as_jsonl, to_csv, to_jsonl = together(
        outbound,
        ["outcomes", "export", "spring"],
        ["outcomes", "export", "spring", "--format", "jsonl"],
        ["outcomes", "export", "spring", "-o", "out.csv"],
        ["outcomes", "export", "spring", "--format", "jsonl", "--output", "out.jsonl"],
    )
    assert (as_csv.code, as_csv.err, to_csv.code, to_csv.out) == (0, "", 0, "")
    assert to_csv.err == "2 rows written to out.csv\n"
    assert (outbound.directory / "out.csv").read_bytes().decode() == as_csv.out
    assert (outbound.directory / "out.jsonl").read_bytes().decode() == as_jsonl.out
    assert to_jsonl.code == 0
    rows = list(csv.DictReader(io.StringIO(as_csv.out, newline="")))
    objects = [json.loads(line) for line in as_jsonl.out.splitlines()]
    assert [row["phone"] for row in rows] == [each["phone"] for each in objects] == ["+12125550101", "+12125550102"]
    assert json.loads(rows[1]["variables"]) == objects[1]["variables"] == {"first_name": "Bö", "plan": "Gold, yearly"}
    assert {path.name for path in outbound.directory.iterdir()} == {
        *("vapi.toml", "spring.toml", "people.csv", "rejected.csv", "out.csv", "out.jsonl"),
    }
    # A terminal that knows no letter but ASCII does not stop an export in its middle.
    ascii_only = outbound.afresh("outcomes", "export", "spring", PYTHONIOENCODING="ascii")
    assert ascii_only.out == as_csv.out


def test_a_freeze_stops_every_account_and_status_says_so(outbound: Outbound) -> None:
    assert outbound("freeze").out == "there is no account that could dial\n"
    prepared(outbound)
    assert outbound("prospects", "import", "people.csv", "--campaign", "spring").code == 0
    outbound("campaign", "start", "spring", "--no-preflight", "--why", "nobody listens at port 9")
    outbound("campaign", "pause", "spring")
    well = outbound("status")
    assert (well.code, well.out, well.err) == (0, "nothing needs you\n", "")
    assert outbound("freeze", "--why", "wrong list", "--json").json() == {
        "frozen": True,
        "accounts": ["main"],
        "in_flight": [],
    }
    again, status, listed = together(
        outbound, ["freeze", "--json"], ["status", "--json"], ["accounts", "show", "main", "--json"]
    )
    assert again.json() == {"frozen": True, "accounts": [], "in_flight": []}
    assert (status.code, status.err) == (1, "")
    assert [each["what"] for each in json.loads(status.out)] == ["account main is frozen: wrong list"]
    assert listed.json()["state"] == "frozen: wrong list"
    resumed, shown = outbound("campaign", "resume", "spring"), outbound("campaign", "show", "spring", "--json")
    assert (resumed.code, resumed.out) == (0, "campaign spring is running\n")
    assert resumed.err.startswith("it calls nobody: account main is frozen: wrong list; `outbound status`")
    assert shown.json()["held_up"] == "account main is frozen: wrong list"
    assert outbound("campaign", "pause", "spring").err == ""
    assert outbound("unfreeze", "--json").json() == {"frozen": False, "accounts": ["main"], "in_flight": []}
    assert outbound("status").code == 0


def test_a_repeated_import_adds_nobody_and_keeps_what_somebody_is_correcting(
    outbound: Outbound, counts: Callable[[], dict[str, int]]
) -> None:
    prepared(outbound)
    assert outbound("prospects", "import", "people.csv", "--campaign", "spring").code == 0
    outbound.write("people.rejected.csv", "being corrected")
    again = outbound("prospects", "import", "people.csv", "--campaign", "spring", "--json").json()
    assert (again["new"], again["already_there"], again["rejected"]) == (0, 3, 1)
    assert (outbound.directory / "people.rejected.csv").read_text() == "being corrected"
    assert again["rejected_rows"] == "people.rejected-2.csv"
    assert counts()["prospects"] == 2


def test_tables_come_with_an_upgrade_and_are_asked_for_before_it(outbound: Outbound, empty_database: str) -> None:
    before = outbound("campaign", "list", DATABASE_URL=empty_database)
    assert before.wrong() == "the database has no tables yet: run `outbound db upgrade`"
    upgraded = outbound("db", "upgrade", DATABASE_URL=empty_database)
    assert (upgraded.code, upgraded.err) == (0, "")
    assert outbound("campaign", "list", "--json", DATABASE_URL=empty_database).json() == []
