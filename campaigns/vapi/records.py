"""The provider's record of a call that we asked for: what a ledger that lost the call needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from campaigns.vapi.endings import instant, mapping, text
from campaigns.vapi.events import CALL_ID_KEY


@dataclass(frozen=True, slots=True)
class Placed:
    """One of our calls as the provider has it."""

    call_id: UUID
    provider_id: str
    campaign: str
    number: str
    extension: str
    phone_number_id: str | None
    created_at: datetime


def read_placed(record: Mapping[str, Any]) -> Placed | None:
    """The call in `record`; None where it does not carry what we send along with every call of ours."""
    call = dict(record)
    ours = mapping(mapping(call, "assistantOverrides"), "metadata") or mapping(
        mapping(call, "squadOverrides"), "metadata"
    )
    customer = mapping(call, "customer")
    provider_id, created_at = text(call.get("id")), instant(call.get("createdAt"))
    campaign, number = text(ours.get("campaign")), text(customer.get("number"))
    try:
        call_id = UUID(str(ours.get(CALL_ID_KEY)))
    except ValueError:
        return None
    if provider_id is None or created_at is None or campaign is None or number is None:
        return None
    return Placed(
        call_id=call_id,
        provider_id=provider_id,
        campaign=campaign,
        number=number,
        extension=text(customer.get("extension")) or "",
        phone_number_id=text(call.get("phoneNumberId")),
        created_at=created_at,
    )
