"""`outbound simulator`: the stand-in for Vapi on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

from campaigns.simulator import DEFAULT_HOST, DEFAULT_PORT
from campaigns.simulator.mistakes import SimulatorError
from campaigns.simulator.scenario import example, load_scenario


def simulator(
    *,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", help="TOML file of the rehearsal; without it, a plain one.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Loopback address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    origin: Annotated[
        str | None, typer.Option("--origin", help="Simulated time at --started, ISO 8601 with offset. Default: now.")
    ] = None,
    started: Annotated[
        str | None, typer.Option("--started", help="Real time at which it was --origin. Default: now.")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Simulated seconds per real second.")] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of all outcomes, over the file's.")] = None,
    show_example: Annotated[
        bool, typer.Option("--example", help="Print a scenario file with every key explained, and end.")
    ] = False,
) -> None:
    """Run a stand-in for Vapi: calls are accepted, ring, are answered or not, and report back, without a telephone.

    The same seed gives every number the same calls and the same faults, in whatever order they are placed.

    A scenario file says how many lines there are, how calls go and how long they take, and what goes wrong: answers
    lost, slow or refused, webhooks lost, doubled, reordered, late or early, a listing that lags, a key that is revoked,
    an outage - by share, by a script for one number, or at a time. `outbound simulator --example` explains every key.
    A value "env:NAME" of a key or secret is read from the environment or `.env`.

    While it runs, on the same port: POST /simulator/settings takes the keys of a scenario as JSON, GET shows them,
    DELETE goes back to those of the start;
    GET /simulator/ledger tells what really happened (with ?calls=false the totals alone).

    Example: outbound simulator --port 8099 --origin 2026-03-02T09:00:00Z --speed 60
    """
    if show_example:
        typer.echo(example(), nl=False)
        return
    from campaigns.simulator.server import read_clock, serve  # noqa: PLC0415 - a web server, which no other command needs

    try:
        rehearsal = load_scenario(scenario, _environment())
        if seed is not None:
            rehearsal = rehearsal.changed({"seed": seed})
        serve(rehearsal, read_clock(origin, started, speed), host=host, port=port, announce=typer.echo)
    except SimulatorError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _environment() -> Mapping[str, str]:
    """The environment, and behind it `.env` in the working directory, as for every other command."""
    written = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return written | os.environ
