"""What is known of a person over all campaigns: wishes, consent, and the calls that rang."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, SQLColumnExpression, case, exists, func, or_, select
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import LateralFromClause

from campaigns.facts.campaigns import CampaignFacts
from campaigns.models import Call, Consent, Outcome, Prospect, Suppression
from campaigns.rules.call_state import CallState
from campaigns.rules.calling_rules import CapEvent
from campaigns.rules.caps import REMEMBERED, Rung
from campaigns.rules.consent import ConsentLevel, RecordedConsent
from campaigns.rules.outcome import TECHNICAL, OutcomeClass
from campaigns.vapi.ended_reasons import ending_class


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


# At the intent none is missing, though a share lock keeps nobody else from calling: a claimed call holds its person by
# a unique index, so no other was claimed while it is, and an earlier one was over and committed before it could be.
_past = aliased(Call)

LATEST = (
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


def rung_of(calls: Iterable[Sequence[Any]]) -> Iterator[Rung]:
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


def next_call(call: type[Call]) -> ScalarSelect[UUID]:
    """The id of the first call that was or may have been placed to the same person after `call`."""
    later = aliased(Call)
    query = select(later.id).where(
        later.person_id == call.person_id, later.claimed_at > call.claimed_at, later.intent_at.is_not(None)
    )
    return query.order_by(later.claimed_at).limit(1).scalar_subquery()
