"""Scenario files, the clock, and counting per second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from campaigns.simulator.clock import Clock, epoch_ms, iso
from campaigns.simulator.mistakes import SimulatorError
from campaigns.simulator.rates import SlidingSecond
from campaigns.simulator.scenario import OverConcurrency, Scenario, load_scenario


def _file(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_example_names_every_key_with_its_default() -> None:
    path = Path(str(files("campaigns.simulator"))) / "data" / "example.toml"
    example = load_scenario(path, {})
    assert example.model_fields_set == set(Scenario.model_fields) - {"org_id"}
    plain = Scenario()
    for table in ("outcomes", "moods", "durations", "post_faults", "webhooks", "listing"):
        assert getattr(example, table) == getattr(plain, table)
        assert getattr(example, table).model_fields_set == set(type(getattr(plain, table)).model_fields)
    for table in ("key_revoked", "outage"):
        assert getattr(example, table).model_fields_set == set(type(getattr(plain, table)).model_fields)
    for key in ("seed", "key", "concurrency", "over_concurrency", "retry_after"):
        assert getattr(example, key) == getattr(plain, key)


def test_what_a_file_leaves_out_has_its_default_but_weights_are_whole(tmp_path: Path) -> None:
    scenario = load_scenario(_file(tmp_path, 'over_concurrency = "reject"\n[outcomes]\nbusy = 3\nanswered = 1\n'), {})
    assert scenario.over_concurrency is OverConcurrency.REJECT
    assert scenario.concurrency == 10
    shares = scenario.outcomes.shares()
    assert shares["busy"] == 0.75
    assert shares["no_answer"] == 0


def test_secrets_can_come_from_the_environment(tmp_path: Path) -> None:
    path = _file(tmp_path, 'key = "env:THE_KEY"\n[credentials]\nc = "env:THE_SECRET"\nd = "plain"\n')
    scenario = load_scenario(path, {"THE_KEY": "k", "THE_SECRET": "s"})
    assert scenario.key == "k"
    assert scenario.credentials == {"c": "s", "d": "plain"}
    with pytest.raises(SimulatorError, match=r"credentials\.c: the environment variable THE_SECRET is not set"):
        load_scenario(path, {"THE_KEY": "k"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("concurrency = -1", "concurrency: must be 0 or more"),
        (
            "[webhooks]\nlots = 1",
            "webhooks.lots: no such key; allowed here: lost, doubled, reordered, late, early, late_seconds, hang",
        ),
        ('[people."+1".x]\na = 1', "people.+1.x: no such key; allowed here: outcomes, mood, faults, webhooks"),
        ('[people."+1"]\noutcomes = ["gone"]', "people.+1.outcomes.0: must be one of: answered, no_answer, busy"),
        ("concurrency", "is not valid TOML"),
        ("concurrency = true", "concurrency: must be a whole number"),
        ("retry_after = 1", "retry_after: must be true or false"),
        ('key = ""', "key: must not be empty"),
        ("key = 1", "key: must be text in quotes"),
        ("webhooks = 1", "webhooks: must be a table"),
        ('[webhooks]\nlost = "x"', "webhooks.lost: must be a number"),
        ("[durations]\ntalk = 5", "durations.talk: must be a list in brackets"),
        ("[durations]\ntalk = [5]", "durations.talk.1: is missing; it must be given"),
        ("[post_faults]\nrefuse_200 = 1", "post_faults: no such key refuse_200; allowed here: accept_then_500 (or"),
        ('[people."+1"]\nfaults = ["boom"]', "people.+1.faults.0: 'boom' is no fault of a POST; allowed: none, acc"),
        ('[people."+1"]\nwebhooks = [{ ended = "x" }]', "people.+1.webhooks.0.ended: must be one of: none, lost, dou"),
        ("[limits.n]", "limits.n.per_day: is missing; it must be given"),
        ("[outage]\nspans = [[2030-01-01T00:00:00Z, 2029-01-01T00:00:00Z]]", "outage.spans.0: must be two moments, ["),
        ("[key_revoked]\nat = 2030-01-01T00:00:00", "key_revoked.at: must be a moment with its offset, such as"),
    ],
)
def test_a_wrong_file_is_named_with_its_key_and_what_is_allowed(tmp_path: Path, content: str, message: str) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(SimulatorError) as caught:
        load_scenario(path, {})
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Input should" not in str(caught.value)


def test_every_mistake_has_its_own_line(tmp_path: Path) -> None:
    path = _file(tmp_path, "concurrency = -1\n[webhooks]\nlost = 2\n")
    with pytest.raises(SimulatorError) as caught:
        load_scenario(path, {})
    assert str(caught.value).split("\n") == [
        f"{path}: concurrency: must be 0 or more",
        f"{path}: webhooks.lost: must be 1 or less",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="cannot be read"):
        load_scenario(tmp_path / "none.toml", {})


def test_simulated_time_runs_from_its_origin_at_its_speed() -> None:
    origin, started = datetime(2030, 1, 1, tzinfo=UTC), datetime(2026, 5, 5, tzinfo=UTC)
    clock = Clock(origin, started, speed=60)
    assert clock.at(started) == origin
    assert clock.at(started + timedelta(seconds=2)) == origin + timedelta(minutes=2)
    assert clock.at(started - timedelta(seconds=1)) == origin - timedelta(minutes=1)


def test_moments_are_written_as_vapi_writes_them() -> None:
    moment = datetime(2026, 8, 18, 17, 4, 5, 120_000, tzinfo=UTC)
    assert iso(moment) == "2026-08-18T17:04:05.120Z"
    assert epoch_ms(moment) == 1_787_072_645_120


def test_a_sliding_second_lets_the_limit_through_and_says_when_there_is_room() -> None:
    window = SlidingSecond()
    assert [window.wait_before(2, now) for now in (10.0, 10.5)] == [0, 0]
    assert window.wait_before(2, 10.75) == 0.25
    assert window.wait_before(2, 11.0) == 0
    assert window.wait_before(2, 11.25) == 0.25
    assert window.wait_before(None, 11.25) == 0


@pytest.mark.parametrize(
    ("moments", "most"),
    [([], 0), ([1.0], 1), ([1.0, 1.5, 2.0], 2), ([1.0, 1.9, 1.99, 2.5, 9.0], 3), ([1.0, 1.0, 1.0], 3)],
)
def test_the_most_in_any_second_is_found(moments: list[float], most: int) -> None:
    window = SlidingSecond()
    assert [window.wait_before(None, moment) for moment in moments] == [0] * len(moments)
    assert window.most == most
