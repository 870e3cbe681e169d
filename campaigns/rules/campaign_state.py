"""Where a campaign stands, and which commands may move it."""

from __future__ import annotations

from enum import StrEnum

from campaigns.errors import NotAllowed


class CampaignState(StrEnum):
    """The life of a campaign."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    """Started by somebody, waiting for its `starts_at`."""
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


PAUSED_ITSELF = "paused itself: "
"""How the reason begins where no person paused the campaign."""


class Command(StrEnum):
    """What a person may ask of a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


_FROM = {
    Command.START: {CampaignState.DRAFT},
    Command.PAUSE: {CampaignState.SCHEDULED, CampaignState.RUNNING},
    Command.RESUME: {CampaignState.PAUSED},
    Command.CANCEL: {CampaignState.DRAFT, CampaignState.SCHEDULED, CampaignState.RUNNING, CampaignState.PAUSED},
}


def after(state: CampaignState, command: Command, *, started: bool) -> CampaignState:
    """The state after `command`; `started` says whether the campaign's start instant has passed.

    Raises `NotAllowed` where the command makes no sense in that state.
    """
    if state not in _FROM[command]:
        allowed = ", ".join(sorted(_FROM[command]))
        raise NotAllowed(f"a {state} campaign cannot {command}: that takes one that is {allowed}")
    if command is Command.PAUSE:
        return CampaignState.PAUSED
    if command is Command.CANCEL:
        return CampaignState.CANCELLED
    return CampaignState.RUNNING if started else CampaignState.SCHEDULED
