"""Where somebody is, by their address."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any
from zoneinfo import available_timezones

import pytest

from campaigns.rules.address import NOWHERE, Address, locate
from campaigns.rules.phone.geography import _facts


def listed() -> dict[str, Any]:
    text = (resources.files("campaigns.rules") / "data" / "states.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize(
    ("country", "state", "postal_code", "states", "zones"),
    [
        ("US", "TX", None, {"US-TX"}, {"America/Chicago", "America/Denver"}),
        ("US", "texas", None, {"US-TX"}, {"America/Chicago", "America/Denver"}),
        ("US", "us-tx", None, {"US-TX"}, {"America/Chicago", "America/Denver"}),
        ("US", "D.C.", None, {"US-DC"}, {"America/New_York"}),
        ("US", None, "02139", {"US-MA"}, {"America/New_York"}),
        ("US", None, "2139", {"US-MA"}, {"America/New_York"}),  # as a spreadsheet leaves it
        ("US", None, "02139-4307", {"US-MA"}, {"America/New_York"}),
        ("US", None, "96910", {"US-GU"}, {"Pacific/Guam"}),
        ("US", None, "96950-1234", {"US-MP"}, {"Pacific/Guam"}),
        ("US", None, "96799", {"US-AS"}, {"Pacific/Pago_Pago"}),
        ("US", None, "96701", {"US-HI"}, {"Pacific/Honolulu"}),
        ("US", None, "96940", set(), set()),  # Palau is no clock of the US, nor are those beside it
        ("US", None, "96941", set(), set()),
        ("US", None, "96960", set(), set()),
        ("US", None, "09012", set(), set()),  # forces abroad are anywhere
        ("US", "CA", "10001", {"US-CA", "US-NY"}, {"America/Los_Angeles", "America/New_York"}),
        ("CA", "Québec", None, {"CA-QC"}, {"America/Toronto", "America/Halifax"}),
        ("CA", None, "k1a 0b1", {"CA-ON"}, {"America/Toronto", "America/Winnipeg"}),
        ("AU", None, "0800", {"AU-NT"}, {"Australia/Darwin"}),
        (
            "AU",
            None,
            "0872",
            {"AU-NT", "AU-SA", "AU-WA"},
            {"Australia/Darwin", "Australia/Adelaide", "Australia/Perth", "Australia/Eucla"},
        ),
        ("AU", None, "4825", {"AU-QLD", "AU-NT"}, {"Australia/Brisbane", "Australia/Darwin"}),
        ("AU", None, "4383", {"AU-QLD", "AU-NSW"}, None),
        ("AU", None, "2899", {"AU-NF"}, {"Pacific/Norfolk"}),
        ("AU", None, "6798", {"AU-CX"}, {"Indian/Christmas"}),
        ("AU", None, "6799", {"AU-CC"}, {"Indian/Cocos"}),
        ("AU", "New South Wales", "2600", {"AU-NSW", "AU-ACT"}, None),
        ("US", None, "no code", set(), set()),
    ],
)
def test_an_address_tells_its_state_and_every_clock_there(
    country: str, state: str | None, postal_code: str | None, states: set[str], zones: set[str] | None
) -> None:
    found = locate(country, state, postal_code)
    assert found is not None
    assert found.states == states
    assert zones is None or found.zones == zones


def test_a_state_that_the_country_has_not_is_none() -> None:
    assert locate("US", "Bavaria", None) is None
    assert locate("CA", "TX", None) is None


def test_where_states_have_no_clocks_of_their_own_an_address_tells_nothing() -> None:
    assert locate("DE", "Bayern", "80331") == locate(None, "TX", None) == NOWHERE == Address(frozenset(), frozenset())


def test_every_state_with_an_area_code_is_listed_and_every_zone_exists() -> None:
    states = {f"{country}-{code}" for country, found in listed().items() for code in found}
    by_code = {state for found in _facts().states.values() for state in found}
    assert by_code - states == set()
    zones = {zone for found in listed().values() for state in found.values() for zone in state["zones"]}
    assert zones - available_timezones() == set()


def test_postal_codes_of_two_states_are_few() -> None:
    shared: dict[tuple[str, int | str], list[str]] = {}
    for country, found in listed().items():
        for code, state in found.items():
            for part in state["postal"].split():
                first, _, last = part.partition("-")
                for number in range(int(first), int(last or first) + 1) if first.isdecimal() else [first]:
                    shared.setdefault((country, number), []).append(code)
    assert {key: codes for key, codes in shared.items() if len(codes) > 1} == {
        ("US", 63): ["CT", "NY"],
        ("US", 834): ["ID", "WY"],
        ("CA", "X"): ["NT", "NU"],
        ("AU", 872): ["NT", "SA", "WA"],
        ("AU", 2406): ["NSW", "QLD"],
        **{("AU", code): ["NSW", "VIC"] for code in (3500, 3585, 3586, 3644, 3691, 3707)},
        **{("AU", code): ["NSW", "QLD"] for code in (4377, 4380, 4383, 4384, 4385)},
        ("AU", 4825): ["NT", "QLD"],
    }
