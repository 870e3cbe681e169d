"""Who is next: people who are due, by priority, and new ones and those who are called again in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from campaigns.facts import CampaignFacts
from campaigns.models import Call, Prospect
from campaigns.rules.pacing import TURNS, in_turn, turns
from campaigns.rules.prospect_state import ProspectState


def due_people(session: Session, campaign: CampaignFacts, most: int, *, now: datetime) -> list[Prospect]:
    """The next people who are due, the highest priority first, within one of them both kinds in turn, and locked.

    Each priority and kind is asked for alone: `due_at` bounds the index scan within one of them only. In one query over
    all, everybody of a higher priority who is not due yet would be passed by, at each claim.
    """
    found: list[Prospect] = []
    where = {"campaign": campaign.id, "now": now}
    for level in session.execute(_PRIORITIES, where).all():
        at_level = {**where, "priority": level.priority}
        left = most - len(found)
        again_due, new_due = (first is not None and first <= now for first in (level.again, level.new))
        if again_due and new_due:
            recent = session.scalars(_RECENT, where).all()
            whose = turns(left, recent=recent, share=campaign.definition.retry_share)
            found += _both(session, at_level, whose)
        elif again_due or new_due:
            found += _next_ones(session, at_level, again=again_due, most=left)
        if len(found) == most:
            break
    return found


def _both(session: Session, at_level: Mapping[str, Any], whose: Sequence[bool]) -> list[Prospect]:
    again = _next_ones(session, at_level, again=True, most=sum(whose))
    new = _next_ones(session, at_level, again=False, most=len(whose) - len(again))
    short = len(whose) - len(again) - len(new)
    # Whoever became due meanwhile may stand in front of those we have.
    more = _next_ones(session, at_level, again=True, most=short, skip=len(again))
    return in_turn(whose, list(dict.fromkeys([*again, *more])), new)


def _next_ones(
    session: Session, at_level: Mapping[str, Any], *, again: bool, most: int, skip: int = 0
) -> Sequence[Prospect]:
    terms = {**at_level, "again": int(again), "most": most, "skip": skip}
    return session.scalars(_DUE, terms).all() if most else []


def _is_again() -> ColumnElement[int]:
    # As the index spells it: where a plan serves all parameters, one in place of the 1 would not be known again.
    return func.least(Prospect.calls, literal_column("1"))


def _priorities() -> Select[Any]:
    """The priorities in use, the highest first, with both kinds' first due time: two looks into the index for each."""
    waiting = (Prospect.campaign_id == bindparam("campaign"), Prospect.state == ProspectState.WAITING)
    highest = select(Prospect.priority).where(*waiting).order_by(Prospect.priority.desc()).limit(1)
    level = select(highest.scalar_subquery().label("priority")).cte("level", recursive=True)
    lower = highest.where(Prospect.priority < level.c.priority).correlate(level).scalar_subquery()
    level = level.union_all(select(lower).where(level.c.priority.is_not(None)))
    # The first due time, and no EXISTS: of that PostgreSQL would make a join, and read everybody for it.
    at_level = select(Prospect.due_at).where(*waiting, Prospect.priority == level.c.priority).order_by(Prospect.due_at)
    first = [
        at_level.where(_is_again() == literal_column(one)).limit(1).correlate(level).scalar_subquery().label(kind)
        for kind, one in (("again", "1"), ("new", "0"))
    ]
    return select(level.c.priority, *first).where(level.c.priority.is_not(None)).order_by(level.c.priority.desc())


# Written once: these are asked at each claim, and to build a query takes as long as to run it.
_PRIORITIES = _priorities()
_DUE = (
    select(Prospect)
    .where(
        Prospect.campaign_id == bindparam("campaign"),
        Prospect.state == ProspectState.WAITING,
        Prospect.priority == bindparam("priority"),
        _is_again() == bindparam("again"),
        Prospect.due_at <= bindparam("now"),
    )
    .order_by(Prospect.due_at)
    .limit(bindparam("most"))
    .offset(bindparam("skip"))  # of those whom this transaction has locked already
    .with_for_update(skip_locked=True, key_share=True)
)
_RECENT = (
    select(Call.again)
    .where(Call.campaign_id == bindparam("campaign"))
    .order_by(Call.claimed_at.desc())
    .limit(TURNS - 1)
)
