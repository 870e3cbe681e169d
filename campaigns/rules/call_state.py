"""The life of one call as a table: `(state, evidence) → verdict`.

    claimed → placing → queued → ringing → in_progress (→ forwarding) → ended
    claimed → not_placed                    a check failed: nothing was sent
    placing → not_placed | unknown | any later state
    unknown | review → any

A call row stands for at most one `POST /call`. What arrives later (answers, webhooks, what we asked for) is
evidence; it may come twice, late or in any order, and every pair of state and evidence has an answer here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CallState(StrEnum):
    """Where a call stands. Each says how it is entered, how it is left, and what rescues it."""

    CLAIMED = "claimed"
    """Entered when the dispatcher takes a due prospect; left by the intent; past its lease it is offered again."""
    PLACING = "placing"
    """Entered by the committed intent, just before the POST; left by the answer; past its lease it is `unknown`."""
    UNKNOWN = "unknown"
    """The provider may have placed it; left by any word of the provider; after the quiet period it is `review`."""
    QUEUED = "queued"
    """The provider accepted it; left by its next word; when it falls silent the provider is asked."""
    RINGING = "ringing"
    """The telephone rings; left as `queued` is."""
    IN_PROGRESS = "in_progress"
    """Somebody or something answered; left as `queued` is."""
    FORWARDING = "forwarding"
    """Being transferred; left as `queued` is."""
    ENDED = "ended"
    """Over. Final."""
    NOT_PLACED = "not_placed"
    """Proven never placed. Final."""
    REVIEW = "review"
    """Nobody can tell whether it was placed; left by late evidence or by a person's decision."""


class Evidence(StrEnum):
    """What can be learned about a call."""

    INTENT = "intent"
    """We are about to send the request."""
    WITHDRAWN = "withdrawn"
    """Nothing was sent, or the provider refused it: there is no call."""
    UNCLEAR = "unclear"
    """The request may have arrived: no readable answer, or the worker vanished."""
    QUEUED = "queued"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    FORWARDING = "forwarding"
    ENDED = "ended"
    CONFLICT = "conflict"
    """Another provider id than the stored one speaks for this call."""
    NO_TRACE = "no_trace"
    """The quiet period passed, and the provider was asked several times and does not know the call."""
    DECIDED_NOT_PLACED = "decided_not_placed"
    """A person looked at a call in review and says that it never was placed."""
    DECIDED_OVER = "decided_over"
    """A person looked at a call in review and says that it was placed and is over."""


HOLDS_PERSON = frozenset(
    {
        CallState.CLAIMED,
        CallState.PLACING,
        CallState.UNKNOWN,
        CallState.QUEUED,
        CallState.RINGING,
        CallState.IN_PROGRESS,
        CallState.FORWARDING,
        CallState.REVIEW,
    }
)
"""While a call is in one of these, nobody may call that prospect or that person again."""

HOLDS_LINE = HOLDS_PERSON - {CallState.REVIEW}
"""While a call is in one of these it uses one of the account's lines (`unknown` only up to its longest duration)."""

LIVE = frozenset({CallState.QUEUED, CallState.RINGING, CallState.IN_PROGRESS, CallState.FORWARDING})
"""The provider has accepted the call and has not ended it."""

PLACED = LIVE | {CallState.ENDED}
"""The provider has accepted the call: a request of ours became one."""

IN_FLIGHT = LIVE | {CallState.PLACING, CallState.UNKNOWN}
"""It goes on at the provider, or may: no stop of ours prevents it any more."""

FINAL = frozenset({CallState.ENDED, CallState.NOT_PLACED})


class Effect(StrEnum):
    """What a piece of evidence does."""

    MOVE = "move"
    IGNORE = "ignore"
    INCIDENT = "incident"
    """Somebody was or may have been rung against our ledger: record it and say so. A final state stays as it is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state after the evidence, what the evidence did, and why where that is not plain."""

    state: CallState
    effect: Effect
    why: str = ""


def judge(state: CallState, evidence: Evidence, *, disputed: bool = False) -> Verdict:
    """What `evidence` means for a call in `state`. Every pair has an answer.

    `disputed` says that the call has an incident: a word about one of two calls says nothing about the other.
    """
    verdict = _TABLE[state][evidence]
    decided = evidence is Evidence.DECIDED_OVER  # the other decision cannot be right: the provider has such a call
    if disputed and not decided and state is CallState.REVIEW and verdict.effect is Effect.MOVE:
        return Verdict(state, Effect.IGNORE, "two provider calls claim this call: a person decides")
    return verdict


_AHEAD = {
    Evidence.QUEUED: CallState.QUEUED,
    Evidence.RINGING: CallState.RINGING,
    Evidence.IN_PROGRESS: CallState.IN_PROGRESS,
    Evidence.FORWARDING: CallState.FORWARDING,
    Evidence.ENDED: CallState.ENDED,
}
"""The provider's words in the order of a call's life."""
_ORDER = list(_AHEAD.values())

HEARD = frozenset({*_AHEAD, Evidence.CONFLICT})
"""What only the provider can have said: a sign of life. The rest is what we did, or did not hear."""


def _move(state: CallState, why: str = "") -> Verdict:
    return Verdict(state, Effect.MOVE, why)


def _disputed() -> Verdict:
    return Verdict(CallState.REVIEW, Effect.INCIDENT, "two provider calls claim this call: somebody may be rung twice")


def _before_the_provider_spoke(state: CallState) -> dict[Evidence, Verdict]:
    """`claimed`, `placing`, `unknown` and `review`: any word of the provider is taken, however late or early."""
    row = {evidence: _move(target) for evidence, target in _AHEAD.items()}
    row[Evidence.WITHDRAWN] = _move(CallState.NOT_PLACED)
    row[Evidence.CONFLICT] = _disputed()
    row[Evidence.INTENT] = Verdict(state, Effect.IGNORE, "an intent is committed once")
    row[Evidence.UNCLEAR] = Verdict(state, Effect.IGNORE, "already unclear")
    row[Evidence.NO_TRACE] = Verdict(state, Effect.IGNORE, "only a call that was or may have been placed is looked for")
    return row | _undecided(state)


def _after_the_provider_spoke(state: CallState) -> dict[Evidence, Verdict]:
    """A live call: it only moves on, and what we failed to hear back no longer matters."""
    late = Verdict(state, Effect.IGNORE, "late or repeated: a call only moves on")
    row = {
        evidence: _move(target) if _ORDER.index(target) > _ORDER.index(state) else late
        for evidence, target in _AHEAD.items()
    }
    known = Verdict(state, Effect.IGNORE, "the provider already reported this call")
    row.update(dict.fromkeys((Evidence.INTENT, Evidence.WITHDRAWN, Evidence.UNCLEAR), known))
    row[Evidence.NO_TRACE] = _move(CallState.REVIEW, "it was reported, but the provider does not list it")
    row[Evidence.CONFLICT] = _disputed()
    return row | _undecided(state)


def _undecided(state: CallState) -> dict[Evidence, Verdict]:
    """A person decides what nobody else can tell any more, and nothing before that."""
    undecided = Verdict(state, Effect.IGNORE, "only a call in review is decided")
    return dict.fromkeys((Evidence.DECIDED_NOT_PLACED, Evidence.DECIDED_OVER), undecided)


def _closed(state: CallState, odd: frozenset[Evidence], why: str) -> dict[Evidence, Verdict]:
    """A final state: nothing re-opens it; the evidence in `odd` is an incident."""
    return {
        evidence: Verdict(state, Effect.INCIDENT, why)
        if evidence in odd
        else Verdict(state, Effect.IGNORE, "final: nothing re-opens it")
        for evidence in Evidence
    }


_TABLE: dict[CallState, dict[Evidence, Verdict]] = {
    CallState.CLAIMED: _before_the_provider_spoke(CallState.CLAIMED)
    | {
        Evidence.INTENT: _move(CallState.PLACING),
        # Nothing was sent, so there is nothing to be unclear about: the lease offers it again.
        Evidence.UNCLEAR: Verdict(CallState.CLAIMED, Effect.IGNORE, "nothing was sent"),
    },
    CallState.PLACING: _before_the_provider_spoke(CallState.PLACING) | {Evidence.UNCLEAR: _move(CallState.UNKNOWN)},
    CallState.UNKNOWN: _before_the_provider_spoke(CallState.UNKNOWN) | {Evidence.NO_TRACE: _move(CallState.REVIEW)},
    CallState.QUEUED: _after_the_provider_spoke(CallState.QUEUED),
    CallState.RINGING: _after_the_provider_spoke(CallState.RINGING),
    CallState.IN_PROGRESS: _after_the_provider_spoke(CallState.IN_PROGRESS),
    CallState.FORWARDING: _after_the_provider_spoke(CallState.FORWARDING),
    CallState.ENDED: _closed(
        CallState.ENDED, frozenset({Evidence.CONFLICT}), "a second provider call exists for this call"
    ),
    CallState.NOT_PLACED: _closed(
        CallState.NOT_PLACED,
        frozenset({*_AHEAD, Evidence.CONFLICT}),
        "the provider reports a call that was taken for not placed: the person may have been rung twice",
    ),
    CallState.REVIEW: _before_the_provider_spoke(CallState.REVIEW)
    | {
        Evidence.DECIDED_NOT_PLACED: _move(CallState.NOT_PLACED),
        Evidence.DECIDED_OVER: _move(CallState.ENDED),
    },
}
