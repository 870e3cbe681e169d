"""When a preflight says that a campaign ends, beside when it then ends: calls of all kinds against the stand-in."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from campaigns.embedded import Servers
from campaigns.models import Call
from campaigns.rules.campaign_state import CampaignState, Command
from tests.benchmarks.results import Result
from tests.benchmarks.running import Whole, judged, until

PEOPLE, LINES = 200, 10
SPEED = 10.0  # some three minutes; faster, and what a line waits for between two calls would be most of it
PATIENCE = 900.0
OUTCOMES = {"answered": 50, "no_answer": 25, "voicemail": 20, "busy": 5}
EXPECTED = {
    # The middle of what the stand-in draws its calls from: dialling takes 1.25 s, and it rings for 14.
    **{name: share / 100 for name, share in OUTCOMES.items()},
    "failed": 0,
    "ring": "15.25s",
    "talk": "55s",
    "voicemail_takes": "14s",
    "no_answer_takes": "33.75s",
}
DURATIONS = {
    "dial": [0.5, 2],
    "ring": [8, 20],
    "no_answer": [25, 40],
    "busy": [1, 4],
    "talk": [20, 90],
    "voicemail": [8, 20],
    "processing": [2, 6],
}
AIM = 1 / 1.1  # a tenth more, or less, than what really happened


def measure(servers: Servers) -> list[Result]:
    """How far the forecast is from what happened, as the larger of both beside the smaller."""
    with tempfile.TemporaryDirectory() as folder, Whole(servers, Path(folder)) as system:
        system.start()
        provider = system.provider(
            speed=SPEED, concurrency=LINES, outcomes=OUTCOMES, durations=DURATIONS, webhooks={"hang": 0}
        )
        system.account(provider, concurrency=LINES, calls_per_second=20.0)
        system.campaign(
            variables={"name": "there"},  # the stand-in's assistant says it
            expected=EXPECTED,
            retry={"max_attempts": 2, "no_answer": ["5m"], "busy": ["2m"], "voicemail": ["5m"]},
        )
        system.fill("spring", PEOPLE)
        found = json.loads(system.outbound("campaign", "preflight", "spring", "--json"))
        system.command(Command.START)
        until(lambda: system.progress().state == CampaignState.COMPLETED, seconds=PATIENCE)
        judged(provider)
        with system.session() as session:
            began, ended = session.execute(select(func.min(Call.intent_at), func.max(Call.ended_at))).one()
    really = (ended - began).total_seconds() / 60
    forecast = {
        name: (datetime.fromisoformat(at) - datetime.fromisoformat(found["at"])).total_seconds() / 60
        for name, at in found["forecast"]["finished_at"].items()
    }
    low, high = sorted((really, forecast["expected"]))
    beside = {"the smaller": low, "really": really, "forecast": forecast["expected"]}
    beside |= {"at least": forecast["least"], "at most": forecast["most"]}
    return [Result(f"forecast of {PEOPLE} people on {LINES} lines", "minutes", "at_most", high, beside, AIM)]
