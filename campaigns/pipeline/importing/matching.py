"""Whom of a lot the ledger knows, and from where."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    SQLColumnExpression,
    Text,
    and_,
    any_,
    bindparam,
    func,
    join,
    literal,
    select,
    true,
)
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from campaigns.facts import PersonalConsent, consent_columns, latest_consent, own_consent, suppressed
from campaigns.models import Campaign, Person, Prospect
from campaigns.pipeline.importing.preparing import Prepared
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.prospect_state import FINAL

# In one text, which is made and taken apart in a tenth of the time that an array of parameters takes. And as the server
# cannot tell how many there are, it looks them up in the index: for ten thousand, it would rather read the whole table.
_LIST = as_type(bindparam("words", type_=Text), JSONB)
_WORDS = func.array(select(func.jsonb_array_elements_text(_LIST)).scalar_subquery())
# A person is in few campaigns, and found by the index of persons. Were the campaign to be had by an index, too, the
# server would read all of a campaign of which it has no figures yet, lot after lot.
_CAMPAIGN: SQLColumnExpression[UUID] = func.coalesce(Prospect.campaign_id)
_IDS = as_type(func.string_to_array(bindparam("ids", type_=Text), ","), ARRAY(BigInteger))


class Known(NamedTuple):
    """A person of whom more is known than the list says."""

    id: int
    suppressed: bool
    consent: PersonalConsent | None


def known_people(session: Session, campaign_id: UUID, numbers: Iterable[str]) -> dict[str, Known]:
    """Number → whom the ledger knows by it."""
    campaign = literal(campaign_id)
    consent = latest_consent(Person.id, campaign)
    query = (
        select(Person.number, Person.id, suppressed(Person.id, campaign).label("suppressed"), *consent_columns(consent))
        .select_from(join(Person, consent, true(), isouter=True))
        .where(Person.number == any_(_WORDS))
    )
    found = session.execute(query, {"words": _as_words(numbers)})
    return {row.number: Known(row.id, row.suppressed, own_consent(row)) for row in found}


def those_there(session: Session, campaign_id: UUID, known: Iterable[Known]) -> dict[tuple[int, str], int]:
    """Person and extension → prospect of the campaign."""
    ids = [each.id for each in known]
    if not ids:
        return {}
    found = session.execute(
        select(Prospect.person_id, Prospect.extension, Prospect.id).where(
            _CAMPAIGN.in_([campaign_id]), Prospect.person_id == any_(_IDS)
        ),
        {"ids": ",".join(map(str, ids))},
    )
    return {(person_id, extension): prospect_id for person_id, extension, prospect_id in found}


def called_elsewhere(session: Session, campaign_id: UUID, person_ids: Collection[int]) -> dict[int, str]:
    """Person → the other running campaign that calls them."""
    others = session.scalars(
        select(Campaign.id).where(Campaign.state == CampaignState.RUNNING, Campaign.id != campaign_id)
    ).all()
    if not others or not person_ids:
        return {}
    found = session.execute(
        select(Prospect.person_id, func.min(Campaign.name).label("name"))
        .join(Campaign, Campaign.id == Prospect.campaign_id)
        .where(Prospect.person_id == any_(_IDS), _CAMPAIGN.in_(others), Prospect.state.not_in(sorted(FINAL)))
        .group_by(Prospect.person_id),
        {"ids": ",".join(map(str, person_ids))},
    )
    return {row.person_id: row.name for row in found}


def owners(session: Session, campaign_id: UUID, people: Iterable[Prepared]) -> dict[str, int]:
    """External id → the prospect who has it in the campaign."""
    wanted = [each.external_id for each in people if each.external_id is not None]
    if not wanted:
        return {}
    pair = (literal(campaign_id).label("campaign_id"), func.jsonb_array_elements_text(_LIST).label("external_id"))
    pairs = select(*pair).cte("pairs").prefix_with("MATERIALIZED")  # so that both decide which index is used
    found = session.execute(
        select(Prospect.external_id, Prospect.id).join(
            pairs, and_(Prospect.campaign_id == pairs.c.campaign_id, Prospect.external_id == pairs.c.external_id)
        ),
        {"words": _as_words(wanted)},
    )
    return {external_id: prospect_id for external_id, prospect_id in found if external_id is not None}


def _as_words(words: Iterable[str]) -> str:
    return orjson.dumps(list(words)).decode()
