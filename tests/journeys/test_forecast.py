"""What a preflight says will happen, and what then happens."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import func, select

from campaigns.models import Call
from tests.harness import System
from tests.processes import PATIENCE

SPEED = 30.0
RINGS = 600  # simulated seconds, twenty real ones: a line is busy for long, so that a busy machine decides little
PEOPLE = [{"phone": f"+1212555{1000 + turn}"} for turn in range(9)]  # half as many again as there are lines


def test_a_campaign_ends_within_a_tenth_of_what_its_preflight_says(system: System) -> None:
    system.start()
    always = {"dial": [2, 2], "no_answer": [RINGS, RINGS]}
    provider = system.provider(speed=SPEED, concurrency=6, outcomes={"no_answer": 1}, durations=always)
    system.account(provider, concurrency=6)
    system.campaign(
        variables={"name": "there"},  # the stand-in's assistant says it
        retry={"max_attempts": 2, "no_answer": ["1m"]},
        expected={"answered": 0, "no_answer": 1, "voicemail": 0, "busy": 0, "failed": 0, "no_answer_takes": "602s"},
    )
    system.import_people(PEOPLE)
    before = json.loads(system.outbound("campaign", "preflight", "spring", "--json"))
    levels = {check["check"]: check["level"] for check in before["checks"]}
    assert levels["webhooks answer"] == levels["workers"] == "ok"
    assert "is running" in system.outbound("campaign", "start", "spring")
    system.until_over(seconds=2 * PATIENCE)
    with system.session() as session:
        calls, began, ended = session.execute(
            select(func.count(), func.min(Call.intent_at), func.max(Call.ended_at))
        ).one()
    assert before["forecast"]["calls"]["expected"] == calls == 2 * len(PEOPLE)
    end = datetime.fromisoformat(before["forecast"]["finished_at"]["expected"])
    forecast = (end - datetime.fromisoformat(before["at"])).total_seconds()
    really = (ended - began).total_seconds()
    assert 0.9 <= forecast / really <= 1.1, (forecast, really)
