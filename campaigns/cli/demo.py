"""`outbound demo`: a whole campaign from nothing, against the stand-in, in about a minute."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import typer
from sqlalchemy import text

from campaigns import clock, db
from campaigns.cli.campaign import print_progress
from campaigns.cli.database import upgrade
from campaigns.cli.files import whole_file
from campaigns.cli.importing import run_import, write_rejected
from campaigns.cli.outcomes import run_export
from campaigns.cli.output import bar, notes, shown_path
from campaigns.cli.processes import Fleet, python
from campaigns.cli.up import Addresses, free_port, running_system, wait_until_ready
from campaigns.embedded import Servers, servers, sole_runner
from campaigns.errors import SetupError
from campaigns.pipeline import defining, reporting, scheduling, warning
from campaigns.pipeline.exporting import Format
from campaigns.rules.campaign_state import CampaignState, Command
from campaigns.rules.definition import AccountDefinition, CampaignDefinition, read_definition
from campaigns.settings import settings

ORIGIN = datetime(2027, 3, 2, 15, tzinfo=UTC)  # a Tuesday: 10:00 in New York, 16:00 in Paris, night in Sydney
SPEED = 3000.0  # an hour in little more than a second: windows close, open again and retries come due within a minute
PATIENCE_SECONDS = 240.0  # the demo normally takes a quarter of this; past it something is wrong, so say so
NAME = "demo"

SCENARIO = """
seed = 11
key = "env:DEMO_VAPI_KEY"
concurrency = 20
over_concurrency = "blocked"

[webhooks]
lost = 0.02
doubled = 0.05

[post_faults]
accept_then_500 = 0.01

[credentials]
demo-credential = "env:DEMO_WEBHOOK_SECRET"
"""


def demo() -> None:
    """Run a whole campaign against the stand-in for Vapi: nobody is called, nothing leaves this machine.

    Starts embedded servers, workers and Flower, imports an untidy list of invented people, calls them through two
    simulated days in about a minute, and writes one outcome for each. It keeps to itself: databases that are
    configured for real campaigns are not touched.

    Example: outbound demo
    """
    began = time.monotonic()
    data_dir = settings().data_dir / "demo"
    results = Path("build/demo")
    results.mkdir(parents=True, exist_ok=True)
    notes.print("starting PostgreSQL, Valkey, workers and Flower")
    with sole_runner(data_dir), servers(data_dir) as embedded:
        _empty(embedded)
        upgrade(embedded.database_url)
        with _system(embedded, data_dir) as (fleet, addresses):
            notes.print(f"Flower shows the workers while the demo runs: {addresses.flower}")
            wait_until_ready(fleet, addresses)
            _run(embedded.database_url, fleet, addresses, data_dir, results)
            seconds = time.monotonic() - began
            notes.print(f"{seconds:.0f} s from the start; stopping")


def _run(url: str, fleet: Fleet, addresses: Addresses, data_dir: Path, results: Path) -> None:
    provider_port = free_port("127.0.0.1", 0, "")
    with db.transaction(url) as session:
        moment = clock.read(session)
        account = _account(addresses.web, provider_port)
        defining.apply_account(session, account, who=NAME, now=moment.now, real=moment.real)
        clock.rehearse(session, origin_at=ORIGIN, speed=1.0)
    with db.transaction(url) as session:
        now = clock.read(session).now
        defining.apply_campaign(session, _campaign(), who=NAME, now=now)
    with as_file(files("campaigns.cli") / "samples" / "prospects.csv") as sample, sample.open("rb") as file:
        import_id, report = run_import(url, NAME, file, source="prospects.csv")
    rejected = results / "rejected.csv"
    with whole_file(rejected) as file:
        write_rejected(url, import_id, file)
    notes.print(
        f"{report.rows} rows: {report.new} new, {report.already_there} already there, {report.rejected} rejected"
    )
    _start_calling(url, fleet, data_dir, provider_port)
    progress = _watch(url, fleet)
    for format_ in Format:
        with (results / f"outcomes.{format_}").open("w", encoding="utf-8", newline="") as out:
            run_export(url, NAME, format_, out)
    print_progress(progress)
    typer.echo(f"outcomes       {shown_path(results / 'outcomes.csv')}  {shown_path(results / 'outcomes.jsonl')}")
    typer.echo(f"rejected rows  {shown_path(rejected)}")
    with db.transaction(url) as session:
        troubles = warning.troubles(session)
    for trouble in troubles:
        typer.echo(f"needs a person: {trouble}")
    if progress.state != CampaignState.COMPLETED:
        raise SetupError(f"the demo campaign is {progress.state} after {PATIENCE_SECONDS:g} s: it should be completed")


def _start_calling(url: str, fleet: Fleet, data_dir: Path, provider_port: int) -> None:
    """Start the stand-in and the campaign's clock at one instant, or hours would pass while the stand-in starts."""
    with db.transaction(url) as session:
        real = clock.read(session).real
    started_at = real + timedelta(seconds=3)  # starting the stand-in takes about one
    scenario = data_dir / "scenario.toml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    fleet.start(
        "simulator",
        python(
            *("campaigns.simulator", "--scenario", str(scenario), "--port", str(provider_port)),
            *("--origin", ORIGIN.isoformat(), "--started", started_at.isoformat(), "--speed", str(SPEED)),
        ),
    )
    fleet.wait_for("simulator", "listening on", seconds=30)
    wait = (started_at - datetime.now(UTC)).total_seconds()
    time.sleep(max(0.0, wait))
    with db.transaction(url) as session:
        clock.rehearse(session, origin_at=ORIGIN, speed=SPEED, started_at=started_at)
        scheduling.command(session, NAME, Command.START, who=NAME, now=ORIGIN)


def _watch(url: str, fleet: Fleet) -> reporting.Progress:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with bar("campaign", unit="people") as shown:
        task = shown.add_task("campaign", total=None, note="")
        while True:
            with db.transaction(url) as session:
                now = clock.read(session).now
                progress = reporting.progress(session, scheduling.find(session, NAME), now=clock.read(session).now)
            shown.update(
                task,
                total=progress.total,
                completed=progress.finished,
                note=f"{now:%a %H:%M} UTC, {progress.lines:2d} lines, {progress.calls} calls",
            )
            if progress.state == CampaignState.COMPLETED or time.monotonic() > deadline:
                return progress
            fleet.look_after()
            time.sleep(0.2)


@contextmanager
def _system(embedded: Servers, data_dir: Path) -> Iterator[tuple[Fleet, Addresses]]:
    environment = {
        "DEMO_VAPI_KEY": secrets.token_urlsafe(16),
        "DEMO_WEBHOOK_SECRET": secrets.token_urlsafe(16),
        "OUTBOUND_DATA_DIR": str(data_dir),
        # Two simulated days pass in a minute, so what is lost must be asked about within seconds.
        "OUTBOUND_SILENCE_SECONDS": "3",
        "OUTBOUND_REPORT_GRACE_SECONDS": "3",
        "OUTBOUND_ASK_AGAIN_SECONDS": "2",
    }
    with (data_dir / "demo.log").open("w", encoding="utf-8") as log:

        def show(name: str, line: str) -> None:
            log.write(f"{name:<9} {line}\n")

        os.environ.update(environment)
        ports = {"port": free_port("127.0.0.1", 0, ""), "flower_port": free_port("127.0.0.1", 0, "")}
        with running_system(embedded, environment=environment, show=show, **ports) as running:
            yield running


def _empty(embedded: Servers) -> None:
    """Begin afresh: the last demo's people and its clock are gone."""
    with db.engine(embedded.database_url).begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    import redis as redis_client  # noqa: PLC0415 - no other command needs it

    with redis_client.Redis.from_url(embedded.redis_url) as client:
        client.flushall()


def _account(web: str, provider_port: int) -> AccountDefinition:
    values: dict[str, Any] = {
        "name": NAME,
        "base_url": f"http://127.0.0.1:{provider_port}",
        "key_env": "DEMO_VAPI_KEY",
        "concurrency": 20,
        "calls_per_second": 25.0,
        "public_url": web,
        "credential_id": "demo-credential",
        "webhook": [{"type": "hmac", "secret_env": ["DEMO_WEBHOOK_SECRET"]}],
    }
    return read_definition(AccountDefinition, values, source="the demo's account")


def _campaign() -> CampaignDefinition:
    values: dict[str, Any] = {
        "name": NAME,
        "account": NAME,
        "phone_number_ids": ["demo-number"],
        "windows": "Mon-Fri 09:00-20:00; Sat-Sun 10:00-18:00",
        "default_region": "US",
        "consent": {
            "source": "signed on the renewal form, as every invented person did",
            "level": "written",
            "obtained_at": "2026-02-01T00:00:00Z",
        },
        "retry": {
            "max_attempts": 3,
            "no_answer": ["1h", "6h"],
            "busy": ["30m", "2h"],
            "voicemail": ["4h"],
            "technical": ["15m", "1h"],
        },
        "mapping": {"variables": {"plan": "Plan"}},
        "assistant": {
            "name": "Renewal reminder",
            "firstMessage": (
                "Hello {{first_name}}, this is an artificial voice calling for Northwind about your {{plan}} plan. "
                "This call is recorded; say stop at any time and we will not call again."
            ),
            "model": {
                "provider": "openai",
                "model": "gpt-4o",
                "messages": [{"role": "system", "content": "Ask whether {{first_name}} renews {{plan}}."}],
            },
            "analysisPlan": {
                "structuredDataPlan": {
                    "enabled": True,
                    "schema": {
                        "type": "object",
                        "properties": {
                            "interested": {"type": "boolean"},
                            "answer": {"type": "string", "enum": ["renews", "thinks about it", "leaves"]},
                        },
                    },
                }
            },
        },
    }
    return read_definition(CampaignDefinition, values, source="the demo's campaign")
