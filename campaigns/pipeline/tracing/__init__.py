"""One person's whole story over all campaigns, and the audit of who did what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from campaigns.errors import InvalidInput, UnknownName
from campaigns.ledger import US
from campaigns.models import Account, Campaign, Consent, Correction, Import, Person, Prospect, Ruling, Suppression
from campaigns.pipeline.tracing.auditing import Entry, changes_of
from campaigns.pipeline.tracing.calling import Story, calls_of
from campaigns.pipeline.tracing.waiting import SOON, in_words, next_calls
from campaigns.rules.calling_rules import applicable
from campaigns.rules.explaining import shown

MOST_CHANGES = 500  # of campaigns and accounts: a hundred pages; who wants more asks for the audit
EVERYWHERE = "every campaign"


@dataclass(frozen=True, slots=True)
class Trace:
    """One person's story, in the order it happened, with where things stand at its end."""

    phone: str
    zone: str | None
    """The first zone that the person may be in, by whose clocks the story is told too."""
    stories: Sequence[Story]


def find_person(session: Session, wanted: str, *, number: str | None, campaign_id: UUID | None = None) -> Person:
    """Whose story is meant: the person with that number, else with that external id, of one campaign or of any.

    Raises `UnknownName` where there is nobody, `InvalidInput` where the id is of several people.
    """
    person = None if number is None else session.scalar(select(Person).where(Person.number == number))
    if person is not None:
        return person
    # One look into the index for each campaign: an id is unique within one.
    campaigns = select(Campaign.id) if campaign_id is None else select(Campaign.id).where(Campaign.id == campaign_id)
    held = select(Prospect.person_id).where(Prospect.campaign_id.in_(campaigns), Prospect.external_id == wanted)
    found = session.scalars(select(Person).where(Person.id.in_(held.limit(100))).limit(2)).all()
    if len(found) > 1:
        raise InvalidInput(f"several people have the id {wanted}: say with --campaign whose")
    if not found:
        what = "number" if number is not None else "id"
        raise UnknownName(f"nobody with that {what} was ever imported")
    return found[0]


def trace(session: Session, person: Person, *, now: datetime) -> Trace:
    """Everything that happened to the person, over all campaigns, and what comes next and why then.

    A fixed number of queries, each by an index, whatever the person has been through. Raises `UnknownName` where there
    is nothing to tell: a list brought the number, and no campaign took it.
    """
    rows = session.execute(
        select(Prospect, Campaign, Account.name)
        .join(Campaign, Campaign.id == Prospect.campaign_id)
        .join(Account, Account.id == Campaign.account_id)
        .where(Prospect.person_id == person.id)
        .order_by(Prospect.id)
    ).all()
    prospects = {prospect.id: prospect for prospect, _, _ in rows}
    campaigns = {campaign.id: campaign.name for _, campaign, _ in rows}
    names = {prospect.id: campaigns[prospect.campaign_id] for prospect in prospects.values()}
    calls, by_call = calls_of(session, prospects, names)
    places = {place for prospect in prospects.values() for place in _jurisdictions(prospect)}
    subjects = {
        *(f"campaign:{name}" for name in campaigns.values()),
        *(f"account:{account}" for _, _, account in rows),
        *(f"rule:{place}" for place in places),
    }
    audit = changes_of(session, subjects, limit=MOST_CHANGES)
    own = changes_of(session, {f"person:{person.id}", *(f"call:{call}" for call in by_call)}, limit=MOST_CHANGES)
    stories = [
        *_administered(audit, since=min((each.created_at for each in prospects.values()), default=person.created_at)),
        *_imported(session, prospects, names),
        *_consents(session, person, campaigns),
        *_wishes(session, person, campaigns, own),
        *(_of_call(change, by_call) for change in own if change.subject.startswith("call:")),
        *calls,
        *_rulings(session, prospects, names),
    ]
    if not stories:
        raise UnknownName("nobody with that number was ever imported")
    told = sorted(stories, key=lambda story: story.at)
    zone = next((prospect.zones[0] for prospect in prospects.values() if prospect.zones), None)
    return Trace(person.number, zone, [*told, *_standing(session, prospects, names, now=now)])


def _jurisdictions(prospect: Prospect) -> Iterator[str]:
    yield from prospect.states  # one of them may be listed since, or by the operator alone
    yield from (row.code for row in applicable(prospect.country, prospect.states).jurisdictions)


def _administered(audit: Sequence[Entry], *, since: datetime) -> Iterator[Story]:
    """What was done to the person's campaigns and accounts, and to the rules of their place."""
    if len(audit) == MOST_CHANGES:
        yield Story(audit[0].at, "earlier changes", "are left out here: `outbound audit` has them", EVERYWHERE)
    for change in audit:
        kind, _, name = change.subject.partition(":")
        if kind == "campaign":
            yield Story(change.at, f"{change.what} by {change.who}", change.detail, name, who=change.who)
        elif change.at >= since:  # of an account and of a rule, what was before this person says nothing of them
            what = f"{change.what} {kind} {name} by {change.who}"
            yield Story(change.at, what, change.detail, EVERYWHERE, who=change.who)


def _imported(session: Session, prospects: Mapping[int, Prospect], names: Mapping[int, str]) -> Iterator[Story]:
    corrections = session.scalars(
        select(Correction).where(Correction.prospect_id.in_(prospects)).order_by(Correction.prospect_id, Correction.id)
    ).all()
    first: dict[int, Mapping[str, object]] = {}
    for correction in corrections:
        first.setdefault(correction.prospect_id, correction.before)
    ids = {prospect.import_id for prospect in prospects.values()}
    ids |= {UUID(each["import_id"]) for one in corrections for each in (one.before, one.after) if "import_id" in each}
    lists = {one.id: one for one in session.scalars(select(Import).where(Import.id.in_(ids)))}
    for prospect in prospects.values():
        came = first.get(prospect.id, {})
        source = lists[UUID(str(came.get("import_id", prospect.import_id)))]
        zones = ", ".join(prospect.zones) or "zone unknown"
        detail = f"line {came.get('line', prospect.line)} of {source.source}; {zones}"
        who = source.who
        yield Story(prospect.created_at, f"imported{_by(who)}", detail, names[prospect.id], who=who)
    for correction in corrections:
        source = lists[UUID(correction.after["import_id"])]
        changed = [
            f"{key} {_value(correction.before.get(key))} → {_value(value)}"
            for key, value in sorted(correction.after.items())
            if key not in {"import_id", "line"}
        ]
        detail = "; ".join([f"line {correction.after['line']} of {source.source}", *changed])
        what = f"updated{_by(source.who)}"
        yield Story(correction.at, what, detail, names[correction.prospect_id], who=source.who)


def _consents(session: Session, person: Person, campaigns: Mapping[UUID, str]) -> Iterator[Story]:
    for consent in session.scalars(select(Consent).where(Consent.person_id == person.id).order_by(Consent.id)):
        where = campaigns.get(consent.campaign_id, "another campaign") if consent.campaign_id else EVERYWHERE
        given = "" if consent.obtained_at is None else f", given {shown(consent.obtained_at, None)}"
        proof = "" if consent.proof is None else f", proof: {consent.proof}"
        yield Story(consent.created_at, "consent recorded", f"source: {consent.source}{given}{proof}", where)
        if consent.withdrawn_at is not None:
            yield Story(consent.withdrawn_at, "consent withdrawn", f"source: {consent.source}", where)


def _wishes(session: Session, person: Person, campaigns: Mapping[UUID, str], own: Sequence[Entry]) -> Iterator[Story]:
    """When the person asked not to be called, and when that was lifted; by whom, the audit says."""
    entries = session.scalars(
        select(Suppression).where(Suppression.person_id == person.id).order_by(Suppression.id)
    ).all()
    by = {
        (change.at, (change.after or {}).get("campaign"), change.what.startswith("lift")): change
        for change in own
        if change.subject.startswith("person:")
    }
    for entry in entries:
        only = None if entry.campaign_id is None else str(entry.campaign_id)
        where = EVERYWHERE if entry.campaign_id is None else campaigns.get(entry.campaign_id, "another campaign")
        added = by.get((entry.created_at, only, False))
        who = None if added is None else added.who
        yield Story(entry.created_at, f"do not call{_by(who)}", entry.reason, where, who=who)
        if entry.lifted_at is not None:
            lifted = by.get((entry.lifted_at, only, True))
            who, why = (None, "") if lifted is None else (lifted.who, lifted.why or "")
            yield Story(entry.lifted_at, f"may be called again{_by(who)}", why, where, who=who)


def _of_call(change: Entry, by_call: Mapping[UUID, str]) -> Story:
    call_id = UUID(change.subject.removeprefix("call:"))
    what = f"{change.what} by {change.who}"
    return Story(change.at, what, change.detail, by_call[call_id], who=change.who, call=call_id)


def _rulings(session: Session, prospects: Mapping[int, Prospect], names: Mapping[int, str]) -> Iterator[Story]:
    """What was decided, each with its reason, and the moment that came of it."""
    query = select(Ruling).where(Ruling.prospect_id.in_(prospects)).order_by(Ruling.prospect_id, Ruling.id)
    for ruling in session.scalars(query):
        zone = _zone(prospects[ruling.prospect_id])
        parts = [in_words(ruling.why) or "worked out anew"]
        if ruling.due_at is not None:
            parts.append(f"next call at {shown(ruling.due_at, zone)}")
            if ruling.not_before is not None and ruling.at < ruling.not_before < ruling.due_at:
                parts.append(f"the wish was {shown(ruling.not_before, zone)}")
        yield Story(ruling.at, f"decided: {ruling.state}", "; ".join(parts), names[ruling.prospect_id])


def _standing(
    session: Session, prospects: Mapping[int, Prospect], names: Mapping[int, str], *, now: datetime
) -> list[Story]:
    """Where each prospect stands now; of who waits, when the next call is due and why then."""
    waiting = next_calls(session, prospects.values(), now=now)
    stories = []
    for prospect in prospects.values():
        name, following = names[prospect.id], waiting.get(prospect.id)
        if following is None:
            stories.append(Story(now, f"is {prospect.state}", in_words(prospect.state_why), name))
            continue
        at = shown(following.due_at, _zone(prospect))
        if following.due_at > now:
            detail = f"next call at {at}" + (f", because {following.why}" if following.why else "")
        else:
            detail = f"due since {at}" + (f", but {following.why}" if following.why else f": {SOON}")
        stories.append(Story(now, f"is {prospect.state}", detail, name, due_at=following.due_at))
    return stories


def _zone(prospect: Prospect) -> ZoneInfo | None:
    return ZoneInfo(prospect.zones[0]) if prospect.zones else None


def _by(who: str | None) -> str:
    return "" if who in (None, US) else f" by {who}"


def _value(value: object) -> str:
    return "nothing" if value in (None, "", [], {}) else str(value)
