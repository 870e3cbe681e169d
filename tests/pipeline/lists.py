"""Importing a list in a test, with its figures checked."""

from __future__ import annotations

import io
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.facts import about_campaigns
from campaigns.lists.opening import NO_WISHES, OpenList, Wishes, open_list
from campaigns.lists.reading import lots
from campaigns.models import Campaign, Import, Person, Prospect, Tally
from campaigns.pipeline import reporting
from campaigns.pipeline.importing import storing
from campaigns.pipeline.importing.adding import meet
from campaigns.pipeline.importing.preparing import prepare
from campaigns.pipeline.importing.storing import Report
from campaigns.rules.people_file import NOTHING_SAID, Row, Surveyed
from campaigns.rules.people_file.columns import Columns, Role
from campaigns.rules.people_file.people import Lot, Reader, read_lot

PHONES = Reader(Columns(("phone",), {Role.PHONE: 0}, {}), None)
"""Reads a list of one column."""


def bring(
    session: Session, campaign: Campaign, content: bytes, now: datetime, wishes: Wishes = NO_WISHES
) -> tuple[Report, list[dict[str, str]]]:
    """Import `content`; gives the report and the rejected rows, after checking that they and the tallies agree."""
    definition = about_campaigns(session, [campaign.id])[campaign.id].definition
    opened = open_list(io.BytesIO(content), definition, wishes)
    import_id, after = begin(session, campaign, opened, now)
    for lot in lots(opened.reader, opened.rows):
        store(session, import_id, opened.reader, lot, after=after, now=now)
        after += lot.rows
    storing.finish(session, import_id, now=now)
    rejected = list(storing.rejected(session, import_id))
    report = storing.report(session, import_id)
    assert report.new + report.already_there + report.updated + report.rejected == report.rows == after
    assert len(rejected) == report.rejected == sum(report.reasons.values())
    assert session.get_one(Import, import_id).finished_at == now
    assert_tallies_equal_rows(session, campaign)
    return report, rejected


def begin(session: Session, campaign: Campaign, opened: OpenList, now: datetime) -> tuple[UUID, int]:
    """Open an import of the list."""
    return storing.begin(
        session,
        campaign.id,
        source="list.csv",
        surveyed=opened.surveyed,
        columns=opened.columns,
        terms=opened.wishes.as_terms(),
        now=now,
    )


def begin_phones(session: Session, campaign: Campaign, digest: str, now: datetime) -> UUID:
    """Open an import of a list of one column, told from others by its digest."""
    surveyed, terms = Surveyed(NOTHING_SAID, digest, 0), NO_WISHES.as_terms()
    import_id, _ = storing.begin(
        session, campaign.id, source=digest, surveyed=surveyed, columns=PHONES.columns, terms=terms, now=now
    )
    return import_id


def store_phones(session: Session, import_id: UUID, *numbers: str, now: datetime, after: int = 0) -> None:
    """Store a lot of such a list."""
    lot = read_lot(PHONES, [Row(after + turn, [number]) for turn, number in enumerate(numbers, start=2)])
    store(session, import_id, PHONES, lot, after=after, now=now)


def store(session: Session, import_id: UUID, reader: Reader, lot: Lot, *, after: int, now: datetime) -> None:
    """Store a lot, its people met in the same transaction."""
    prepared = prepare(lot)
    met = meet(session, session.get_one(Import, import_id).campaign_id, prepared.people, now=now)
    storing.store(session, import_id, reader, prepared, met, after=after, read=0, now=now)


def assert_tallies_equal_rows(session: Session, campaign: Campaign) -> None:
    ledger.write_tallies(session)
    tallied = session.execute(
        select(Tally.name, func.sum(Tally.count)).where(Tally.campaign_id == campaign.id).group_by(Tally.name)
    )
    assert {name: int(number) for name, number in tallied if number} == reporting.count_from_rows(session, campaign.id)


def people(session: Session, campaign: Campaign) -> dict[str, Prospect]:
    """The campaign's prospects by number."""
    rows = session.execute(
        select(Person.number, Prospect)
        .join(Prospect, Prospect.person_id == Person.id)
        .where(Prospect.campaign_id == campaign.id)
    )
    return {row.number: row.Prospect for row in rows}


def counts(report: Report) -> tuple[int, int, int]:
    return report.new, report.already_there, report.rejected
