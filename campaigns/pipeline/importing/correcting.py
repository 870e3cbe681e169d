"""People who are in the campaign and were not called yet become what a newer list says of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, insert, select
from sqlalchemy.orm import Session

from campaigns.ledger import wait_again
from campaigns.models import Correction, Prospect
from campaigns.pipeline.importing.preparing import Prepared
from campaigns.rules.people_file.columns import Role
from campaigns.rules.people_file.people import Reader, Rejection
from campaigns.rules.prospect_state import CLOSABLE

_OF_ROLE = (Role.NAME, Role.EXTERNAL_ID, Role.LANGUAGE, Role.PRIORITY, Role.NOT_BEFORE, Role.OVERRIDES)
_OF_PLACE = frozenset({Role.COUNTRY, Role.ZONE, Role.REGION, Role.POSTAL_CODE})
_OPEN = (
    select(Prospect)
    .where(Prospect.state.in_(sorted(CLOSABLE)))
    .order_by(Prospect.id)
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_UNCALLED = _OPEN.where(Prospect.id == any_(bindparam("ids", type_=ARRAY(BigInteger))), Prospect.calls == 0)


def lock_uncalled(session: Session, prospect_ids: list[int]) -> dict[int, Prospect]:
    """Those of the prospects who were not called yet, under lock."""
    return {prospect.id: prospect for prospect in session.scalars(_UNCALLED, {"ids": prospect_ids})}


def correct(
    session: Session,
    import_id: UUID,
    reader: Reader,
    said: Mapping[Prospect, Prepared],
    ids: Mapping[str, int],
    consented: Collection[int],
    *,
    now: datetime,
) -> int:
    """Make these locked prospects what the list says; what it has no column for stays. Returns how many were something
    else, or may be called for a consent that is new.
    """
    changed: dict[Prospect, str | None] = {}
    corrections = []
    for prospect, each in said.items():
        values = _said(reader, prospect, each, ids[each.number])
        others = {name: value for name, value in values.items() if getattr(prospect, name) != value}
        if others or ids[each.number] in consented:
            others |= {"import_id": import_id, "line": each.line}
            before = {name: getattr(prospect, name) for name in others}
            for name, value in others.items():
                setattr(prospect, name, value)
            changed[prospect] = prospect.state_why
            corrections.append({"prospect_id": prospect.id, "at": now, "before": _kept(before), "after": _kept(others)})
    if changed:
        session.execute(insert(Correction), corrections)
        wait_again(session, changed, now=now)
        session.flush()
    return len(changed)


def heed(session: Session, campaign_id: UUID, person_ids: Collection[int], *, now: datetime) -> None:
    """Decide anew about these people of the campaign, whose consent is another now: called before or not."""
    if person_ids:
        theirs = _OPEN.where(Prospect.campaign_id == campaign_id, Prospect.person_id.in_(sorted(person_ids)))
        wait_again(session, {prospect: prospect.state_why for prospect in session.scalars(theirs).all()}, now=now)


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values in a form that JSON has."""
    return {name: str(value) if isinstance(value, UUID | datetime) else value for name, value in values.items()}


def _said(reader: Reader, prospect: Prospect, each: Prepared, person_id: int) -> dict[str, Any]:
    """What the row says of somebody."""
    who = reader.read(each.row())
    if isinstance(who, Rejection):  # it was read before, and told us whom it means
        raise TypeError(who.reason)
    columns = reader.columns
    values: dict[str, Any] = {"person_id": person_id, "extension": who.extension}
    values |= {str(role): getattr(who, role) for role in _OF_ROLE if role in columns.roles}
    if person_id != prospect.person_id or not _OF_PLACE.isdisjoint(columns.roles):
        values |= {"country": who.country, "states": sorted(who.states), "zones": sorted(who.zones)}
    kept = {name: value for name, value in prospect.variables.items() if name not in columns.variables}
    return values | {"variables": kept | dict(who.variables)}
