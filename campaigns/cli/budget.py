"""How a campaign's budget is shown."""

from __future__ import annotations

from typing import Any

import typer

from campaigns.pipeline.budgeting import Rest, Standing
from campaigns.rules.spending import dollars


def print_budget(standing: Standing | None) -> None:
    """What is spent, reserved and left, a line for each limit."""
    if standing is None:
        return
    for name, rest in (("budget", standing.total), (f"budget of {standing.day}", standing.today)):
        if rest is not None:
            typer.echo(
                f"{name}: {dollars(rest.spent)} of {dollars(rest.limit)} spent, {dollars(rest.reserved)} reserved for "
                f"calls whose cost is not known yet, {dollars(rest.left)} left"
            )
    if standing.estimated:
        typer.echo(f"{standing.estimated:,} calls are counted at the most that they may have cost: no report says more")


def as_json(standing: Standing | None) -> dict[str, Any] | None:
    """The same for programs."""
    if standing is None:
        return None
    return {
        "total": _rest(standing.total),
        "today": _rest(standing.today),
        "day": str(standing.day),
        "one_call": standing.one_call,
        "estimated_calls": standing.estimated,
    }


def _rest(rest: Rest | None) -> dict[str, Any] | None:
    if rest is None:
        return None
    return {"limit": rest.limit, "spent": rest.spent, "reserved": rest.reserved, "left": rest.left}
