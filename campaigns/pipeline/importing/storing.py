"""From the rows of a list to prospects, by the lot, all or nothing; what cannot be used is kept with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from campaigns.errors import NotAllowed
from campaigns.facts import CampaignFacts, about_campaigns
from campaigns.ledger import US, count, queue_to_share, record
from campaigns.models import Campaign, FilePiece, Import, Prospect, RejectedRow
from campaigns.pipeline.importing import adding
from campaigns.pipeline.importing.adding import Met
from campaigns.pipeline.importing.correcting import correct, heed
from campaigns.pipeline.importing.preparing import PreparedLot
from campaigns.pipeline.importing.sorting import Options, sort_out
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.people_file import Surveyed, printable
from campaigns.rules.people_file.columns import REPORT_COLUMNS, Columns, Role
from campaigns.rules.people_file.people import Reader, Rejection, sentence
from campaigns.rules.people_file.rows import as_text
from campaigns.rules.prospect_state import ProspectState

_FURTHER_UP = "is the number of a row further up, which is rejected: correct that one, or leave it out"
LONGEST_VALUE_KEPT = 200  # characters of a rejected value that its report quotes, where the row has it, too


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the rows so far: `new + already_there + updated + rejected = rows`."""

    rows: int
    new: int
    already_there: int
    updated: int
    rejected: int
    elsewhere: int
    """Of the new people, those whom another running campaign calls, too."""
    reasons: Mapping[str, int]
    """Rejected rows by what is wrong with them."""
    not_waiting: Mapping[str, int]
    """Those of this list whom nobody will call as things are, by the reason."""


def begin(
    session: Session,
    campaign_id: UUID,
    *,
    source: str,
    surveyed: Surveyed,
    columns: Columns,
    terms: Mapping[str, Any],
    now: datetime,
    who: str | None = None,
) -> tuple[UUID, int]:
    """Open an import, or the same one that was interrupted: of the same file, on the same terms.

    Returns its id, and how many rows of the file are stored already. Raises `NotAllowed` where the campaign is over.
    """
    campaign = about_campaigns(session, [campaign_id])[campaign_id]
    refuse_what_is_over(campaign)
    # Under lock: what a killed process had begun to store is stored or forgotten first.
    interrupted = session.scalar(
        select(Import)
        .where(
            Import.campaign_id == campaign_id,
            Import.digest == surveyed.digest,
            Import.terms == terms,
            Import.finished_at.is_(None),
        )
        .order_by(Import.created_at)
        .limit(1)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if interrupted is not None:
        return interrupted.id, interrupted.rows
    opened = Import(
        id=uuid4(),
        campaign_id=campaign_id,
        source=printable(source),
        who=who,
        digest=surveyed.digest,
        size=surveyed.size,
        terms=dict(terms),
        columns=list(columns.header),
        created_at=now,
    )
    session.add(opened)
    session.flush()
    brought = {"list": opened.source, "import": str(opened.id)[:8], **terms.get("options", {})}
    subject = f"campaign:{campaign.definition.name}"
    record(session, who=who or US, what="import", subject=subject, after=brought, now=now)
    return opened.id, 0


def take_turns(session: Session, word: str, *, alone: bool) -> None:
    """Go on together with all others of that word, or alone: until the end of the transaction."""
    lock = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
    session.execute(select(lock(func.hashtextextended(f"import into {word}", 0))))


def store(
    session: Session,
    import_id: UUID,
    reader: Reader,
    lot: PreparedLot,
    met: Met,
    *,
    after: int,
    read: int,
    now: datetime,
) -> None:
    """Store what a lot of rows came to, the first of them being number `after` of the file, counted from 0.

    `met` is what `meet` said of its people, in a transaction before this one; `read` is how many bytes of the file the
    lot takes.

    All or nothing, with the counts. Two imports into one campaign may run at once: the table's own uniqueness decides
    who was first. Of the same import only one may: raises `NotAllowed` where the rows were stored meanwhile.
    """
    record = session.get_one(Import, import_id, with_for_update={"key_share": True}, populate_existing=True)
    if record.rows != after:
        raise NotAllowed("the same file is being imported by another process: wait until that has ended")
    campaign = _open_campaign(session, record.campaign_id)
    options = Options(**record.terms["options"])
    found = sort_out(session, campaign.id, options, reader, lot.people, met.known)
    taken = [*found.newcomers, *found.corrections.values(), *found.consents]
    consented = adding.add_consents(session, campaign, taken, met.ids, now=now)
    updated = correct(session, import_id, reader, found.corrections, met.ids, consented, now=now)
    heard = {met.ids[each.number] for each in found.consents} & consented
    heard -= {prospect.person_id for prospect in found.corrections}
    heed(session, campaign.id, heard, now=now)
    updated += len(heard)
    added = adding.add_prospects(session, record, campaign, lot, found.newcomers, met, now=now)
    for state, number in added.items():
        count(session, campaign.id, f"prospect:{state}", after, number)
    again = [each for each in lot.repeated if (each.number, each.extension) in found.refused]
    rejections = [*lot.rejections, *found.rejections]
    rejections += (reader.reject(each.row(), Role.PHONE, _FURTHER_UP) for each in again)
    _keep(session, import_id, rejections, record.columns)
    record.rows += lot.rows
    record.read = read
    record.new += added.total()
    record.updated += updated
    record.rejected += len(rejections)
    record.already_there += lot.rows - added.total() - updated - len(rejections)
    record.elsewhere += found.elsewhere


def is_stored(session: Session, import_id: UUID, lot: PreparedLot, *, after: int) -> bool:
    """Whether the lot, its first row being number `after`, is in the ledger."""
    done = session.scalar(select(Import.rows).where(Import.id == import_id).with_for_update(read=True))
    return done is not None and done >= after + lot.rows


def finish(session: Session, import_id: UUID, *, now: datetime) -> None:
    """Mark the import as read to the end of its file, which is not needed any more."""
    session.execute(update(Import).where(Import.id == import_id).values(finished_at=now))
    session.execute(delete(FilePiece).where(FilePiece.import_id == import_id))


def report(session: Session, import_id: UUID) -> Report:
    """What became of the rows so far."""
    record = session.get_one(Import, import_id, populate_existing=True)
    reasons = session.execute(
        select(RejectedRow.column, RejectedRow.reason, func.count())
        .where(RejectedRow.import_id == import_id)
        .group_by(RejectedRow.column, RejectedRow.reason)
        .order_by(func.count().desc(), RejectedRow.column, RejectedRow.reason)
    )
    idle = session.execute(
        select(Prospect.state, Prospect.state_why, func.count())
        .where(Prospect.campaign_id == record.campaign_id, Prospect.import_id == import_id)
        .where(Prospect.state.in_([ProspectState.HELD, ProspectState.SUPPRESSED, ProspectState.EXPIRED]))
        .group_by(Prospect.state, Prospect.state_why)
        .order_by(func.count().desc(), Prospect.state_why)
    )
    return Report(
        rows=record.rows,
        new=record.new,
        already_there=record.already_there,
        updated=record.updated,
        rejected=record.rejected,
        elsewhere=record.elsewhere,
        reasons={sentence(column, reason): number for column, reason, number in reasons},
        not_waiting={why or str(state): number for state, why, number in idle},
    )


def rejected(session: Session, import_id: UUID) -> Iterator[dict[str, str]]:
    """The rejected rows in the order of the file: their original columns, then where and why each was rejected."""
    columns = session.execute(select(Import.columns).where(Import.id == import_id)).scalar_one()
    rows = session.execute(
        select(RejectedRow.original, RejectedRow.line, RejectedRow.column, RejectedRow.value, RejectedRow.reason)
        .where(RejectedRow.import_id == import_id)
        .order_by(RejectedRow.line, RejectedRow.id)
        .execution_options(yield_per=1000)
    )
    for original, line, column, value, reason in rows:
        why = dict(zip(REPORT_COLUMNS, (str(line), column or "", value or "", reason), strict=True))
        yield {name: as_text(original.get(name)) for name in columns if name not in why} | why


def _open_campaign(session: Session, campaign_id: UUID) -> CampaignFacts:
    """The campaign, share-locked, so that it is not cancelled or completed under a batch."""
    queue_to_share(session, campaign_id=campaign_id)
    session.execute(select(Campaign.id).where(Campaign.id == campaign_id).with_for_update(read=True))
    campaign = about_campaigns(session, [campaign_id])[campaign_id]
    refuse_what_is_over(campaign)
    return campaign


def refuse_what_is_over(campaign: CampaignFacts) -> None:
    """Raises `NotAllowed` for a campaign that takes nobody any more."""
    if campaign.state in {CampaignState.COMPLETED, CampaignState.CANCELLED}:
        raise NotAllowed(f"campaign {campaign.definition.name} is {campaign.state}: import into another one")


def _keep(session: Session, import_id: UUID, rejections: Sequence[Rejection], header: Sequence[str]) -> None:
    if rejections:
        session.execute(
            insert(RejectedRow),
            [
                {
                    "import_id": import_id,
                    "line": each.row.line,
                    "column": each.column,
                    "value": each.value[:LONGEST_VALUE_KEPT] if each.value and each.row.cells else each.value,
                    "reason": each.reason,
                    "original": dict(zip(header, each.row.cells, strict=False)),
                }
                for each in rejections
            ],
        )
