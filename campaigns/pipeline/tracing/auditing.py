"""The audit: who changed what, from what to what, and why."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Uuid, case, cast, exists, func, or_, select
from sqlalchemy.orm import Session

from campaigns.models import Account, Call, Campaign, Change, Person

LONGEST = 60  # characters of a value that a line of the audit quotes; JSON has all of it


@dataclass(frozen=True, slots=True)
class Entry:
    """One change, in words and in full."""

    at: datetime
    who: str
    what: str
    subject: str
    detail: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    why: str | None


def audit(session: Session, *, campaign: Campaign | None, since: datetime | None, limit: int) -> list[Entry]:
    """The latest changes, the newest last; with `campaign` those of it, of its account and of its calls alone."""
    query = select(Change).order_by(Change.id.desc()).limit(limit)
    if since is not None:
        query = query.where(Change.at >= since)
    if campaign is not None:
        # A call's change names the call. As text, because the audit outlives what it is about.
        call_id = case((Change.subject.startswith("call:"), cast(func.substr(Change.subject, 6), Uuid)))
        calls = exists().where(Call.id == call_id, Call.campaign_id == campaign.id)
        people = Change.after["campaign"].astext == str(campaign.id)
        account = session.get_one(Account, campaign.account_id).name
        subjects = Change.subject.in_([f"campaign:{campaign.name}", f"account:{account}", "database"])
        query = query.where(or_(subjects, people, calls))
    return [entry(change) for change in reversed(session.scalars(query).all())]


def phones(session: Session, entries: Collection[Entry]) -> dict[str, str]:
    """The numbers of the people whom these changes are about, by subject."""
    ids = {int(each.subject.removeprefix("person:")) for each in entries if each.subject.startswith("person:")}
    found = session.execute(select(Person.id, Person.number).where(Person.id.in_(ids)))
    return {f"person:{person_id}": number for person_id, number in found}


def changes_of(session: Session, subjects: Collection[str], *, limit: int) -> list[Entry]:
    """The latest changes of any of these subjects, the newest last: one look into an index."""
    query = select(Change).where(Change.subject.in_(sorted(subjects))).order_by(Change.id.desc()).limit(limit)
    return [entry(change) for change in reversed(session.scalars(query).all())]


def entry(change: Change) -> Entry:
    """The change with what is different afterwards, in words."""
    parts = [_result(change), change.why or ""]
    detail = ": ".join(part for part in parts if part)
    return Entry(change.at, change.who, change.what, change.subject, detail, change.before, change.after, change.why)


def _result(change: Change) -> str:
    after = dict(change.after or {})
    if "result" in after:
        return str(after["result"])
    if change.before is None and change.what == "apply":
        return "created"
    before = change.before or {}
    after.pop("campaign", None)
    # What was not there before and is not so now is no difference in words.
    keys = sorted(key for key in {*before, *after} if before.get(key, False) != after.get(key))
    return ", ".join(_difference(key, before.get(key), after.get(key)) for key in keys)


def _difference(key: str, was: Any, becomes: Any) -> str:
    match was, becomes:
        case Mapping(), Mapping():
            inner = sorted(name for name in {*was, *becomes} if was.get(name) != becomes.get(name))
            return ", ".join(_difference(f"{key}.{name}", was.get(name), becomes.get(name)) for name in inner)
        case None, True:
            return key
        case None, _:
            return f"{key} {_quoted(becomes)}"
        case _, None:
            return f"{key} {_quoted(was)} is gone"
        case _:
            return f"{key} {_quoted(was)} → {_quoted(becomes)}"


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
