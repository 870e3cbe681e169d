"""From a file of people to prospects: read, check, store; whatever cannot be used is kept with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from sqlalchemy import insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from campaigns.errors import InvalidInput, NotAllowed
from campaigns.facts import CampaignFacts, about_campaigns, about_newcomer, consented
from campaigns.facts import suppressed as is_suppressed
from campaigns.ledger import count, queue_to_share
from campaigns.models import Campaign, Import, Person, Prospect, RejectedRow
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.definition import CampaignDefinition
from campaigns.rules.eligibility import Refused, when_due
from campaigns.rules.people_file import REPORT_COLUMNS, Columns, Row, printable
from campaigns.rules.phone import InvalidPhone, PhoneNumber, Places, parse, places
from campaigns.rules.prospect_state import ProspectState

BATCH = 1_000  # rows to a transaction: large enough to be fast, small enough to lose little when killed
LONGEST_VALUE_KEPT = 200  # characters of a rejected value that its report quotes


@dataclass(slots=True)
class Report:
    """What became of the rows so far: `new + already_there + rejected = rows`."""

    rows: int = 0
    new: int = 0
    already_there: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Newcomer:
    row: Row
    number: PhoneNumber
    name: str | None
    external_id: str | None
    zones: frozenset[str]
    places: Places
    states: frozenset[str]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Rejection:
    row: Row
    column: str | None
    value: str | None
    reason: str


def begin(session: Session, campaign_id: UUID, *, source: str, columns: Columns, now: datetime) -> UUID:
    """Open an import; its row carries the running counts. Raises `NotAllowed` where the campaign is over."""
    _open_campaign(session, campaign_id)
    record = Import(
        id=uuid4(),
        campaign_id=campaign_id,
        source=printable(source),
        columns=list(columns.header),
        rows=0,
        new=0,
        already_there=0,
        rejected=0,
        created_at=now,
    )
    session.add(record)
    session.flush()
    return record.id


def batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows in lots of one transaction each."""
    while lot := list(islice(rows, BATCH)):
        yield lot


def store(
    session: Session, import_id: UUID, rows: Sequence[Row], columns: Columns, report: Report, *, now: datetime
) -> None:
    """Turn a lot of rows into prospects and rejected rows, all or nothing, and add to `report`.

    Two imports into one campaign may run at once: the table's own uniqueness decides who was first.
    """
    record = session.get_one(Import, import_id, with_for_update={"key_share": True}, populate_existing=True)
    campaign = _open_campaign(session, record.campaign_id)
    newcomers: dict[tuple[str, str], _Newcomer] = {}
    rejections: list[_Rejection] = []
    repeated = 0
    for row in rows:
        match _check(row, columns, campaign.definition):
            case _Rejection() as rejection:
                rejections.append(rejection)
            case newcomer:
                key = (newcomer.number.e164, newcomer.number.extension)
                repeated += key in newcomers
                newcomers.setdefault(key, newcomer)
    new = _insert_prospects(session, record, campaign, list(newcomers.values()), now=now)
    if rejections:
        session.execute(
            insert(RejectedRow),
            [
                {
                    "import_id": import_id,
                    "line": rejection.row.line,
                    "column": rejection.column,
                    "value": rejection.value and rejection.value[:LONGEST_VALUE_KEPT],
                    "reason": rejection.reason,
                    "original": dict(rejection.row.cells),
                }
                for rejection in rejections
            ],
        )
    already_there = repeated + len(newcomers) - new
    session.execute(
        update(Import)
        .where(Import.id == import_id)
        .values(
            rows=Import.rows + len(rows),
            new=Import.new + new,
            already_there=Import.already_there + already_there,
            rejected=Import.rejected + len(rejections),
        )
    )
    report.rows += len(rows)
    report.new += new
    report.already_there += already_there
    report.rejected += len(rejections)
    report.reasons.update(rejection.reason for rejection in rejections)


def finish(session: Session, import_id: UUID, *, digest: str, now: datetime) -> None:
    """Mark the import as read to the end of its file."""
    session.execute(update(Import).where(Import.id == import_id).values(finished_at=now, digest=digest))


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
        yield {name: original.get(name, "") for name in columns if name and name not in why} | why


def _open_campaign(session: Session, campaign_id: UUID) -> CampaignFacts:
    """The campaign, share-locked, so that it is not cancelled or completed under a batch."""
    queue_to_share(session, campaign_id=campaign_id)
    session.execute(select(Campaign.id).where(Campaign.id == campaign_id).with_for_update(read=True))
    campaign = about_campaigns(session, [campaign_id])[campaign_id]
    if campaign.state in {CampaignState.COMPLETED, CampaignState.CANCELLED}:
        raise NotAllowed(f"campaign {campaign.definition.name} is {campaign.state}: import into another one")
    return campaign


def _check(row: Row, columns: Columns, definition: CampaignDefinition) -> _Newcomer | _Rejection:
    if row.problem is not None:
        return _Rejection(row, None, row.text, row.problem)
    value = row.cells[columns.phone]
    country = _cell(row, columns.country)
    region = country.upper() if country is not None else definition.default_region
    if country is not None and not (len(country) == 2 and country.isascii() and country.isalpha()):
        return _Rejection(row, columns.country, country, "is not a two-letter country code such as US or DE")
    extension = _cell(row, columns.extension)
    if extension is not None and not (extension.isascii() and extension.isdigit() and len(extension) <= 10):
        return _Rejection(row, columns.extension, extension, "is not an extension of up to 10 digits")
    try:
        number = parse(value, default_region=region)
    except InvalidPhone as problem:
        return _Rejection(row, columns.phone, value, str(problem))
    except InvalidInput:
        return _Rejection(row, columns.country, country, "is not a two-letter country code such as US or DE")
    if extension is not None:
        number = PhoneNumber(number.e164, number.region, extension, number.kind)
    where = places(number.e164)
    if where.country is None and country is not None:
        where = replace(where, country=country.upper())  # a toll-free number lives nowhere; the row knows better
    zone = _cell(row, columns.zone)
    if zone is not None and zone not in _ZONES:
        return _Rejection(row, columns.zone, zone, "is not a time zone such as America/New_York")
    states = set(where.states)
    state = _cell(row, columns.region)
    if state is not None and where.country in {"US", "CA", "AU"} and len(state) <= 3:
        states.add(f"{where.country}-{state.upper()}")
    return _Newcomer(
        row=row,
        number=number,
        name=_cell(row, columns.name),
        external_id=_cell(row, columns.external_id),
        zones=frozenset({zone}) if zone is not None else where.zones,
        places=where,
        states=frozenset(states),
        variables={variable: row.cells[column] for variable, column in columns.variables.items() if row.cells[column]},
    )


def _insert_prospects(
    session: Session, record: Import, campaign: CampaignFacts, newcomers: Sequence[_Newcomer], *, now: datetime
) -> int:
    if not newcomers:
        return 0
    people = _people(session, {newcomer.number.e164 for newcomer in newcomers}, campaign.id, now=now)
    rows = []
    for newcomer in newcomers:
        person = people[newcomer.number.e164]
        facts = about_newcomer(
            campaign,
            country=newcomer.places.country,
            states=newcomer.states,
            zones=newcomer.zones,
            suppressed=person.suppressed,
            own_consent=person.consented,
        )
        due = when_due(facts, now)
        rows.append(
            {
                "campaign_id": campaign.id,
                "person_id": person.id,
                "import_id": record.id,
                "line": newcomer.row.line,
                "extension": newcomer.number.extension,
                "name": newcomer.name,
                "external_id": newcomer.external_id,
                "country": newcomer.places.country,
                "states": sorted(newcomer.states),
                "zones": sorted(newcomer.zones),
                "variables": dict(newcomer.variables),
                "state": due.becomes if isinstance(due, Refused) else ProspectState.WAITING,
                "state_why": due.why if isinstance(due, Refused) else None,
                "due_at": None if isinstance(due, Refused) else due,
                "created_at": now,
                "changed_at": now,
            }
        )
    # In the order of the key, so that two imports that overlap wait for each other instead of deadlocking.
    rows.sort(key=lambda row: (row["person_id"], row["extension"]))
    added = session.execute(
        upsert(Prospect)
        .values(rows)
        .on_conflict_do_nothing(index_elements=[Prospect.campaign_id, Prospect.person_id, Prospect.extension])
        .returning(Prospect.id, Prospect.state)
    ).all()
    for prospect_id, state in added:
        count(session, campaign.id, f"prospect:{state}", prospect_id, 1)
    return len(added)


class _Known(NamedTuple):
    """What is known of a person before the row is."""

    id: int
    suppressed: bool
    consented: bool


def _people(session: Session, numbers: Iterable[str], campaign_id: UUID, *, now: datetime) -> dict[str, _Known]:
    """The person behind each number, created where new."""
    ordered = sorted(numbers)
    statement = upsert(Person).values([{"number": number, "created_at": now} for number in ordered])
    session.execute(statement.on_conflict_do_nothing(index_elements=[Person.number]))
    campaign = literal(campaign_id)
    found = session.execute(
        select(Person.number, Person.id, is_suppressed(Person.id, campaign), consented(Person.id, campaign)).where(
            Person.number.in_(ordered)
        )
    )
    return {number: _Known(person_id, stopped, agreed) for number, person_id, stopped, agreed in found}


_ZONES = available_timezones()


def _cell(row: Row, column: str | None) -> str | None:
    return (row.cells.get(column) or None) if column is not None else None
