"""The call ledger: the only place that moves a call or a prospect from one state to another, and that counts."""

from __future__ import annotations

from campaigns.ledger.auditing import US, record
from campaigns.ledger.counting import count, write_tallies
from campaigns.ledger.locking import (
    Locked,
    find_id,
    guard_ids,
    lock,
    lock_all,
    lock_pace,
    lock_to_change,
    queue_to_share,
)
from campaigns.ledger.moving import block, heard, know, move, pause, spoken_of
from campaigns.ledger.standing import due_again, finish_waiting, is_new, set_state, uncount, wait_again, write_rulings

__all__ = [
    "US",
    "Locked",
    "block",
    "count",
    "due_again",
    "find_id",
    "finish_waiting",
    "guard_ids",
    "heard",
    "is_new",
    "know",
    "lock",
    "lock_all",
    "lock_pace",
    "lock_to_change",
    "move",
    "pause",
    "queue_to_share",
    "record",
    "set_state",
    "spoken_of",
    "uncount",
    "wait_again",
    "write_rulings",
    "write_tallies",
]
