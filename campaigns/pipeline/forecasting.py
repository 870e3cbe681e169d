"""What would happen if the campaign started: whom it would call, whom not and why, when, and for how much.

Nothing is changed and nobody is called. People about whom the same is known are decided about once, by the decision
that everything else asks too; so a million of them take seconds, and no more memory than a few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from campaigns.facts import Alike, CampaignFacts, about_campaigns, gather_alike
from campaigns.models import Campaign, Heartbeat, Import, Pace, Person, Prospect
from campaigns.rules.campaign_state import CampaignState
from campaigns.rules.eligibility import Facts, Refused, when_due
from campaigns.rules.forecast import SPREAD, Course, Crowd, Means, play, varied
from campaigns.rules.pacing import our_lines, still_granted
from campaigns.rules.prospect_state import CLOSABLE, FINAL, ProspectState

TURNAROUND = timedelta(seconds=0.5)  # real time until a line that came free is used again: webhook, claim, request
EXAMPLES = 3  # people named for each reason: enough to look one up
SILENT = timedelta(minutes=1)  # real time: a worker that is there gives a sign of life each second
_PATIENCE_MS: Final = 600_000  # of one query over everybody; ten million people take less than a minute

_SAID_OF: Final = {
    ProspectState.COMPLETED: "reached before",
    ProspectState.EXHAUSTED: "called before as often as the campaign calls",
    ProspectState.REFUSED: "refused for good by the provider or the carrier",
    ProspectState.SUPPRESSED: "on a do-not-call list",
    ProspectState.EXPIRED: "left over when the campaign had ended",
    ProspectState.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Left:
    """People who would not be called, for one reason."""

    reason: str
    say: str
    count: int
    examples: tuple[str, ...]
    """Some of their numbers."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would become of everybody in the campaign."""

    people: int
    call: int
    """Those who would be called, those included who are in a call now."""
    skip: tuple[Left, ...]
    """Those who never would be; the largest number first."""
    hold: tuple[Left, ...]
    """Those for whom something has to be mended first."""
    review: int
    """Those of whom a person has to decide whether they were called."""
    rejected: int
    """Rows of the lists that could not be used."""
    crowds: tuple[Crowd, ...]
    places: Mapping[str, int]
    """Countries, states and unions, by their codes, and how many of those who would be called may be there."""
    some: tuple[int, ...]
    """A few prospects who would be called."""


_Place = tuple[str | None, tuple[str, ...]]
"""A country and its states."""


@dataclass(slots=True)
class _Lot:
    count: int = 0
    examples: list[int] = field(default_factory=list)

    def add(self, alike: Alike) -> None:
        self.count += alike.count
        self.examples += [each for each in dict.fromkeys((alike.first_id, alike.last_id)) if each not in self.examples]
        del self.examples[EXAMPLES:]


def look_ahead(session: Session, campaign: CampaignFacts, *, now: datetime) -> Outlook:
    """Whom the campaign would call, skip and hold, were it running from now or from its starts_at on."""
    session.execute(text(f"SET LOCAL statement_timeout = {_PATIENCE_MS}"))
    skip: dict[tuple[str, str], _Lot] = {}
    hold: dict[tuple[str, str], _Lot] = {}
    crowds: Counter[tuple[Facts, tuple[str, ...]]] = Counter()
    places: Counter[_Place] = Counter()
    some: dict[_Place, int] = {}
    people = review = 0
    for alike in gather_alike(session, campaign, now=now):
        people += alike.count
        if alike.state is ProspectState.REVIEW:
            review += alike.count
            continue
        if alike.state in FINAL:
            skip.setdefault((str(alike.state), _SAID_OF[alike.state]), _Lot()).add(alike)
            continue
        facts = replace(alike.facts, person_in_call=False)
        if alike.state in CLOSABLE:
            match when_due(facts, now):
                case Refused(reason=reason, detail=detail, becomes=becomes):
                    lots = hold if becomes is ProspectState.HELD else skip
                    lots.setdefault((str(reason), detail), _Lot()).add(alike)
                    continue
        else:
            facts = replace(facts, not_before=None)  # in a call now: the forecast calls them once more
        crowds[facts, alike.zones] += alike.count
        places[alike.country, alike.states] += alike.count
        some.setdefault((alike.country, alike.states), alike.first_id)
    numbers = _numbers(session, [each for lot in (*skip.values(), *hold.values()) for each in lot.examples])
    return Outlook(
        people=people,
        call=places.total(),
        skip=_left(skip, numbers),
        hold=_left(hold, numbers),
        review=review,
        rejected=session.scalar(select(func.sum(Import.rejected)).where(Import.campaign_id == campaign.id)) or 0,
        crowds=tuple(Crowd(facts, zones, count) for (facts, zones), count in crowds.items()),
        places=_codes(places, campaign),
        some=tuple(some[place] for place, _ in places.most_common(EXAMPLES)),
    )


def _left(lots: Mapping[tuple[str, str], _Lot], numbers: Mapping[int, str]) -> tuple[Left, ...]:
    found = (
        Left(reason, say, lot.count, tuple(numbers[each] for each in lot.examples))
        for (reason, say), lot in lots.items()
    )
    return tuple(sorted(found, key=lambda left: (-left.count, left.reason, left.say)))


def _codes(places: Mapping[_Place, int], campaign: CampaignFacts) -> dict[str, int]:
    codes: Counter[str] = Counter()
    for (country, states), count in places.items():
        rules = campaign.rules.applicable(country or campaign.terms.fallback_country, states).jurisdictions
        codes.update(dict.fromkeys({*states, *(row.code for row in rules)}, count))
    return dict(codes)


def _numbers(session: Session, prospect_ids: Collection[int]) -> dict[int, str]:
    query = select(Prospect.id, Person.number).join(Person, Person.id == Prospect.person_id)
    return {row.id: row.number for row in session.execute(query.where(Prospect.id.in_(prospect_ids)))}


@dataclass(frozen=True, slots=True)
class Gap:
    """People whose list says nothing of a variable that the assistant says."""

    name: str
    count: int
    examples: tuple[str, ...]


def gaps(session: Session, campaign: CampaignFacts, names: Iterable[str]) -> list[Gap]:
    """Of those who wait or are held, who lacks which of these variables: one look at everybody."""
    wanted = sorted(set(names) - campaign.definition.variables.keys())
    if not wanted:
        return []
    session.execute(text(f"SET LOCAL statement_timeout = {_PATIENCE_MS}"))
    figures = []
    for name in wanted:
        said = func.jsonb_extract_path_text(Prospect.variables, name)
        if name == "language":
            said = func.coalesce(said, Prospect.language)
        lacks = func.coalesce(said, "") == ""
        figures += [
            func.count().filter(lacks),
            func.min(Prospect.id).filter(lacks),
            func.max(Prospect.id).filter(lacks),
        ]
    open_ = (Prospect.campaign_id == campaign.id, Prospect.state.in_(sorted(CLOSABLE)))
    row = session.execute(select(*figures).where(*open_)).one()
    found = {name: row[3 * turn : 3 * turn + 3] for turn, name in enumerate(wanted)}
    numbers = _numbers(session, [each for _, *ids in found.values() for each in ids if each is not None])
    return [
        Gap(name, count, tuple(numbers[each] for each in dict.fromkeys(ids)))
        for name, (count, *ids) in found.items()
        if count
    ]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a forecast goes by."""

    means: Means
    shared_with: Mapping[str, int]
    """Other running campaigns of the account, with their weights."""


def terms(session: Session, campaign: CampaignFacts, *, real: datetime, speed: float) -> Terms:
    """The lines and the pace that the campaign would have, were every running campaign to use its whole share."""
    account, definition = campaign.account, campaign.definition
    others = session.scalars(
        select(Campaign.id).where(
            Campaign.account_id == campaign.account_id,
            Campaign.state == CampaignState.RUNNING,
            Campaign.id != campaign.id,
        )
    ).all()
    weights = {each.definition.name: each.definition.weight for each in about_campaigns(session, others).values()}
    share = definition.weight / (definition.weight + sum(weights.values()))
    pace = session.get_one(Pace, campaign.account_id)
    granted = still_granted(pace.granted, said_at=pace.granted_at, real=real)
    ours = our_lines(limit=account.concurrency, granted=granted, reserve=account.reserve)
    numbers = _together(account.number(each).concurrency for each in definition.phone_number_ids)
    caps = [cap for cap in (definition.max_concurrency, numbers) if cap is not None]
    means = Means(
        lines=max(1, min(int(ours * share), *caps) if caps else int(ours * share)),
        calls_per_second=account.calls_per_second * share / speed,
        turnaround=TURNAROUND * speed,
        per_day=_together(account.number(each).per_day for each in definition.phone_number_ids),
    )
    return Terms(means, dict(sorted(weights.items())))


def _together(limits: Iterable[int | None]) -> int | None:
    """What all of them permit together; None where one of them has no limit."""
    most = list(limits)
    return None if None in most else sum(each for each in most if each is not None)


@dataclass(frozen=True, slots=True)
class Forecast:
    """How the campaign would go: as expected, and between which figures."""

    expected: Course
    others: tuple[Course, ...]

    @property
    def courses(self) -> tuple[Course, ...]:
        """All that were played through."""
        return (self.expected, *self.others)

    @property
    def finished_at(self) -> tuple[datetime, datetime]:
        """The earliest and the latest end."""
        ends = [course.finished_at for course in self.courses]
        return min(ends), max(ends)

    @property
    def calls(self) -> tuple[int, int]:
        """The fewest and the most calls."""
        calls = [course.calls for course in self.courses]
        return min(calls), max(calls)

    @property
    def minutes(self) -> tuple[float, float]:
        """The fewest and the most minutes of talk."""
        minutes = [course.minutes for course in self.courses]
        return min(minutes), max(minutes)


def forecast(campaign: CampaignFacts, outlook: Outlook, terms: Terms, *, now: datetime) -> Forecast | None:
    """The courses of the campaign as expected, with more and with fewer answers; None where nobody would be called.

    The same campaign at the same moment has the same forecast.
    """
    if not outlook.crowds:
        return None

    def course(by: float, seed: int) -> Course:
        return play(
            outlook.crowds,
            means=terms.means,
            expected=varied(campaign.definition.expected, by),
            plan=campaign.definition.retry,
            now=now,
            random=Random(seed),  # noqa: S311 - no secret is made of it
        )

    return Forecast(course(0.0, 1), (course(-SPREAD, 2), course(SPREAD, 3), course(0.0, 4)))


def asleep(session: Session, tasks: Collection[str], *, real: datetime) -> list[str]:
    """Those of these periodic tasks that gave no sign of life lately: no worker runs them."""
    awake = set(session.scalars(select(Heartbeat.task).where(Heartbeat.at >= real - SILENT)))
    return sorted(set(tasks) - awake)
