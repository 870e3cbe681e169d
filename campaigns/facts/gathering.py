"""The facts about one prospect, a batch, or everybody in a campaign: the same for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    join,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased

from campaigns.facts.campaigns import CampaignFacts, about_campaigns
from campaigns.facts.people import (
    LATEST,
    PersonalConsent,
    consent_columns,
    known_consent,
    latest_consent,
    own_consent,
    rung_of,
    suppressed,
)
from campaigns.models import Call, Outcome, Prospect
from campaigns.rules.call_state import HOLDS_LINE, HOLDS_PERSON, CallState
from campaigns.rules.caps import Cap, Rung
from campaigns.rules.eligibility import Facts
from campaigns.rules.outcome import OutcomeClass
from campaigns.rules.place import place
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.retry import closing


def gather(
    session: Session, prospect_ids: Collection[int], *, campaigns: Mapping[UUID, CampaignFacts] | None = None
) -> dict[int, Facts]:
    """The facts about each of these prospects, as the database has them now."""
    rows = session.execute(_PROSPECTS, {"ids": list(prospect_ids)}).all()
    if campaigns is None:
        campaigns = about_campaigns(session, {row.campaign_id for row in rows})
    return {row.id: _of_row(campaigns[row.campaign_id], row) for row in rows}


def _of_row(campaign: CampaignFacts, row: Row[Any]) -> Facts:
    return _facts(
        campaign,
        country=row.country,
        states=row.states,
        zones=row.zones,
        suppressed=row.suppressed,
        own_consent=own_consent(row),
        attempts=row.attempts,
        calls=row.calls,
        promised=row.promised,
        not_before=row.not_before,
        ended=row.ended,
        person_in_call=row.person_in_call,
        rung=tuple(rung_of(row.rung or ())),
    )


@dataclass(frozen=True, slots=True)
class Alike:
    """Prospects of a campaign about whom the decision is the same."""

    facts: Facts
    state: ProspectState
    count: int
    first_id: int
    last_id: int
    """Two of them as examples, or the same one twice."""
    country: str | None
    states: tuple[str, ...]
    zones: tuple[str, ...]


def gather_alike(session: Session, campaign: CampaignFacts, *, now: datetime) -> Iterator[Alike]:
    """The facts about everybody in a campaign, once for all of whom the same is known: for a look at the whole of it.

    A wish not to be called before a moment is rounded up to the minute, and one that has passed is none; consent counts
    by the day. So a million people are some thousand groups, and no more than a few of them are in memory.
    """
    rows = session.execute(_ALIKE, {"campaign": campaign.id, "now": now}, execution_options={"yield_per": 1_000})
    for row in rows:
        yield Alike(
            facts=_of_row(campaign, row),
            state=row.state,
            count=row.people,
            first_id=row.first_id,
            last_id=row.last_id,
            country=row.country,
            states=tuple(sorted(row.states)),
            zones=tuple(sorted(row.zones)),
        )


def about_newcomer(
    campaign: CampaignFacts,
    *,
    country: str | None,
    states: Collection[str],
    zones: Collection[str],
    suppressed: bool,
    own_consent: PersonalConsent | None,
    not_before: datetime | None,
) -> Facts:
    """The facts about somebody who is about to become a prospect."""
    return _facts(
        campaign,
        country=country,
        states=states,
        zones=zones,
        suppressed=suppressed,
        own_consent=own_consent,
        not_before=not_before,
    )


def holds_line(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Whether a call may be using one of its account's lines: an unknown one for its longest duration at most."""
    return and_(Call.state.in_(sorted(HOLDS_LINE)), ~and_(Call.state == CallState.UNKNOWN, Call.line_until < now))


_other = aliased(Call)

_UNSETTLED = and_(_other.state == CallState.ENDED, _other.settled_at.is_(None), _other.intent_at.is_not(None))


def _another(which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is such a call of another prospect to the same person."""
    return exists().where(_other.person_id == Prospect.person_id, _other.prospect_id != Prospect.id, which)


_consent = latest_consent(Prospect.person_id, Prospect.campaign_id)

_FROM_PROSPECTS = join(Prospect, _consent, true(), isouter=True)

# What the decision about one prospect depends on, for one of them and for groups alike.
_DECIDING: tuple[ColumnElement[Any], ...] = (
    Prospect.country.expression,
    Prospect.states.expression,
    Prospect.zones.expression,
    Prospect.attempts.expression,
    Prospect.calls.expression,
    Prospect.own_priority.is_not(None).label("promised"),
    suppressed(Prospect.person_id, Prospect.campaign_id).label("suppressed"),
    # Whose report is still to come may have asked in it not to be called. Two conditions for two indexes.
    or_(_another(_other.state.in_(sorted(HOLDS_PERSON))), _another(_UNSETTLED)).label("person_in_call"),
    func.array(
        select(Outcome.outcome)
        .where(Outcome.prospect_id == Prospect.id)
        .order_by(Outcome.created_at.desc())
        .scalar_subquery()
    ).label("ended"),
    select(func.jsonb_agg(func.jsonb_build_array(*LATEST.c))).scalar_subquery().label("rung"),
)

_PROSPECTS = (
    select(Prospect.id, Prospect.campaign_id, Prospect.not_before, *_DECIDING, *consent_columns(_consent))
    .select_from(_FROM_PROSPECTS)
    .where(Prospect.id.in_(bindparam("ids", expanding=True)))
)


def _to_the_hour(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """Up to the hour where it is still to come: what expires today is good until then."""
    return case((moment > bindparam("now"), func.date_trunc("hour", moment) + timedelta(hours=1)), else_=moment)


def _alike() -> Select[Any]:
    wish = case(
        (Prospect.not_before > bindparam("now"), func.date_trunc("minute", Prospect.not_before) + timedelta(minutes=1))
    )
    consent = (
        _consent.c.id.is_not(None).label("consent_id"),
        _consent.c.level,
        _to_the_hour(_consent.c.obtained_at).label("obtained_at"),
        _to_the_hour(_consent.c.expires_at).label("expires_at"),
        func.date_trunc("day", _consent.c.withdrawn_at).label("withdrawn_at"),
    )
    each = select(Prospect.id, Prospect.state, wish.label("not_before"), *_DECIDING, *consent)
    people = each.select_from(_FROM_PROSPECTS).where(Prospect.campaign_id == bindparam("campaign")).subquery()
    by = [column for column in people.c if column.name != "id"]
    ids = (func.min(people.c.id).label("first_id"), func.max(people.c.id).label("last_id"))
    return select(*by, func.count().label("people"), *ids).group_by(*by)


_ALIKE = _alike()


def _facts(
    campaign: CampaignFacts,
    *,
    country: str | None,
    states: Collection[str],
    zones: Collection[str],
    suppressed: bool,
    own_consent: PersonalConsent | None,
    attempts: int = 0,
    calls: int = 0,
    promised: bool = False,
    not_before: datetime | None = None,
    ended: Sequence[str] = (),
    person_in_call: bool = False,
    rung: tuple[Rung, ...] = (),
) -> Facts:
    definition = campaign.definition
    finals = (closing(OutcomeClass(outcome), definition.retry) for outcome in ended)
    concluded = next((final.state for final in finals if final is not None), None)
    where = place(campaign.terms, campaign.rules, country, tuple(sorted(states)), tuple(sorted(zones)))
    return Facts(
        frozen=campaign.frozen,
        account_stop=campaign.account_stop,
        campaign_state=campaign.state,
        starts_at=definition.starts_at,
        ends_at=definition.ends_at,
        windows=where.windows,
        zones_known=bool(where.zones),
        rule_refusal=where.applicable.refusal,
        voice_blocked=where.voice_blocked,
        suppressed=suppressed,
        consent_needs=where.consent_needs,
        consent=known_consent(campaign, own_consent),
        attempts=attempts,
        max_attempts=definition.retry.max_attempts,
        calls=calls,
        max_calls=definition.retry.max_calls,
        promised=promised,
        not_before=not_before,
        concluded=concluded,
        person_in_call=person_in_call,
        funds=campaign.funds,
        caps=where.caps + tuple(Cap(cap.calls, cap.per, "the campaign") for cap in definition.caps),
        rung=rung,
        debt_collection=definition.purpose == "debt_collection",
    )
