"""The tables, in the order in which a prospect meets them.

Lock order, everywhere: account → pace → campaign → person → prospect → call → a provider's id (`ledger.guard_ids`) →
event; a campaign's spending and then its tallies last (see `ledger`).
An intent takes the pace after its calls: whoever holds a pace waits for neither
prospects nor calls.
Times in columns named `…_at` are the campaign's clock; `check_at`, `slot_at` and the leases are real time, because a
rehearsal that runs faster must not shorten the seconds in which a process may be believed dead.
"""

from __future__ import annotations

from campaigns.models.accounts import LOCK_REHEARSAL, Account, Heartbeat, Home, Pace, PhoneNumber, Rehearsal
from campaigns.models.base import Base
from campaigns.models.calls import Call, Event, MessageCount, Outcome
from campaigns.models.campaigns import TALLY_SLOTS, Campaign, Change, RuleOverride, Spending, Tally
from campaigns.models.history import Correction, Ruling
from campaigns.models.people import Consent, FilePiece, Import, Person, Prospect, RejectedRow, Suppression

__all__ = [
    "LOCK_REHEARSAL",
    "TALLY_SLOTS",
    "Account",
    "Base",
    "Call",
    "Campaign",
    "Change",
    "Consent",
    "Correction",
    "Event",
    "FilePiece",
    "Heartbeat",
    "Home",
    "Import",
    "MessageCount",
    "Outcome",
    "Pace",
    "Person",
    "PhoneNumber",
    "Prospect",
    "Rehearsal",
    "RejectedRow",
    "RuleOverride",
    "Ruling",
    "Spending",
    "Suppression",
    "Tally",
]
