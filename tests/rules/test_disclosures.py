"""What has to be said at the beginning of a call, where, and by which words it is recognised."""

from __future__ import annotations

import pytest

from campaigns.rules import calling_rules
from campaigns.rules.disclosures import Duty, asked_by, seems_to_say


@pytest.mark.parametrize(
    ("codes", "asked"),
    [
        (["US", "US-TX"], {Duty.IDENTIFY: ["US"], Duty.OPT_OUT: ["US"]}),
        (
            ["US", "US-CA", "US-PA"],
            {
                Duty.IDENTIFY: ["US"],
                Duty.ARTIFICIAL: ["US-CA"],
                Duty.OPT_OUT: ["US", "US-PA"],
                Duty.RECORDING: ["US-CA", "US-PA"],
            },
        ),
        (["EU", "DE"], {Duty.ARTIFICIAL: ["EU"], Duty.RECORDING: ["DE"]}),
        (["SG"], {}),
        ([], {}),
    ],
)
def test_each_place_asks_for_its_own(codes: list[str], asked: dict[Duty, list[str]]) -> None:
    assert {duty: [place.code for place in places] for duty, places in asked_by(codes).items()} == asked


def test_all_states_in_which_everybody_must_consent_to_a_recording_are_there() -> None:
    states = ["CA", "CT", "DE", "FL", "IL", "MA", "MD", "MI", "MT", "NH", "NV", "OR", "PA", "WA"]
    found = asked_by([f"US-{state}" for state in [*states, "TX", "NY", "UT"]])[Duty.RECORDING]
    assert [place.code for place in found] == [f"US-{state}" for state in states]
    assert all(place.sources and place.duties[Duty.RECORDING] for place in found)


def test_every_country_is_one_that_the_calling_rules_know() -> None:
    for places in asked_by(["US", "CA", "EU", "DE", "AU", "JP"]).values():
        assert all(calling_rules.lookup(place.code) is not None for place in places if "-" not in place.code)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hi Dana, this is Ada of Northwind.", {Duty.IDENTIFY}),
        ("I\u2019m an AI assistant", {Duty.ARTIFICIAL}),
        ("Hi, I am calling about your appointment.", set()),  # that names nobody
        ("I\u2019m from Northwind", {Duty.IDENTIFY}),
        ("Say stop at any time.", {Duty.OPT_OUT}),
        ("Calls are RECORDED.", {Duty.RECORDING}),
        ("He said the air was stopped by a robotic maid", set()),  # parts of words say nothing
        ("", set()),
    ],
)
def test_a_few_words_say_what_a_text_says(text: str, said: set[Duty]) -> None:
    assert {duty for duty in Duty if seems_to_say(text, duty)} == said
