"""New people and prospects, written by COPY: the server does nothing but store them.

The people of a lot are met in a transaction of their own, before the one that makes them prospects: while the server
stores a lot, those of the next are looked up. The ids of new people are taken beforehand. Where another import was
first with one of them, or put somebody into the campaign meanwhile, a unique index says so, and the lot begins anew:
then they are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from psycopg import Connection
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts, PersonalConsent, about_newcomer, known_consent
from campaigns.models import Consent, Import
from campaigns.pipeline.importing.matching import Known, known_people
from campaigns.pipeline.importing.preparing import (
    OWN_FIELDS,
    Prepared,
    PreparedLot,
    Situation,
    as_copied,
    moment_as_copied,
)
from campaigns.rules.consent import shortfall
from campaigns.rules.eligibility import Facts, Refused, when_due
from campaigns.rules.prospect_state import ProspectState

_NEW_IDS = text("""
    SELECT array_agg(nextval(ids.sequence))
      FROM (SELECT pg_get_serial_sequence('people', 'id')::regclass AS sequence OFFSET 0) AS ids,
           generate_series(1, :number)""")
_COPY_PEOPLE: Final = "COPY people (id, number, kind, created_at) FROM STDIN"
_COPY_PROSPECTS: Final = (
    f"COPY prospects (campaign_id, import_id, created_at, changed_at, person_id, {OWN_FIELDS}, "
    "country, states, zones, not_before, state, state_why, due_at) FROM STDIN"
)


_COPY_CONSENTS: Final = (
    "COPY consents (campaign_id, created_at, person_id, source, obtained_at, proof, level, expires_at) FROM STDIN"
)


class Met(NamedTuple):
    """The people of a lot, all of whom the ledger knows by now."""

    ids: Mapping[str, int]
    """Number → person."""
    known: Mapping[str, Known]
    """Those who were known before."""


def meet(session: Session, campaign_id: UUID, people: Iterable[Prepared], *, now: datetime) -> Met:
    """Add whom nobody knew. Who is on a list and is nobody's prospect yet is no more than a number."""
    kinds = {each.number: each.kind for each in people}
    known = known_people(session, campaign_id, kinds)
    new = [number for number in kinds if number not in known]  # in the order of the list, and so they are called
    ids = {number: who.id for number, who in known.items()}
    if new:
        ids |= zip(new, session.execute(_NEW_IDS, {"number": len(new)}).scalar_one(), strict=True)
        moment = moment_as_copied(now)
        rows = [f"{ids[number]}\t{number}\t{kinds[number]}\t{moment}" for number in sorted(new)]
        # In one order, so that two imports that overlap wait for each other instead of deadlocking.
        _copy(session, _COPY_PEOPLE, rows)
    return Met(ids, known)


def add_consents(
    session: Session, campaign: CampaignFacts, people: Iterable[Prepared], ids: Mapping[str, int], *, now: datetime
) -> set[int]:
    """Keep what consent the list brought, once; returns whose is new."""
    brought = {(ids[each.number], *each.consent) for each in people if each.consent is not None}
    if not brought:
        return set()
    columns = (
        *(Consent.person_id, Consent.source, Consent.obtained_at, Consent.proof),
        *(Consent.level, Consent.expires_at),
    )
    there = session.execute(
        select(*columns).where(Consent.campaign_id == campaign.id, Consent.person_id.in_({who for who, *_ in brought}))
    )
    new = brought.difference(map(tuple, there))
    shared = f"{campaign.id}\t{moment_as_copied(now)}"
    rows = [
        f"{shared}\t{who}\t{as_copied(source)}\t{moment_as_copied(obtained_at)}\t{as_copied(proof)}"
        f"\t{as_copied(level)}\t{moment_as_copied(expires_at)}"
        for who, source, obtained_at, proof, level, expires_at in sorted(new, key=lambda one: one[0])
    ]
    _copy(session, _COPY_CONSENTS, rows)
    return {person_id for person_id, *_ in new}


def add_prospects(
    session: Session,
    record: Import,
    campaign: CampaignFacts,
    lot: PreparedLot,
    newcomers: Sequence[Prepared],
    met: Met,
    *,
    now: datetime,
) -> Counter[str]:
    """Add these people of the lot, who are not in the campaign; returns how many by state."""
    starts = _Starts(campaign, lot.situations, now)
    states: Counter[str] = Counter()
    moment = moment_as_copied(now)
    shared = f"{record.campaign_id}\t{record.id}\t{moment}\t{moment}"
    rows: list[str] = []
    for each in sorted(newcomers, key=lambda one: met.ids[one.number]):  # see meet
        state, start = starts.of(each, met.known.get(each.number))
        states[state] += 1
        rows.append(f"{shared}\t{met.ids[each.number]}\t{each.fields}\t{start}")
    _copy(session, _COPY_PROSPECTS, rows)
    return states


class _Starts:
    """How people begin, worked out once for all to whom the same applies."""

    def __init__(self, campaign: CampaignFacts, situations: Sequence[Situation], now: datetime) -> None:
        self._campaign = campaign
        self._situations = situations
        self._now = now
        self._needs = [self._facts(where).consent_needs for where in situations]
        self._found: dict[tuple[int, bool, str | None], tuple[str, str]] = {}

    def of(self, who: Prepared, known: Known | None) -> tuple[str, str]:
        """The state that somebody begins with; and where they are, that state and the due time, as COPY takes it."""
        suppressed = known is not None and known.suppressed
        own = None if known is None else known.consent
        if who.consent is not None:
            own = PersonalConsent(who.consent.level, who.consent.obtained_at, who.consent.expires_at)
        # By what the consent lacks, and not by what it is: nearly everybody has another time of it.
        missing = shortfall(self._needs[who.situation], known_consent(self._campaign, own), self._now)
        key = (who.situation, suppressed, missing)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._decided(self._situations[who.situation], own, suppressed=suppressed)
        return found

    def _facts(self, where: Situation, own: PersonalConsent | None = None, *, suppressed: bool = False) -> Facts:
        return about_newcomer(
            self._campaign,
            country=where.country,
            states=where.states,
            zones=where.zones,
            suppressed=suppressed,
            own_consent=own,
            not_before=where.not_before,
        )

    def _decided(self, where: Situation, own: PersonalConsent | None, *, suppressed: bool) -> tuple[str, str]:
        state, why, due_at = str(ProspectState.WAITING), None, None
        match when_due(self._facts(where, own, suppressed=suppressed), self._now):
            case Refused() as refusal:
                state, why, due_at = str(refusal.becomes), refusal.why, refusal.retry_at
            case moment:
                due_at = moment
        place = f"{as_copied(where.country)}\t{{{','.join(sorted(where.states))}}}\t{{{','.join(sorted(where.zones))}}}"
        when = f"{state}\t{as_copied(why)}\t{moment_as_copied(due_at)}"
        return state, f"{place}\t{moment_as_copied(where.not_before)}\t{when}"


def _copy(session: Session, statement: str, rows: Sequence[str]) -> None:
    if rows:
        raw = cast("Connection[Any]", session.connection().connection.driver_connection)
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write("\n".join(rows).encode() + b"\n")
