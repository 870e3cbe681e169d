"""Where the time goes: processor seconds by process, commits and commands, between two looks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import redis

from tests.benchmarks.running import connect
from tests.processes import descendants

TICKS = os.sysconf("SC_CLK_TCK")

Look = Mapping[str, float]
"""Name → how much of it so far."""


def processors(*roots: int) -> Look:
    """Processor seconds of these processes and all below them, of those that ended too, by what they do."""
    seconds: dict[str, float] = {}
    for pid in [pid for root in roots for pid in (root, *descendants(root))]:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        # User and system time, its own and that of its children that were waited for.
        name = role(words)
        seconds[name] = seconds.get(name, 0.0) + sum(int(field) for field in fields[11:15]) / TICKS
    return seconds


def role(command: str) -> str:
    """What a process of ours does, by its command line."""
    worker = re.search(r" worker .*--queues (\S+)", command)
    if worker is not None:
        return f"worker {worker[1]}"
    for mark, name in (
        (" flower", "flower"),
        (" beat", "beat"),
        ("workers.asgi", "web"),
        ("campaigns.simulator", "stand-in"),
        ("postgres", "postgres"),
        ("valkey", "redis"),
        ("redis", "redis"),
    ):
        if mark in command:
            return name
    return "outbound up"


def servers(database_url: str, redis_url: str) -> list[int]:
    """The process of PostgreSQL that all its others stand below, and that of Redis."""
    with connect(database_url) as connection:
        about = Path(f"/proc/{connection.info.backend_pid}/stat").read_text()  # while the connection is open
    with redis.Redis.from_url(redis_url) as client:
        return [int(about.rpartition(")")[2].split()[1]), int(client.info()["process_id"])]


def work(database_url: str, redis_url: str) -> Look:
    """What the two servers did so far."""
    with connect(database_url) as connection:
        row = connection.execute(
            """SELECT xact_commit AS commits, tup_inserted, tup_updated, wal_bytes / 1000
                 FROM pg_stat_database, pg_stat_wal WHERE datname = current_database()"""
        ).fetchone()
    assert row is not None
    with redis.Redis.from_url(redis_url) as client:
        commands = client.info()["total_commands_processed"]
    names = ("commits", "rows inserted", "rows updated", "kilobytes of write-ahead log", "redis commands")
    return {name: float(value) for name, value in zip(names, (*row, commands), strict=True)}


def per_call(before: Look, after: Look, calls: int) -> dict[str, float]:
    """What grew between two looks, for each of `calls`; the largest first."""
    grown = {name: (after[name] - before.get(name, 0.0)) / calls for name in after}
    return dict(sorted(grown.items(), key=lambda item: -item[1]))


def table(title: str, figures: Mapping[str, float], unit: str, *, scale: float = 1.0, total: bool = True) -> list[str]:
    """The figures as lines of text."""
    shown = {**figures, "together": sum(figures.values())} if total else figures
    return [f"{title}:"] + [f"  {name:<32}{value * scale:9.2f} {unit}" for name, value in shown.items()]
