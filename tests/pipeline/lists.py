"""Importing a list in a test, with its figures checked."""

from __future__ import annotations

import io
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from campaigns import ledger
from campaigns.facts import about_campaigns
from campaigns.models import Campaign, Import, Person, Prospect, Tally
from campaigns.pipeline import importing, reporting
from campaigns.pipeline.importing import Report
from campaigns.rules.people_file import read_rows


def bring(session: Session, campaign: Campaign, content: bytes, now: datetime) -> tuple[Report, list[dict[str, str]]]:
    """Import `content`; gives the report and the rejected rows, after checking that they and the tallies agree."""
    definition = about_campaigns(session, [campaign.id])[campaign.id].definition
    columns, rows = read_rows(io.BytesIO(content), definition)
    import_id = importing.begin(session, campaign.id, source="list.csv", columns=columns, now=now)
    report = Report()
    for lot in importing.batches(rows):
        importing.store(session, import_id, lot, columns, report, now=now)
    importing.finish(session, import_id, digest="0" * 64, now=now)
    rejected = list(importing.rejected(session, import_id))
    assert report.new + report.already_there + report.rejected == report.rows
    assert len(rejected) == report.rejected == sum(report.reasons.values())
    record = session.get_one(Import, import_id, populate_existing=True)
    kept = (record.rows, record.new, record.already_there, record.rejected)
    assert kept == (report.rows, report.new, report.already_there, report.rejected)
    assert record.finished_at == now
    assert_tallies_equal_rows(session, campaign)
    return report, rejected


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
