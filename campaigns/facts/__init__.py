"""The queries behind eligibility: for one prospect or a batch, the same facts."""

from __future__ import annotations

from campaigns.facts.campaigns import AWAITS_WORKER, CampaignFacts, about_campaigns, calling_rules
from campaigns.facts.gathering import Alike, about_newcomer, gather, gather_alike, holds_line
from campaigns.facts.numbers import NumberFacts, about_numbers
from campaigns.facts.people import (
    PersonalConsent,
    consent_columns,
    known_consent,
    latest_consent,
    next_call,
    own_consent,
    suppressed,
)

__all__ = [
    "AWAITS_WORKER",
    "Alike",
    "CampaignFacts",
    "NumberFacts",
    "PersonalConsent",
    "about_campaigns",
    "about_newcomer",
    "about_numbers",
    "calling_rules",
    "consent_columns",
    "gather",
    "gather_alike",
    "holds_line",
    "known_consent",
    "latest_consent",
    "next_call",
    "own_consent",
    "suppressed",
]
