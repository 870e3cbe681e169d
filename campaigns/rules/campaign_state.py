"""Where a campaign stands, and which commands may move it."""

from __future__ import annotations

from enum import StrEnum


class CampaignState(StrEnum):
    """The life of a campaign."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    """Started by somebody, waiting for its `starts_at`."""
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


OVER = frozenset({CampaignState.COMPLETED, CampaignState.CANCELLED})
"""It calls nobody any more, and takes nobody in."""

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


_STOPPED = {Command.PAUSE: CampaignState.PAUSED, Command.CANCEL: CampaignState.CANCELLED}


def after(state: CampaignState, command: Command, *, started: bool) -> CampaignState | None:
    """The state after `command`, None where it makes no sense; `started` says whether the start instant has passed.

    To stop what is stopped makes sense and changes nothing: whoever is in a hurry need not know who was faster.
    """
    if state is _STOPPED.get(command):
        return state
    if state not in _FROM[command]:
        return None
    if command in _STOPPED:
        return _STOPPED[command]
    return CampaignState.RUNNING if started else CampaignState.SCHEDULED
