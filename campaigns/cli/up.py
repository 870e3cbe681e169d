"""`outbound up`: web, workers, beat and Flower in one terminal."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import httpx
from rich.text import Text

from campaigns import clock, db
from campaigns.cli.database import require_newest, running_servers
from campaigns.cli.output import notes, say
from campaigns.cli.processes import Fleet, python, stop_on_signals
from campaigns.embedded import Servers, sole_runner
from campaigns.errors import ServerUnavailable, SetupError
from campaigns.pipeline import halting, reporting
from campaigns.settings import secret, settings
from campaigns.web.doors import require_checks

WORKERS = {"dispatch": 1, "calls": 4, "events": 2, "upkeep": 1, "bulk": 1}
"""Queue → processes: a caller spends its time waiting for the provider, so there are more of those than cores."""

WEB = python("workers.asgi")
"""The command of the web process, which listens at OUTBOUND_HOST and OUTBOUND_PORT; compose runs the same."""

READY_SECONDS = 60.0  # starting takes about five on two cores; a machine under load may need many times that

COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running system is to be found."""

    web: str
    flower: str


def up() -> None:
    """Run everything: web, workers, beat and Flower, with embedded servers unless URLs are configured.

    Ctrl-C stops all of it, calls that are being placed first.

    Example: outbound up
    """
    stopped = stop_on_signals()
    with ExitStack() as stack:
        embedded = settings().database_url is None and settings().redis_url is None
        if embedded:
            stack.enter_context(sole_runner(settings().data_dir))
        servers = stack.enter_context(running_servers())
        _say_what_keeps_it_from_dialling(servers.database_url)
        fleet, addresses = stack.enter_context(running_system(servers))
        notes.print(f"web      {addresses.web}  (webhooks arrive at /webhooks/vapi/ACCOUNT)")
        notes.print(f"flower   {addresses.flower}")
        wait_until_ready(fleet, addresses, stopped=stopped.is_set)
        if not stopped.is_set():
            notes.print("ready; Ctrl-C stops everything")
        while not stopped.wait(0.5):
            fleet.look_after()
        notes.print("stopping")


@contextmanager
def running_system(
    servers: Servers,
    *,
    port: int | None = None,
    flower_port: int | None = None,
    environment: Mapping[str, str] | None = None,
    show: Callable[[str, str], None] | None = None,
) -> Iterator[tuple[Fleet, Addresses]]:
    """Web, workers, beat and Flower as processes of their own, stopped at the end of the block.

    `environment` is added to theirs; `show` is given each line that they print [default: print it].
    """
    db.check(servers.database_url)
    require_newest(servers.database_url)
    require_checks(servers.database_url)
    _require_redis(servers.redis_url)
    config = settings()
    port = free_port(config.host, config.port if port is None else port, "OUTBOUND_PORT")
    flower_port = free_port(
        "127.0.0.1", config.flower_port if flower_port is None else flower_port, "OUTBOUND_FLOWER_PORT"
    )
    password = secrets.token_urlsafe(9)
    shared = {
        **(environment or {}),
        # Five workers would say it with five lines each, above the one that matters; a server does not run as root.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "OUTBOUND_HOST": config.host,
        "OUTBOUND_PORT": str(port),
        # In the environment, not on the command line, where anybody on the machine could read it.
        "FLOWER_BASIC_AUTH": os.environ.get("FLOWER_BASIC_AUTH", f"outbound:{password}"),
    }
    with Fleet(shared, show=show or _printer()) as fleet:
        fleet.start("web", WEB)
        for queue, processes in WORKERS.items():
            fleet.start(queue, worker_command(queue, processes))
        # Beat keeps nothing, and where it is asked while it speaks with Redis it does not always hear it.
        beat = python("celery", "--quiet", "--app", "workers.app", "beat", "--loglevel", "WARNING")
        fleet.start("beat", beat, ends_at_once=True)
        fleet.start(
            "flower",
            python(
                *("celery", "--app", "workers.app", "flower"),
                *("--address=127.0.0.1", f"--port={flower_port}", "--logging=warning"),
            ),
        )
        login = shared["FLOWER_BASIC_AUTH"]
        yield fleet, Addresses(f"http://{config.host}:{port}", f"http://{login}@127.0.0.1:{flower_port}")


def wait_until_ready(fleet: Fleet, addresses: Addresses, *, stopped: Callable[[], bool] = lambda: False) -> None:
    """Return when every worker takes tasks and the web process can store, or as soon as `stopped` says so.

    Raises `SetupError` where one of them cannot.
    """
    for queue in WORKERS:
        fleet.wait_for(queue, "ready.", seconds=READY_SECONDS, stopped=stopped)
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline:
            if stopped():
                return
            fleet.look_after()
            with suppress(httpx.HTTPError):
                if client.get(f"{addresses.web}/readyz").is_success:
                    return
            time.sleep(0.1)
    raise SetupError(f"the web process did not become ready within {READY_SECONDS:g} s")


def worker_command(queue: str, processes: int) -> list[str]:
    """The command of the worker for one queue; `docker-compose.yml` runs the same."""
    return [
        *python(
            "celery", "--quiet", "--app", "workers.app", "worker", "--queues", queue, "--concurrency", str(processes)
        ),
        *("--hostname", f"{queue}@%h", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
    ]


def _say_what_keeps_it_from_dialling(url: str) -> None:
    db.check(url)
    require_newest(url)
    with db.transaction(url) as session:
        halting.guard_home(session, now=clock.read(session).now)
        moved = halting.moved(session)
        keys = {each["name"]: each["key_env"] for each in reporting.accounts(session)}
    if moved is not None:
        say(f"nothing is dialled: {moved}; `outbound status` says what to do")
    for account, key_env in keys.items():
        try:
            secret(key_env)
        except SetupError as problem:
            say(f"account {account} cannot dial: {problem}")


def _require_redis(url: str) -> None:
    import redis as redis_client  # noqa: PLC0415 - no other command needs it

    try:
        with redis_client.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except redis_client.RedisError as problem:
        raise ServerUnavailable(f"Redis does not answer: {problem}") from problem


def free_port(host: str, port: int, variable: str) -> int:
    """The port, or a free one for 0. Raises `SetupError` where somebody else listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            raise SetupError(
                f"port {port} is taken: stop what listens there, or set {variable} to another one"
            ) from problem
        return int(probe.getsockname()[1])


def _printer() -> Callable[[str, str], None]:
    colours: dict[str, str] = {}

    def show(name: str, line: str) -> None:
        colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
        notes.print(Text.assemble((f"{name:<9}", colour), line), soft_wrap=True)

    return show
