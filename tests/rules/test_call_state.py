"""The table of calls: what evidence does, and what it can never do."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules.call_state import (
    FINAL,
    HOLDS_LINE,
    HOLDS_PERSON,
    LIVE,
    CallState,
    Effect,
    Evidence,
    judge,
)

STATES = st.sampled_from(CallState)
EVIDENCE = st.sampled_from(Evidence)
WORDS = [Evidence.QUEUED, Evidence.RINGING, Evidence.IN_PROGRESS, Evidence.FORWARDING, Evidence.ENDED]


def run(state: CallState, evidence: list[Evidence]) -> CallState:
    for piece in evidence:
        state = judge(state, piece).state
    return state


@pytest.mark.parametrize("state", CallState)
@pytest.mark.parametrize("evidence", Evidence)
def test_every_pair_has_an_answer_and_a_stillness_has_its_reason(state: CallState, evidence: Evidence) -> None:
    verdict = judge(state, evidence)
    if verdict.effect is Effect.MOVE:
        assert verdict.state is not state
    else:
        assert verdict.why
    if verdict.effect is Effect.IGNORE:
        assert verdict.state is state
    if verdict.effect is Effect.INCIDENT:
        assert verdict.state in {state, CallState.REVIEW}


@pytest.mark.parametrize(
    ("state", "evidence", "after"),
    [
        (CallState.CLAIMED, Evidence.INTENT, CallState.PLACING),
        (CallState.CLAIMED, Evidence.WITHDRAWN, CallState.NOT_PLACED),
        (CallState.PLACING, Evidence.QUEUED, CallState.QUEUED),
        (CallState.PLACING, Evidence.RINGING, CallState.RINGING),
        (CallState.PLACING, Evidence.WITHDRAWN, CallState.NOT_PLACED),
        (CallState.PLACING, Evidence.UNCLEAR, CallState.UNKNOWN),
        (CallState.UNKNOWN, Evidence.NO_TRACE, CallState.REVIEW),
        (CallState.UNKNOWN, Evidence.WITHDRAWN, CallState.NOT_PLACED),
        (CallState.UNKNOWN, Evidence.ENDED, CallState.ENDED),
        (CallState.REVIEW, Evidence.IN_PROGRESS, CallState.IN_PROGRESS),
        (CallState.QUEUED, Evidence.IN_PROGRESS, CallState.IN_PROGRESS),
        (CallState.IN_PROGRESS, Evidence.FORWARDING, CallState.FORWARDING),
        (CallState.FORWARDING, Evidence.ENDED, CallState.ENDED),
        (CallState.RINGING, Evidence.CONFLICT, CallState.REVIEW),
        (CallState.RINGING, Evidence.NO_TRACE, CallState.REVIEW),
        (CallState.REVIEW, Evidence.DECIDED_NOT_PLACED, CallState.NOT_PLACED),
        (CallState.REVIEW, Evidence.DECIDED_OVER, CallState.ENDED),
    ],
)
def test_the_ledger_moves_as_designed(state: CallState, evidence: Evidence, after: CallState) -> None:
    assert judge(state, evidence).state is after


@given(state=st.sampled_from(sorted(FINAL)), evidence=st.lists(EVIDENCE))
def test_a_final_state_never_regresses(state: CallState, evidence: list[Evidence]) -> None:
    assert run(state, evidence) is state


@given(evidence=st.lists(EVIDENCE))
def test_an_expired_intent_never_becomes_claimed_again(evidence: list[Evidence]) -> None:
    assert run(CallState.PLACING, evidence) is not CallState.CLAIMED


@pytest.mark.parametrize("evidence", [*WORDS, Evidence.CONFLICT])
def test_a_call_of_one_that_was_not_placed_is_an_incident(evidence: Evidence) -> None:
    verdict = judge(CallState.NOT_PLACED, evidence)
    assert verdict.effect is Effect.INCIDENT
    assert verdict.state is CallState.NOT_PLACED


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_live_call_is_not_undone_by_what_we_failed_to_hear(state: CallState) -> None:
    for evidence in (Evidence.UNCLEAR, Evidence.WITHDRAWN, Evidence.INTENT):
        assert judge(state, evidence).state is state


@given(evidence=st.lists(EVIDENCE))
def test_a_call_that_two_provider_calls_claim_stays_in_review_until_a_person_says_it_is_over(
    evidence: list[Evidence],
) -> None:
    for piece in evidence:
        over = piece is Evidence.DECIDED_OVER
        expected = CallState.ENDED if over else CallState.REVIEW
        assert judge(CallState.REVIEW, piece, disputed=True).state is expected


@pytest.mark.parametrize("state", [state for state in CallState if state is not CallState.REVIEW])
def test_a_person_decides_about_calls_in_review_alone(state: CallState) -> None:
    for decided in (Evidence.DECIDED_NOT_PLACED, Evidence.DECIDED_OVER):
        assert judge(state, decided).effect is Effect.IGNORE


@pytest.mark.parametrize("state", CallState)
def test_a_second_provider_call_is_an_incident_in_every_state(state: CallState) -> None:
    assert judge(state, Evidence.CONFLICT).effect is Effect.INCIDENT


def test_any_order_and_repetition_with_an_ending_ends_the_call() -> None:
    for order in permutations(WORDS):
        for start in (CallState.PLACING, CallState.UNKNOWN, CallState.REVIEW):
            assert run(start, [*order, *order]) is CallState.ENDED


def test_whoever_may_have_been_rung_is_held() -> None:
    assert set(CallState) - FINAL == HOLDS_PERSON
    assert CallState.REVIEW not in HOLDS_LINE
    assert LIVE < HOLDS_LINE < HOLDS_PERSON
