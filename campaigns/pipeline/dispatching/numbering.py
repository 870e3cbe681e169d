"""An account's caller numbers: which calls each may still make, and whose turn it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, select
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, about_numbers
from campaigns.models import Call, Person, Prospect
from campaigns.rules.definition import AccountDefinition
from campaigns.rules.numbers import choose_number, nearness, room_of, room_on


@dataclass(frozen=True, slots=True)
class Held:
    """The calls from one number that hold a line."""

    calls: int
    claimed: int
    """Of these, those that are not in the number's day yet: nothing was sent for them."""
    latest: datetime
    """When the latest of them was claimed."""


@dataclass(slots=True)
class Numbers:
    """What each number of an account may do, kept up to date while more calls are claimed."""

    ids: Mapping[str, UUID]
    """By their ids at the provider."""
    e164: Mapping[UUID, str | None]
    room: dict[UUID, int | None]
    used: dict[UUID, int]
    """In the order of their latest calls."""
    _turn: int = field(default=0)

    def of(self, campaign: CampaignFacts) -> list[UUID]:
        """The campaign's numbers in the order of its file."""
        return [self.ids[provider_id] for provider_id in campaign.definition.phone_number_ids]

    def left(self, numbers: Sequence[UUID]) -> int | None:
        """How many more calls these may make; None for as many as there are lines."""
        return room_on(numbers, room=self.room)

    def take(self, campaign: CampaignFacts, last: UUID | None, person: str | None) -> UUID | None:
        """The number to call somebody from, who was called from the `last` one; None where none may make a call."""
        numbers, terms = self.of(campaign), campaign.definition
        near = None
        if person is not None:
            near = {number: nearness(self.e164[number], person, terms.local_presence) for number in numbers}
        chosen = choose_number(
            numbers, room=self.room, used=self.used, last=last, on_retry=terms.number_on_retry, near=near
        )
        if chosen is not None:
            self._change(chosen, -1)
            self._turn += 1
            self.used[chosen] = len(self.ids) + self._turn
        return chosen

    def give_back(self, number: UUID) -> None:
        """A call that was to be made from it is not made."""
        self._change(number, 1)

    def _change(self, number: UUID, by: int) -> None:
        room = self.room[number]
        if room is not None:
            self.room[number] = room + by


def look_at(
    session: Session, account_id: UUID, definition: AccountDefinition, held: Mapping[UUID, Held], *, now: datetime
) -> Numbers:
    """The account's numbers as they stand: under its pace lock, where nobody else claims."""
    known = about_numbers(session, account_id, definition, now=now)
    nothing = Held(0, 0, datetime.min.replace(tzinfo=now.tzinfo))
    lately = {each.id: max(each.used_at or nothing.latest, held.get(each.id, nothing).latest) for each in known}
    return Numbers(
        ids={each.provider_id: each.id for each in known},
        e164={each.id: definition.number(each.provider_id).number for each in known},
        room={
            each.id: room_of(
                held=held.get(each.id, nothing).calls,
                most=definition.number(each.provider_id).concurrency,
                made=each.made + held.get(each.id, nothing).claimed,
                per_day=definition.number(each.provider_id).per_day,
            )
            for each in known
        },
        used={number_id: place for place, number_id in enumerate(sorted(lately, key=lambda each: lately[each]))},
    )


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LAST = (
    select(Call.prospect_id, Call.phone_number_id)
    .where(Call.prospect_id.in_(_IDS), Call.counted)
    .order_by(Call.claimed_at)
)
_PEOPLE = select(Prospect.id, Person.number).join(Person, Person.id == Prospect.person_id).where(Prospect.id.in_(_IDS))


def last_numbers(session: Session, campaign: CampaignFacts, due: Sequence[Prospect]) -> dict[int, UUID]:
    """The number that each of these was last called from, where the campaign has more than one."""
    again = [prospect.id for prospect in due if prospect.calls]
    return _asked(session, _LAST, again if len(campaign.definition.phone_number_ids) > 1 else [])


def numbers_of(session: Session, campaign: CampaignFacts, due: Sequence[Prospect]) -> dict[int, str]:
    """These people's own numbers, where the campaign calls from one nearby."""
    terms = campaign.definition
    nearby = terms.local_presence != "off" and len(terms.phone_number_ids) > 1
    return _asked(session, _PEOPLE, [prospect.id for prospect in due] if nearby else [])


def _asked(session: Session, query: Any, ids: Collection[int]) -> dict[int, Any]:
    # Of several rows of one person the last one stays.
    return dict(session.execute(query, {"ids": list(ids)}).all()) if ids else {}
