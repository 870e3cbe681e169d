"""A million people from a file to committed prospects, beside what limits it and what people write instead.

First reference: `phonenumbers` alone, asked what we ask of it about each row, on both processors. Second: a reader of
the same file with pandas that inserts with SQLAlchemy. Third: COPY of the finished rows into the same table.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import phonenumbers
from phonenumbers import timezone

from campaigns import db
from campaigns.embedded import Servers
from campaigns.pipeline import defining
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from tests.benchmarks.results import Result
from tests.benchmarks.running import connect
from tests.factories import ACCOUNT, CAMPAIGN
from tests.processes import descendants

ROWS = 1_000_000
SMALL, LARGE = 100_000, 10_000_000  # the large one takes some minutes and 10 GB of disk
ASKED = 100_000  # rows of which phonenumbers and the peer are asked; their rate does not change with more
MEMORY_MB = 250
COLUMNS = (
    "phone", "country", "first_name", "last_name", "company", "city", "plan", "amount", "due_date", "agent", "note",
    "customer_id",
)  # fmt: skip
# Beginnings of numbers that exist, and how many digits follow; mobile and fixed lines in about equal parts.
NORTH_AMERICA = ("212", "415", "312", "305", "713", "602", "206", "617", "404", "416", "604", "514")
EUROPE = (
    ("GB", "44", "7400", 6), ("GB", "44", "20794", 5), ("DE", "49", "1512", 7), ("DE", "49", "3090", 5),
    ("FR", "33", "612", 6), ("FR", "33", "142", 6), ("ES", "34", "612", 6), ("IT", "39", "347", 7),
    ("NL", "31", "612", 6), ("SE", "46", "701", 6), ("PL", "48", "512", 6), ("AT", "43", "664", 7),
)  # fmt: skip
HOME_PREFIX = {"GB": "0", "DE": "0", "FR": "0", "ES": "", "IT": "", "NL": "0", "SE": "0", "PL": "", "AT": "0"}


def measure(servers: Servers) -> list[Result]:
    """Rows per second of a million rows, and of a large file beside a small one; `PEOPLE=1000000` makes it smaller."""
    large = int(os.environ.get("PEOPLE", LARGE))
    campaigns = _campaigns(servers.database_url)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        million = _write(folder / "million.csv", ROWS, seed=1)
        ours, memory = _import(servers, million, next(campaigns))
        references = {
            "phonenumbers alone": _phonenumbers_alone(million),
            "pandas and inserts": _peer(servers, million),
            "COPY of finished rows": _copy(servers.database_url, folder / "rows"),
        }
        million.unlink()
        results = [Result("importing a million rows", "rows/s", "at_least", ours, references, 1.0)]
        small = _write(folder / "small.csv", SMALL, seed=2)
        small_rate, _ = _import(servers, small, next(campaigns))
        big = _write(folder / "large.csv", large, seed=3)
        large_rate, most = _import(servers, big, next(campaigns))
    beside = {f"of {SMALL:,}".replace(",", " "): small_rate}
    title = f"importing {large:,} rows".replace(",", " ")
    results.append(Result(title, "rows/s", "at_least", large_rate, beside, 0.8))
    results.append(Result("memory while importing", "MB", "at_most", max(memory, most), {"limit": MEMORY_MB}, 1.0))
    return results


def _campaigns(url: str) -> Iterator[str]:
    now = datetime.now(UTC)
    with db.transaction(url) as session:
        account = AccountDefinition.model_validate(ACCOUNT)
        defining.apply_account(session, account, who="bench", now=now, real=now)
    for turn in range(9):
        name = f"list-{turn}"
        with db.transaction(url) as session:
            values = CAMPAIGN | {"name": name, "default_region": "US", "assistant": {"firstMessage": "Hello"}}
            values.pop("assistant_id", None)
            definition = CampaignDefinition.model_validate(values)
            defining.apply_campaign(session, definition, who="bench", now=now)
        yield name


def _write(path: Path, rows: int, *, seed: int) -> Path:
    """A list of invented people whose numbers exist, in five formats."""
    chance = random.Random(seed)  # noqa: S311 - the same list each time
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for turn in range(rows):
            if chance.random() < 0.5:
                country, code = "US", "1"
                national = f"{chance.choice(NORTH_AMERICA)}{chance.randrange(2_000_000, 10_000_000)}"
            else:
                country, code, start, free = chance.choice(EUROPE)
                national = f"{start}{chance.randrange(10**free):0{free}}"
            writer.writerow(
                (
                    _written(turn % 5, country, code, national),
                    country,
                    "Maria",
                    f"Example {turn}",
                    "Invented Goods Ltd",
                    "Springfield",
                    chance.choice(("gold", "silver", "bronze")),
                    chance.randrange(10_000) / 100,
                    "2027-03-02",
                    "Jo",
                    "said that mornings suit, and that the gate is blue",
                    f"c-{turn}",
                )
            )
    return path


def _written(form: int, country: str, code: str, national: str) -> str:
    """A number in one of five forms."""
    home = HOME_PREFIX.get(country, "")
    match form:
        case 0:
            return f"+{code}{national}"
        case 1:
            return f"+{code} {national[:3]} {national[3:6]} {national[6:]}"
        case 2:
            return f"({national[:3]}) {national[3:6]}-{national[6:]}" if country == "US" else f"00{code} {national}"
        case 3:
            return home + national
        case _:
            return f"{home}{national[:3]}-{national[3:6]}-{national[6:]}"


def _import(servers: Servers, path: Path, campaign: str) -> tuple[float, float]:
    """Rows per second of the command as people run it, and the most memory that all its processes took, in MB."""
    environment = {**os.environ, "DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
    command = [sys.executable, "-m", "campaigns.cli.outbound", "prospects", "import", str(path), "--campaign", campaign]
    began = time.monotonic()
    with subprocess.Popen([*command, "--json"], env=environment, stdout=subprocess.PIPE) as process:
        watch = _Memory(process.pid)
        watch.start()
        said, _ = process.communicate()
        watch.done.set()
        watch.join()
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise SystemExit(f"the import failed: {said.decode()}")
    rows = sum(1 for _ in path.open("rb")) - 1
    return rows / seconds, watch.most


class _Memory(threading.Thread):
    """The most memory of a process and all below it, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.done = threading.Event()
        self.most = 0.0

    def run(self) -> None:
        while not self.done.wait(0.1):
            self.most = max(self.most, sum(map(_resident, [self._pid, *descendants(self._pid)])))


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS: 0")
    return int(line.split()[1]) / 1024


def _phonenumbers_alone(path: Path) -> float:
    """Rows per second of the library alone, asked of each row what we ask, on two processors."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["phone"], row["country"]) for row, _ in zip(csv.DictReader(file), range(ASKED), strict=False)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_ask, [rows[:100], rows[100:200]]))  # the processes are there, and the metadata is read
        began = time.monotonic()
        list(pool.map(_ask, [rows[0::2], rows[1::2]]))
        return len(rows) / (time.monotonic() - began)


def _ask(rows: list[tuple[str, str]]) -> int:
    found = 0
    for phone, country in rows:
        number = phonenumbers.parse(phone, country)
        if phonenumbers.is_valid_number(number):
            phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            phonenumbers.number_type(number)
            phonenumbers.region_code_for_number(number)
            timezone.time_zones_for_number(number)
            found += 1
    return found


def _peer(servers: Servers, path: Path) -> float:
    """Rows per second of what somebody writes in an afternoon."""
    began = time.monotonic()
    code = (
        "import sys; from tests.benchmarks.import_peer import bring; bring(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
    )
    subprocess.run([sys.executable, "-c", code, servers.database_url, str(path), str(ASKED)], check=True)
    return ASKED / (time.monotonic() - began)


def _copy(url: str, path: Path) -> float:
    """Rows per second of COPY alone: the rows that the import brought, into the same table with its indexes."""
    with connect(url) as connection, connection.cursor() as cursor:
        with path.open("wb") as file, cursor.copy("COPY prospects TO STDOUT (FORMAT binary)") as out:
            for piece in out:
                file.write(piece)
        (rows,) = cursor.execute("SELECT count(*) FROM prospects").fetchone() or (0,)
        cursor.execute("TRUNCATE prospects CASCADE")
        connection.commit()
        began = time.monotonic()
        with path.open("rb") as file, cursor.copy("COPY prospects FROM STDIN (FORMAT binary)") as into:
            while piece := file.read(1 << 20):
                into.write(piece)
        connection.commit()
        seconds = time.monotonic() - began
    path.unlink()
    return float(rows / seconds)
