"""What an account file and a campaign file may say, checked before anything is stored."""

from __future__ import annotations

from campaigns.rules.definition.account import AccountDefinition, BearerCheck, HmacCheck, WebhookCheck
from campaigns.rules.definition.campaign import RESERVED_VARIABLES, CampaignDefinition
from campaigns.rules.definition.people import Mapping_
from campaigns.rules.definition.reading import read_definition
from campaigns.rules.definition.section import NAME
from campaigns.rules.definition.trying import Breaker, RetryPlan
from campaigns.rules.definition.voicemail import Voicemail

__all__ = [
    "NAME",
    "RESERVED_VARIABLES",
    "AccountDefinition",
    "BearerCheck",
    "Breaker",
    "CampaignDefinition",
    "HmacCheck",
    "Mapping_",
    "RetryPlan",
    "Voicemail",
    "WebhookCheck",
    "read_definition",
]
