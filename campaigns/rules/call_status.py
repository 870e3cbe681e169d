"""Where a placed call stands at the provider, in our words."""

from __future__ import annotations

from enum import StrEnum


class CallStatus(StrEnum):
    """What the provider says of a call that it has accepted, in the order that a call goes through."""

    SCHEDULED = "scheduled"
    """Accepted for later; nobody is being called yet."""
    QUEUED = "queued"
    """Accepted, and waiting for a line."""
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    """Somebody or something picked up."""
    FORWARDING = "forwarding"
    """Being handed on to another number or assistant."""
    ENDED = "ended"
    """Over. The provider never takes this back."""
