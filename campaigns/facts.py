"""The queries behind eligibility: for one prospect or a batch, the same facts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    SQLColumnExpression,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    join,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.selectable import LateralFromClause

from campaigns.models import (
    Account,
    Call,
    Campaign,
    Consent,
    Import,
    Outcome,
    PhoneNumber,
    Prospect,
    RuleOverride,
    Spending,
    Suppression,
)
from campaigns.rules.call_state import HOLDS_LINE, HOLDS_PERSON, CallState
from campaigns.rules.calling_rules import CapEvent, Rulebook
from campaigns.rules.calling_rules.overriding import rulebook
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.caps import REMEMBERED, Cap, Rung
from campaigns.rules.consent import ConsentLevel, RecordedConsent
from campaigns.rules.definition import AccountDefinition, CampaignDefinition
from campaigns.rules.definition.money import exact
from campaigns.rules.eligibility import Facts
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.rules.place import Terms, place, terms_of
from campaigns.rules.prospect_state import ProspectState
from campaigns.rules.retry import closing
from campaigns.rules.spending import Funds
from campaigns.vapi.ended_reasons import ending_class


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """What is the same for every prospect of a campaign."""

    id: UUID
    account_id: UUID
    state: CampaignState
    definition: CampaignDefinition
    account: AccountDefinition
    frozen: bool
    account_stop: str | None
    rules: Rulebook
    terms: Terms
    funds: Funds | None = None
    """Its budget and what of it is gone, where it has one."""


AWAITS_WORKER = and_(Import.queued_at.is_not(None), Import.finished_at.is_(None), Import.failed_why.is_(None))
"""Whether a list was handed over and is not imported yet: a worker is to do it, or is doing it."""

_RULES = select(cast(func.jsonb_object_agg(RuleOverride.code, RuleOverride.row), Text))
_CAMPAIGNS = (
    select(
        Campaign.id,
        Campaign.account_id,
        Campaign.state,
        cast(Campaign.definition, Text).label("definition"),
        cast(Account.definition, Text).label("account"),
        Account.frozen_at,
        Account.stop_reason,
        *(Spending.spent, Spending.reserved, Spending.day, Spending.day_spent, Spending.day_reserved),
        _RULES.scalar_subquery().label("rules"),  # a few rows, asked for once however many campaigns there are
    )
    .join(Account, Account.id == Campaign.account_id)
    .outerjoin(Spending, Spending.campaign_id == Campaign.id)
    .where(Campaign.id.in_(bindparam("ids", expanding=True)))
)


def about_campaigns(session: Session, campaign_ids: Collection[UUID]) -> dict[UUID, CampaignFacts]:
    """What is the same for every prospect, for each of these campaigns."""
    rows = session.execute(_CAMPAIGNS, {"ids": list(campaign_ids)})
    return {
        row.id: CampaignFacts(
            id=row.id,
            account_id=row.account_id,
            state=row.state,
            definition=_campaign_definition(row.definition),
            account=_account_definition(row.account),
            frozen=row.frozen_at is not None,
            account_stop=row.stop_reason,
            rules=rulebook(row.rules),
            terms=_campaign_terms(row.definition),
            funds=_funds(_campaign_definition(row.definition), row),
        )
        for row in rows
    }


def _funds(definition: CampaignDefinition, row: Any) -> Funds | None:
    budget = definition.budget
    if budget is None or row.day is None:
        return None
    return Funds(
        total=None if budget.total is None else exact(budget.total),
        per_day=None if budget.per_day is None else exact(budget.per_day),
        worst=definition.worst_case,
        zone=definition.own_zone,
        spent=row.spent,
        reserved=row.reserved,
        day=row.day,
        day_spent=row.day_spent,
        day_reserved=row.day_reserved,
    )


def calling_rules(session: Session) -> Rulebook:
    """The rules as they are now: those that are shipped, and what an operator made of them."""
    return rulebook(session.scalar(_RULES))


# Read for every call and event, and the same nearly every time: to validate them took longer than to ask for them.
@lru_cache(maxsize=256)
def _campaign_definition(stored: str) -> CampaignDefinition:
    return CampaignDefinition.model_validate(orjson.loads(stored))


@lru_cache(maxsize=256)
def _campaign_terms(stored: str) -> Terms:
    return terms_of(_campaign_definition(stored))


@lru_cache(maxsize=64)
def _account_definition(stored: str) -> AccountDefinition:
    return AccountDefinition.model_validate(orjson.loads(stored))


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
        rung=tuple(_rung(row.rung or ())),
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


def suppressed(person_id: SQLColumnExpression[int], campaign_id: SQLColumnExpression[UUID]) -> ColumnElement[bool]:
    """Whether a do-not-call entry for all campaigns or for this one stands."""
    return exists().where(
        Suppression.person_id == person_id,
        Suppression.lifted_at.is_(None),
        or_(Suppression.campaign_id.is_(None), Suppression.campaign_id == campaign_id),
    )


class PersonalConsent(NamedTuple):
    """What is recorded of a person's own consent; where no level is, it is of the one that the campaign declares."""

    level: ConsentLevel | None
    obtained_at: datetime | None
    expires_at: datetime | None
    withdrawn: bool = False


def latest_consent(person_id: SQLColumnExpression[int], campaign_id: SQLColumnExpression[UUID]) -> LateralFromClause:
    """What was recorded last of the person's own consent, to this campaign or to all; to be joined on true."""
    return (
        select(Consent.id, Consent.level, Consent.obtained_at, Consent.expires_at, Consent.withdrawn_at)
        .where(Consent.person_id == person_id, or_(Consent.campaign_id.is_(None), Consent.campaign_id == campaign_id))
        .order_by(Consent.id.desc())
        .limit(1)
        .lateral("consent")
    )


def own_consent(row: Row[Any]) -> PersonalConsent | None:
    """The same of a row that was joined with `latest_consent`."""
    if not row.consent_id:
        return None
    return PersonalConsent(row.level, row.obtained_at, row.expires_at, row.withdrawn_at is not None)


def consent_columns(consent: LateralFromClause) -> tuple[ColumnElement[Any], ...]:
    """What `own_consent` looks at."""
    return (
        consent.c.id.label("consent_id"),
        consent.c.level,
        consent.c.obtained_at,
        consent.c.expires_at,
        consent.c.withdrawn_at,
    )


def known_consent(campaign: CampaignFacts, own: PersonalConsent | None) -> RecordedConsent | None:
    """What counts: the person's own, whatever became of it, before what the campaign declares for all."""
    declared = campaign.definition.consent
    if own is None:
        return None if declared is None else declared.recorded
    level = own.level or (declared.level if declared is not None else "express")
    return RecordedConsent(level, own.obtained_at, own.expires_at, own.withdrawn)


_other = aliased(Call)
# At the intent none is missing, though a share lock keeps nobody else from calling: a claimed call holds its person by
# a unique index, so no other was claimed while it is, and an earlier one was over and committed before it could be.
_past = aliased(Call)
_LATEST = (
    select(
        _past.intent_at,
        _past.started_at,
        # The provider's clock may be wrong: over before we settled it.
        case((_past.settled_at.is_not(None), func.least(_past.ended_at, _past.settled_at))).label("over_at"),
        _past.ended_reason,
        Outcome.outcome,
        Outcome.answered,
    )
    .outerjoin(Outcome, Outcome.call_id == _past.id)
    .where(
        _past.person_id == Prospect.person_id,
        _past.intent_at.is_not(None),
        # An incident: it was proven not placed, and the provider spoke of it after that.
        or_(_past.state != CallState.NOT_PLACED, _past.incident.is_not(None)),
    )
    .order_by(_past.intent_at.desc())
    .limit(REMEMBERED)
    .correlate(Prospect)
    .subquery()
)
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
    exists()
    .where(
        _other.person_id == Prospect.person_id,
        _other.prospect_id != Prospect.id,
        _other.state.in_(sorted(HOLDS_PERSON)),
    )
    .label("person_in_call"),
    func.array(
        select(Outcome.outcome)
        .where(Outcome.prospect_id == Prospect.id)
        .order_by(Outcome.created_at.desc())
        .scalar_subquery()
    ).label("ended"),
    select(func.jsonb_agg(func.jsonb_build_array(*_LATEST.c))).scalar_subquery().label("rung"),
)
_PROSPECTS = (
    select(Prospect.id, Prospect.campaign_id, Prospect.not_before, *_DECIDING, *consent_columns(_consent))
    .select_from(_FROM_PROSPECTS)
    .where(Prospect.id.in_(bindparam("ids", expanding=True)))
)


def _alike() -> Select[Any]:
    wish = case(
        (Prospect.not_before > bindparam("now"), func.date_trunc("minute", Prospect.not_before) + timedelta(minutes=1))
    )
    consent = (
        _consent.c.id.is_not(None).label("consent_id"),
        _consent.c.level,
        func.date_trunc("day", _consent.c.obtained_at).label("obtained_at"),
        func.date_trunc("day", _consent.c.expires_at).label("expires_at"),
        func.date_trunc("day", _consent.c.withdrawn_at).label("withdrawn_at"),
    )
    each = select(Prospect.id, Prospect.state, wish.label("not_before"), *_DECIDING, *consent)
    people = each.select_from(_FROM_PROSPECTS).where(Prospect.campaign_id == bindparam("campaign")).subquery()
    by = [column for column in people.c if column.name != "id"]
    ids = (func.min(people.c.id).label("first_id"), func.max(people.c.id).label("last_id"))
    return select(*by, func.count().label("people"), *ids).group_by(*by)


_ALIKE = _alike()


def _rung(calls: Iterable[Sequence[Any]]) -> Iterator[Rung]:
    """Those of these calls that rang, or may have, with what came of them."""
    for intent_at, started_at, over_at, reason, outcome, answered in calls:
        said = ending_class(reason)
        # We had a call ended that had no line at the provider: the outcome says so, and not the reason.
        silent = not said.rang or outcome == OutcomeClass.CAPACITY
        if silent and started_at is None and not answered:
            continue
        events: set[CapEvent] = set()
        if outcome == OutcomeClass.OPTED_OUT:
            events.add("refusal")
        if said.hung_up:
            events.add("hang_up")
        if outcome in TECHNICAL and (answered or (answered is None and started_at is not None)):
            events.add("abandoned_call")
        at = max(datetime.fromisoformat(moment) for moment in (intent_at, over_at) if moment is not None)
        yield Rung(at, frozenset(events))


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """One of an account's caller numbers, and what it did."""

    id: UUID
    provider_id: str
    used_at: datetime | None
    """When the latest call from it was claimed that was sent."""
    made: int
    """Calls in the last 24 hours, as far as a cap counts them."""
    free_at: datetime | None
    """When it may make one more; None: now."""


_DAY = timedelta(hours=24)  # any 24 hours: no definition of a day holds more of them
_sent = aliased(Call)
_NUMBERS = select(
    PhoneNumber.id,
    PhoneNumber.provider_id,
    select(_sent.claimed_at)
    .where(_sent.phone_number_id == PhoneNumber.id, _sent.intent_at.is_not(None))
    .order_by(_sent.intent_at.desc())
    .limit(1)
    .scalar_subquery()
    .label("used_at"),
).where(PhoneNumber.account_id == bindparam("account"))
_MADE = text("""
    SELECT number, count(made.intent_at) AS made, min(made.intent_at) AS first_at
      FROM unnest(CAST(:ids AS uuid[]), CAST(:caps AS integer[])) AS capped (number, cap)
           CROSS JOIN LATERAL (
           SELECT intent_at FROM calls
            WHERE phone_number_id = number AND intent_at > :since AND (state <> 'not_placed' OR incident IS NOT NULL)
            ORDER BY intent_at DESC LIMIT cap) AS made
     GROUP BY number""")


def about_numbers(
    session: Session, account_id: UUID, definition: AccountDefinition, *, now: datetime
) -> list[NumberFacts]:
    """The account's caller numbers; calls are counted only of those that may make so many a day."""
    known = session.execute(_NUMBERS, {"account": account_id}).all()
    caps = {row.id: cap for row in known if (cap := definition.number(row.provider_id).per_day) is not None}
    made = {}
    if caps:
        asked = {"ids": list(caps), "caps": list(caps.values()), "since": now - _DAY}
        made = {row.number: (row.made, row.first_at) for row in session.execute(_MADE, asked)}
    found = []
    for row in known:
        count, first_at = made.get(row.id, (0, None))
        full = first_at is not None and count >= caps[row.id]
        found.append(NumberFacts(row.id, row.provider_id, row.used_at, count, first_at + _DAY if full else None))
    return found


def next_call(call: type[Call]) -> ScalarSelect[UUID]:
    """The id of the first call that was or may have been placed to the same person after `call`."""
    later = aliased(Call)
    query = select(later.id).where(
        later.person_id == call.person_id, later.claimed_at > call.claimed_at, later.intent_at.is_not(None)
    )
    return query.order_by(later.claimed_at).limit(1).scalar_subquery()


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
