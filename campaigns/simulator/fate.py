"""How a call goes: a pure function of the seed, the number, and how many calls the number has had."""

from __future__ import annotations

from dataclasses import dataclass

from campaigns.simulator.chance import between, dice, pick
from campaigns.simulator.faults import LetterFault
from campaigns.simulator.scenario import Mood, Outcome, Scenario

REASONS: dict[Outcome, dict[str, float]] = {
    Outcome.ANSWERED: {
        "customer-ended-call": 0.55,
        "assistant-ended-call": 0.25,
        "assistant-said-end-call-phrase": 0.15,
        "silence-timed-out": 0.05,
    },
    Outcome.NO_ANSWER: {"customer-did-not-answer": 1},
    Outcome.BUSY: {"customer-busy": 1},
    Outcome.VOICEMAIL: {"voicemail": 1},
    Outcome.FAILED: {
        "twilio-failed-to-connect-call": 0.7,
        "twilio-reported-customer-misdialed": 0.15,
        "call.in-progress.error-sip-outbound-call-failed-to-connect": 0.15,
    },
    Outcome.PIPELINE_ERROR: {
        "call.in-progress.error-providerfault-openai-503-server-overloaded-error": 0.6,
        "pipeline-error-eleven-labs-voice-failed": 0.4,
    },
}
"""Vapi's words for the end of a call, with the share of each."""

ANSWERING = frozenset({Outcome.ANSWERED, Outcome.VOICEMAIL, Outcome.PIPELINE_ERROR})
"""Outcomes in which something picks up."""


@dataclass(frozen=True, slots=True)
class Fate:
    """One call's course. All durations in simulated seconds."""

    outcome: Outcome
    ended_reason: str
    mood: Mood
    dial: float
    ring: float | None
    """None when it never rings."""
    talk: float | None
    """None when nothing picks up."""
    processing: float
    stalls_after: float | None
    """When, into the conversation, the assistant stalls; None for most."""


def draw(scenario: Scenario, number: str, nth: int) -> Fate:
    """The course of the call number `nth` (from 0) to `number`.

    Every roll is made in every case, so that changing one weight does not reshuffle the rest.
    """
    rng = dice(scenario.seed, number, nth, "fate")
    outcome_roll, reason_roll, mood_roll, stall_roll, stall_at = (rng.random() for _ in range(5))
    person = scenario.people.get(number)
    scripted = person is not None and nth < len(person.outcomes)
    outcome = (
        person.outcomes[nth]
        if person is not None and scripted
        else Outcome(pick(scenario.outcomes.shares(), outcome_roll) or Outcome.ANSWERED)
    )
    mood = (person.mood if person is not None else None) or Mood(
        pick(scenario.moods.shares(), mood_roll) or Mood.INTERESTED
    )
    lengths = scenario.durations
    rolls = {name: between(rng, bounds) for name, bounds in lengths}
    talk = {
        Outcome.ANSWERED: rolls["talk"],
        Outcome.VOICEMAIL: rolls["voicemail"],
        Outcome.PIPELINE_ERROR: round(rolls["talk"] / 3, 3),  # it breaks before the conversation is over
    }.get(outcome)
    ring = {Outcome.NO_ANSWER: rolls["no_answer"], Outcome.BUSY: rolls["busy"], Outcome.FAILED: None}.get(
        outcome, rolls["ring"]
    )
    stalls = outcome is Outcome.ANSWERED and stall_roll < scenario.webhooks.hang
    return Fate(
        outcome=outcome,
        ended_reason=pick(REASONS[outcome], reason_roll) or next(iter(REASONS[outcome])),
        mood=mood,
        dial=rolls["dial"],
        ring=ring,
        talk=talk,
        processing=rolls["processing"],
        stalls_after=round(talk * stall_at, 3) if stalls and talk is not None else None,
    )


FIRST_MESSAGE = "queued"


def fault_of_letter(scenario: Scenario, number: str, nth: int, label: str) -> LetterFault:
    """What happens to the message `label` (its status, else its type) about the call number `nth` to `number`.

    A call that has a script meets what the script says and nothing else.
    """
    person = scenario.people.get(number)
    if person is not None and nth < len(person.webhooks):
        return person.webhooks[nth].get(label, LetterFault.NONE)
    rng = dice(scenario.seed, number, nth, "webhook", label)
    rates = scenario.webhooks
    for fault, share in (
        (LetterFault.LOST, rates.lost),
        (LetterFault.DOUBLED, rates.doubled),
        (LetterFault.REORDERED, rates.reordered),
        (LetterFault.LATE, rates.late),
        (LetterFault.EARLY, rates.early if label == FIRST_MESSAGE else 0),
    ):
        if rng.random() < share:
            return fault
    return LetterFault.NONE
