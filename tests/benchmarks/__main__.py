"""`make bench [NAME=webhooks]`: run the benchmarks, print them, and keep them in build/bench.json.

A benchmark is a file `bench_<name>.py` here with `measure(servers)`, which returns its results; each starts on empty
tables of its own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from sqlalchemy import text

from campaigns import db
from campaigns.cli.database import upgrade
from campaigns.embedded import servers
from tests.benchmarks.results import Result, keep, show

FILE = Path("build") / "bench.json"


def main(wanted: list[str]) -> None:
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = set(wanted) - set(known)
    if unknown:
        raise SystemExit(f"no benchmark is called {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    results: list[Result] = []
    with _folder() as folder, servers(folder) as running:
        for name in wanted or known:
            with db.engine(running.database_url).begin() as connection:
                connection.execute(text("DROP SCHEMA public CASCADE"))
                connection.execute(text("CREATE SCHEMA public"))
            upgrade(running.database_url)
            results += import_module(f"tests.benchmarks.bench_{name}").measure(running)
            keep(results, FILE)  # whatever becomes of the next one
        db.engine(running.database_url).dispose()
    show(results)
    sys.stdout.write(f"kept in {FILE}\n")


@contextmanager
def _folder() -> Iterator[Path]:
    """A directory for the servers, removed with what root keeps elsewhere for it: gigabytes after ten million rows."""
    with tempfile.TemporaryDirectory() as name:
        try:
            yield Path(name)
        finally:
            note = Path(name) / "servers" / "elsewhere"
            if note.exists():
                shutil.rmtree(note.read_text(encoding="utf-8").strip(), ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
