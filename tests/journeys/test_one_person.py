"""One person, from a line of a file to a row of the export."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import select

from campaigns.models import Call, Event, Outcome
from tests.harness import System, seen_in
from tests.journeys.conftest import SPEED
from tests.processes import CREDENTIAL, KEY, SECRET

NUMBER = "+12125550160"
NAME = "Dorothea Quillfeather"
SAID = "Hello Dorothea, about your Gold plan?"
ASSISTANT = {
    "firstMessage": "Hello {{first_name}}, about your {{plan}} plan?",
    "model": {"provider": "openai", "model": "gpt-4o", "messages": [{"role": "system", "content": "Ask."}]},
    "analysisPlan": {
        "structuredDataPlan": {
            "enabled": True,
            "schema": {"type": "object", "properties": {"interested": {"type": "boolean"}}},
        }
    },
}
ROW = {"phone": "(212) 555-0160", "name": NAME, "First Name": "Dorothea", "Plan": "Gold"}


def test_a_person_is_called_and_exported_and_nothing_private_leaves_the_database(shared_system: System) -> None:
    system = shared_system
    provider = system.provider(speed=SPEED, people={NUMBER: {"outcomes": ["answered"], "mood": "interested"}})
    system.account(provider, "one")
    with system.overhear_redis() as heard:
        system.campaign("one", account="one", assistant_id=None, assistant=ASSISTANT)
        system.import_people([ROW], campaign="one")
        assert "is running" in system.outbound("campaign", "start", "one")
        system.until_over("one")

    # What the provider was told.
    (really,) = provider.ledger()["calls"]
    call = provider.call(really["id"])
    overrides = call["assistantOverrides"]
    assert overrides["variableValues"] == {"first_name": "Dorothea", "plan": "Gold"}
    assert overrides["metadata"]["campaign"] == "one"
    assert really["name"] in overrides["metadata"].values()
    assert overrides["server"]["url"] == f"{system.web_url}/webhooks/vapi/one"
    assert overrides["server"]["credentialId"] == CREDENTIAL
    assert overrides["serverMessages"] == ["status-update", "end-of-call-report", "hang"]
    assert call["customer"] == {"number": NUMBER, "name": NAME, "externalId": really["name"]}
    assert call["phoneNumberId"] in {"number-1", "number-2"}

    # What it told us, by webhooks alone.
    with system.session() as session:
        (stored,) = session.scalars(select(Call).where(Call.provider_id == really["id"])).all()
        outcome = session.get_one(Outcome, stored.id)
        events = session.scalars(select(Event).where(Event.call_id == stored.id).order_by(Event.id)).all()
        learned = {event.type: event.learned for event in events}
        transcript = outcome.transcript
    assert learned == {"accepted": "answered", "status-update": "pushed", "end-of-call-report": "pushed"}
    assert transcript is not None
    assert SAID in transcript

    # What comes of it.
    (row,) = [
        json.loads(line) for line in system.outbound("outcomes", "export", "one", "--format", "jsonl").splitlines()
    ]
    assert (row["phone"], row["name"], row["state"]) == (NUMBER, NAME, "completed")
    assert (row["outcome"], row["answered"], row["attempts"], row["calls"]) == ("answered_completed", True, 1, 1)
    assert row["answers"] == call["analysis"]["structuredData"]
    assert row["answers"]["interested"] is True
    assert row["cost_usd"] == call["cost"] > 0
    talked = datetime.fromisoformat(call["endedAt"]) - datetime.fromisoformat(call["startedAt"])
    assert row["duration_seconds"] == talked.total_seconds() > 0
    assert row["ended_reason"] == really["ended_reason"]
    assert row["last_call_id"] == really["name"]

    # The whole story, in order.
    story = [line["what"] for line in json.loads(system.outbound("prospects", "trace", NUMBER, "--json"))]
    assert "imported" in [line.partition(" by ")[0] for line in story]
    assert story[-1] == "is completed"
    steps = ["call claimed", "call intended", "Vapi said", "settled: answered_completed"]
    assert [step for step in dict.fromkeys(story) if step in steps] == steps  # it says something several times

    # And nothing of it was said aloud: not in a log, not in a task, not in what Flower is told.
    assert "calls.place" in seen_in(heard)
    assert really["name"] in seen_in(heard)
    for private in (NUMBER, NUMBER[2:], "555-0160", "Quillfeather", "Dorothea", KEY, SECRET, "your Gold plan"):
        assert private not in seen_in(heard), private
        assert private not in system.said(), private
