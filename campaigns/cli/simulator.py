"""`outbound simulator`: the stand-in for Vapi on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from campaigns.simulator.mistakes import SimulatorError
from campaigns.simulator.scenario import load_scenario
from campaigns.simulator.server import DEFAULT_HOST, DEFAULT_PORT, read_clock, serve


def simulator(
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
) -> None:
    """Run a stand-in for Vapi: calls are accepted, ring, are answered or not, and report back, without a telephone.

    The same seed gives every number the same calls. What really happened is at /simulator/ledger;
    rates and faults can be changed at /simulator/settings.

    Example: outbound simulator --port 8099 --origin 2026-03-02T09:00:00Z --speed 60
    """
    try:
        rehearsal = load_scenario(scenario, os.environ)
        if seed is not None:
            rehearsal = rehearsal.changed({"seed": seed})
        serve(rehearsal, read_clock(origin, started, speed), host=host, port=port, announce=typer.echo)
    except SimulatorError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
