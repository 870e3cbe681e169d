"""When a campaign has to stop and let a person look."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules.breaker import trips
from campaigns.rules.definition import Breaker
from campaigns.rules.outcome import TECHNICAL, OutcomeClass

FAILED, FINE = OutcomeClass.PIPELINE_ERROR, OutcomeClass.NO_ANSWER


def test_half_of_the_latest_twenty_is_too_many() -> None:
    assert trips([FAILED] * 10 + [FINE] * 10, Breaker())
    assert not trips([FAILED] * 9 + [FINE] * 11, Breaker())
    assert not trips([FAILED] * 19, Breaker())
    assert not trips([FINE] * 20 + [FAILED] * 200, Breaker())
    assert not trips([FAILED] * 20, Breaker(enabled=False))


@given(
    latest=st.lists(st.sampled_from(OutcomeClass), max_size=60),
    share=st.floats(0.01, 1),
    calls=st.integers(5, 40),
)
def test_only_the_share_among_so_many_calls_counts(latest: list[OutcomeClass], share: float, calls: int) -> None:
    breaker = Breaker(share=share, calls=calls)
    tripped = trips(latest, breaker)
    assert tripped == trips(latest[:calls], breaker)
    if tripped:
        assert len(latest) >= calls
        assert sum(each in TECHNICAL for each in latest[:calls]) / calls >= share - 1e-9
        assert trips([FAILED, *latest[:calls]][:calls] if latest[calls - 1] not in TECHNICAL else latest, breaker)
