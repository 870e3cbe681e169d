"""A campaign's file says something else than before: what changes, and for whom. Nothing is changed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns.facts import about_campaigns, gather
from campaigns.models import Call, Campaign, Prospect
from campaigns.rules.call_state import IN_FLIGHT
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.definition.changes import Changed, differences
from campaigns.rules.eligibility import Refused, when_due
from campaigns.rules.place import terms_of
from campaigns.rules.prospect_state import CLOSABLE, ProspectState

NOT_OF_THE_HOUR = frozenset(
    {
        *("assistant_id", "assistant_version", "assistant", "squad_id", "squad", "voicemail", "variables", "mapping"),
        *("phone_number_ids", "max_concurrency", "weight", "max_duration", "breaker"),
        *("prices", "budget", "expected", "default_region"),
    }
)
"""Keys by which nobody's due time changes: for these alone nobody need be looked at."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A campaign that exists, and what a file makes of it."""

    campaign_id: UUID
    before: CampaignDefinition
    after: CampaignDefinition
    changes: Sequence[Changed]
    live_calls: int
    """Calls that go on: they keep the terms with which they were placed."""

    @property
    def touches_people(self) -> bool:
        """Whether anybody may be due at another time because of it."""
        return any(each.key.partition(".")[0] not in NOT_OF_THE_HOUR for each in self.changes)


@dataclass(slots=True)
class Effects:
    """For how many people something changes, of those who wait or are held."""

    people: int = 0
    """Everybody who was looked at."""
    earlier: int = 0
    later: int = 0
    waiting: int = 0
    """Held until now, and to be called after this."""
    becomes: Counter[tuple[ProspectState, str]] = field(default_factory=Counter)
    """Who is not called (any more), by what becomes of them and why."""


def compare(session: Session, definition: CampaignDefinition, *, now: datetime) -> Edit | None:
    """What the file changes of the campaign of its name; None where there is none yet."""
    campaign = session.scalars(select(Campaign).where(Campaign.name == definition.name)).one_or_none()
    if campaign is None:
        return None
    before = CampaignDefinition.model_validate(campaign.definition)
    live = select(func.count()).where(Call.campaign_id == campaign.id, Call.state.in_(sorted(IN_FLIGHT)))
    changes = differences(before, definition, now=now)
    return Edit(campaign.id, before, definition, changes, session.scalar(live) or 0)


def weigh(session: Session, edit: Edit, found: Effects, *, after_id: int, limit: int, now: datetime) -> int | None:
    """Add to `found` what changes for the next `limit` people who wait or are held, in the order of their ids.

    Judged by the rules alone, with the old terms beside the new ones, whichever of them the campaign has now: what is
    different is so because of this edit. Returns the id to go on from, None when everybody was looked at.
    """
    rows = session.execute(
        select(Prospect.id, Prospect.state)
        .where(
            Prospect.campaign_id == edit.campaign_id,
            Prospect.id > after_id,
            Prospect.state.in_(sorted(CLOSABLE)),
        )
        .order_by(Prospect.id)
        .limit(limit)
    ).all()
    ids = [row.id for row in rows]
    campaign = about_campaigns(session, [edit.campaign_id])[edit.campaign_id]
    before, after = (
        gather(session, ids, campaigns={campaign.id: replace(campaign, definition=terms, terms=terms_of(terms))})
        for terms in (edit.before, edit.after)
    )
    for row in rows:
        found.people += 1
        _compare(when_due(before[row.id], now), when_due(after[row.id], now), found)
    return ids[-1] if len(ids) == limit else None


def _compare(was: datetime | Refused, becomes: datetime | Refused, found: Effects) -> None:
    match was, becomes:
        case Refused(), Refused():
            if was.becomes is not becomes.becomes:
                found.becomes[(becomes.becomes, becomes.reason)] += 1
        case _, Refused():
            found.becomes[(becomes.becomes, becomes.reason)] += 1
        case Refused(), _:
            found.waiting += 1
        case datetime(), datetime():
            found.earlier += becomes < was
            found.later += becomes > was
