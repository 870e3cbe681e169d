"""Bad input: one clear line on stderr that says what is wrong and what to do, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from campaigns import db
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import CampaignDefinition
from tests import factories
from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound, execute

Counts = Callable[[], dict[str, int]]


@pytest.fixture
def unchanged(database: str, counts: Counts, outbound: Outbound, now: datetime) -> Iterator[None]:
    """Accounts and campaigns in several states; what a test does must add nothing to them, nor leave a file."""
    with db.transaction(database) as session:
        draft = factories.campaign(session, now, name="draft", state=CampaignState.DRAFT)
        factories.campaign(session, now, name="empty", state=CampaignState.DRAFT)
        factories.campaign(session, now, name="over", state=CampaignState.CANCELLED)
        factories.prospect(session, draft, now, e164="+12025550100")
    before = counts()
    yield
    assert counts() == before
    assert not [path.name for path in outbound.directory.rglob("*.partial")]
    assert not [path.name for path in outbound.directory.rglob("*rejected*")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "campaign show sprint",
            "campaign 'sprint' does not exist: `outbound campaign list` shows those that do",
        ),
        (
            "outcomes export sprint",
            "campaign 'sprint' does not exist: `outbound campaign list` shows those that do",
        ),
        (
            "outcomes export sprint -o out.csv",
            "campaign 'sprint' does not exist: `outbound campaign list` shows those that do",
        ),
        (
            "accounts show second",
            "account 'second' does not exist: `outbound accounts list` shows those that do",
        ),
        (
            "campaign start empty",
            "campaign empty has nobody to call: import a list with `outbound prospects import FILE --campaign empty`",
        ),
        ("campaign start sprint", "campaign 'sprint' does not exist: `outbound campaign list` shows those that do"),
        ("campaign pause draft", "campaign draft is draft: `outbound campaign start draft` lets it call"),
        ("campaign resume draft", "campaign draft is draft: `outbound campaign start draft` lets it call"),
        ("campaign start over", "campaign over is cancelled: it is over; give a new one another name"),
        ("prospects import people.csv --campaign over", "campaign over is cancelled: import into another one"),
        (
            "prospects import people.csv --campaign sprint",
            "campaign 'sprint' does not exist: `outbound campaign list` shows those that do",
        ),
        ("prospects import none.csv --campaign draft", "none.csv: no such file or directory"),
        ("prospects import folder --campaign draft", "folder: is a directory"),
        (
            "prospects import people.csv --campaign draft --rejected people.csv",
            "people.csv: --rejected would overwrite the list itself: name another file",
        ),
        (
            "prospects import people.csv --campaign draft --rejected none/r.csv",
            "none/r.csv: --rejected needs the name of a file in a directory that exists",
        ),
        ("outcomes export draft -o none/out.csv", "none/out.csv: no such file or directory"),
        ("outcomes export draft -o folder", "folder: is a directory"),
        (
            "prospects trace 12",
            "12 is nobody's external_id, and not a number with its country code: no country code and no default region",
        ),
        ("prospects trace +12125550199", "nobody with that number was ever imported"),
        ("accounts apply none.toml", "none.toml: no such file or directory"),
        ("accounts apply folder", "folder: is a directory"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_a_wrong_name_state_or_path_is_said_in_one_line(outbound: Outbound, arguments: str, line: str) -> None:
    outbound.write("people.csv", "phone\n+12125550105\n12\n")
    (outbound.directory / "folder").mkdir()
    assert outbound(*arguments.split()).wrong() == line


LISTS = {
    "without a phone column": (
        b"first name,plan\nAna,Basic\n",
        (
            "no column of phone numbers: name one `phone`, or say which with --column phone=NAME or mapping.phone; "
            "the file has: first name, plan"
        ),
    ),
    "empty": (b"", "the file is empty: its first row must name the columns, one of them the phone number"),
    "blank lines": (
        b"\n\r\n  \n",
        "the file is empty: its first row must name the columns, one of them the phone number",
    ),
    "only a byte order mark": (
        b"\xef\xbb\xbf",
        "the file is empty: its first row must name the columns, one of them the phone number",
    ),
    "a damaged XLSX": (
        b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256)),
        (
            "the file is an archive or a damaged spreadsheet: open it in a spreadsheet program, "
            "and save the list as XLSX or CSV"
        ),
    ),
    "XLS": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
        "the file is an old or a password-protected spreadsheet: save it as XLSX, or as CSV",
    ),
    "letters that mean nothing": (
        b"abc\xe4\xf6def,ghi\n",
        (
            "no column of phone numbers: name one `phone`, or say which with --column phone=NAME or mapping.phone; "
            "the file has: abc\u00e4\u00f6def, ghi"
        ),
    ),
    "two headings of one name": (
        b"phone,First name,first_name\n",
        (
            "the columns 'First name' and 'first_name' would both be the variable 'first_name': "
            "rename one, or map it to another variable in mapping.variables"
        ),
    ),
    "a reserved variable": (
        b"phone,Date\n",
        "the column 'Date' would hide Vapi's own 'date': rename it, or map it to another variable in mapping.variables",
    ),
    "a header whose quotation mark is open": (
        b'phone,"name\n',
        "the header cannot be read as CSV: unexpected end of data",
    ),
    "one line without end": (
        b"phone" + b"x" * 1_100_000,
        "the header cannot be read as CSV: a line of more than 1,048,576 characters",
    ),
}


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_is_no_list_is_refused_before_anything_is_stored(outbound: Outbound) -> None:
    said = {}
    for name, (content, _) in LISTS.items():
        outbound.write("list.csv", content)
        said[name] = outbound("prospects", "import", "list.csv", "--campaign", "draft").wrong()
    assert said == {name: line for name, (_, line) in LISTS.items()}
    # The same on standard input.
    piped = outbound("prospects", "import", "-", "--campaign", "draft", stdin=b"")
    assert piped.wrong() == LISTS["empty"][1]


FILES = {
    "wrong syntax": (
        "accounts",
        'name = "main\n',
        "file.toml: not valid TOML: Illegal character '\\n' (at line 1, column 13)",
    ),
    "not text": ("accounts", b"\xff\xfe\x00", "file.toml: not UTF-8 text"),
    "an unknown key": (
        "accounts",
        ACCOUNT + 'api_key = "sk-live-1234"\n',
        (
            "file.toml: api_key: no such key; allowed here: base_url, calls_per_second, concurrency, control_hosts, "
            "credential_id, key_env, name, number_concurrency, number_per_day, numbers, public_url, reserve, "
            "unresolved, webhook"
        ),
    ),
    "a rehearsal that anybody could post to": (
        "accounts",
        ACCOUNT + 'public_url = "http://127.0.0.1:8080"\n',
        (
            "file.toml: public_url needs at least one [[webhook]] check, or OUTBOUND_INSECURE_WEBHOOKS=true where "
            "`outbound up` runs this rehearsal"
        ),
    ),
    "an unknown key of a check": (
        "accounts",
        ACCOUNT + '[[webhook]]\ntype = "bearer"\nsecret_env = ["VAPI_API_KEY"]\nheaders = "x"\n',
        (
            "file.toml: webhook #1.headers: no such key, did you mean header? "
            "allowed here: header, prefix, secret_env, type"
        ),
    ),
    "a check that proves nothing": (
        "accounts",
        ACCOUNT + '[[webhook]]\ntype = "hmac"\nsecret_env = ["VAPI_API_KEY"]\npayload_format = "{timestamp}"\n',
        "file.toml: webhook: payload_format does not hold {body}, so the signature would prove nothing about it",
    ),
    "a secret for a name": (
        "accounts",
        ACCOUNT.replace("VAPI_API_KEY", "0c5cbc7a-44d1-4cb2-9d3c-7f2f2a1c9f00"),
        "file.toml: key_env: give the NAME of an environment variable such as VAPI_API_KEY, never the secret itself",
    ),
    "a key that is not set": (
        "accounts",
        ACCOUNT.replace("VAPI_API_KEY", "VAPI_OTHER_KEY"),
        "the environment variable VAPI_OTHER_KEY is not set: an account names it, so put the secret there",
    ),
    "an unknown key of a campaign": (
        "campaign",
        "window = 1\n" + CAMPAIGN,
        (
            "file.toml: window: no such key, did you mean windows? allowed here: "
            f"{', '.join(sorted(CampaignDefinition.model_fields))}"
        ),
    ),
    "an unknown key of a section": (
        "campaign",
        CAMPAIGN.replace("source", "sauce"),
        (
            "file.toml: consent.sauce: no such key, did you mean source? allowed here: expires_at, level, obtained_at, "
            "proof, source, valid_for (and 1 more)"
        ),
    ),
    "an unknown account": (
        "campaign",
        CAMPAIGN.replace('"main"', '"second"'),
        "account 'second' does not exist: create it with `outbound accounts apply`",
    ),
    "a campaign that is over": (
        "campaign",
        CAMPAIGN.replace('"spring"', '"over"'),
        "campaign over is cancelled: give the new one another name",
    ),
}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("prospects list", "Missing option '--campaign': `outbound prospects list --help` says how"),
        ("campaign list --foo", "No such option: --foo: `outbound campaign list --help` says how"),
        ("bogus", "No such command 'bogus': `outbound --help` says how"),
        (
            "outcomes export draft --format xml",
            (
                "Invalid value for '--format': 'xml' is not one of 'csv', 'jsonl': "
                "`outbound outcomes export --help` says how"
            ),
        ),
    ],
)
def test_a_command_that_cannot_be_read_is_one_line_too(outbound: Outbound, arguments: str, line: str) -> None:
    ran = outbound(*arguments.split())
    assert (ran.code, ran.wrong()) == (2, line)


@pytest.mark.parametrize("arguments", ["status", "campaign list", "audit", "suppressions list"])
def test_a_command_in_the_wrong_directory_makes_no_database(outbound: Outbound, arguments: str) -> None:
    line = outbound(*arguments.split(), DATABASE_URL=None).wrong()
    assert line == (
        f"no database in {outbound.directory / '.data'}: go where `outbound up` runs, run it here, or set DATABASE_URL"
    )
    assert list(outbound.directory.iterdir()) == []


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_describes_nothing_we_know_is_refused_by_its_key(outbound: Outbound) -> None:
    said = {}
    for name, (noun, content, _) in FILES.items():
        outbound.write("file.toml", content)
        said[name] = outbound(noun, "apply", "file.toml").wrong()
    assert said == {name: line for name, (_, _, line) in FILES.items()}


@pytest.mark.parametrize(
    ("environment", "arguments", "start"),
    [
        (
            {"DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/x"},
            "campaign list",
            "PostgreSQL at postgresql://me:***@127.0.0.1:1/x does not answer: ",
        ),
        ({"DATABASE_URL": "postgresql://me:hush@127.0.0.1:1/x"}, "db upgrade", "the database does not answer: "),
        (
            {"DATABASE_URL": "mysql://me:hush@127.0.0.1/x"},
            "campaign list",
            "DATABASE_URL names mysql; only postgresql is supported",
        ),
        (
            {"DATABASE_URL": "hush"},
            "campaign list",
            "DATABASE_URL is not an address such as postgresql://user:password@host:5432/database",
        ),
        (
            {"DATABASE_URL": "postgresql://me:hush@127.0.0.1:port/x"},
            "status",
            "DATABASE_URL is not an address such as postgresql://user:password@host:5432/database",
        ),
        (
            {"DATABASE_URL": None},
            "db upgrade",
            "DATABASE_URL is not set: embedded servers are upgraded by themselves",
        ),
        (
            {"DATABASE_URL": None, "REDIS_URL": "redis://127.0.0.1:1/0"},
            "status",
            "DATABASE_URL is not set: set both DATABASE_URL and REDIS_URL, or neither for embedded servers",
        ),
        ({}, "up", "REDIS_URL is not set: set both DATABASE_URL and REDIS_URL, or neither for embedded servers"),
    ],
)
def test_a_wrong_address_is_said_in_one_line_without_its_password(
    outbound: Outbound, environment: dict[str, str | None], arguments: str, start: str
) -> None:
    line = outbound(*arguments.split(), **environment).wrong()
    assert line.startswith(start)
    assert "hush" not in line


def test_a_database_of_another_version_or_another_program_is_left_alone(
    outbound: Outbound, empty_database: str
) -> None:
    execute(empty_database, "CREATE TABLE accounts (ours boolean)")
    foreign = outbound("db", "upgrade", DATABASE_URL=empty_database).wrong()
    assert foreign == 'the database refused: relation "accounts" already exists'
    execute(empty_database, "CREATE TABLE alembic_version AS SELECT '20991231_future' AS version_num")
    expected = "the database is at migration 20991231_future, which this version does not know: use a newer outbound"
    assert outbound("db", "upgrade", DATABASE_URL=empty_database).wrong() == expected
    assert outbound("status", DATABASE_URL=empty_database).wrong() == expected


def test_rejected_rows_that_cannot_be_written_do_not_hide_what_was_imported(outbound: Outbound) -> None:
    outbound.write("a.toml", ACCOUNT)
    outbound.write("c.toml", CAMPAIGN)
    outbound("accounts", "apply", "a.toml")
    outbound("campaign", "apply", "c.toml")
    outbound.write("people.csv", "phone\n+12125550105\n12\n")
    (outbound.directory / "full").symlink_to("/dev/full")  # a disk without room, whoever runs the test
    line = outbound("prospects", "import", "people.csv", "--campaign", "spring", "--rejected", "full").wrong()
    assert line == (
        "full: no space left on device; the usable rows are imported, 1 were rejected: "
        "import once more with --rejected FILE to see them"
    )
    again = outbound(
        "prospects", "import", "people.csv", "--campaign", "spring", "--rejected", "r.csv", "--json"
    ).json()
    assert (again["new"], again["already_there"], again["rejected"]) == (0, 1, 1)
