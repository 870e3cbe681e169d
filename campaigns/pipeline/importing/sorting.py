"""Who of a lot is new, who is there, whom the list corrects, and who cannot be taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from campaigns.models import Prospect
from campaigns.pipeline.importing.correcting import lock_uncalled
from campaigns.pipeline.importing.matching import Known, called_elsewhere, owners, those_there
from campaigns.pipeline.importing.preparing import Prepared
from campaigns.rules.people_file.columns import Role
from campaigns.rules.people_file.people import Reader, Rejection

_TAKEN: Final = "is the id of another number in the campaign: with --update this number takes its place"
_CALLED: Final = "is the id of another number in the campaign, which was called: that number stays"
_ELSEWHERE: Final = "is called by the running campaign"
_TWO: Final = "is the id of another number in the campaign: give each number an id of its own"


@dataclass(frozen=True, slots=True)
class Options:
    """What an import does beside adding people."""

    update: bool = False
    """Whether people who are there and were not called yet become what the list says now."""
    refuse_elsewhere: bool = False
    """Whether somebody whom another running campaign calls is rejected, rather than counted."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """What becomes of each of a lot's people; who is in none of these is there already, and stays as they are."""

    newcomers: Sequence[Prepared]
    corrections: Mapping[Prospect, Prepared]
    """Prospects under lock, none of whom was called → what they become."""
    consents: Sequence[Prepared]
    """People who are there and whose consent the list says: with an update, and a denial always."""
    rejections: Sequence[Rejection]
    refused: Collection[tuple[str, str]]
    """Number and extension of whoever is rejected."""
    elsewhere: int
    """Newcomers whom another running campaign calls."""


def sort_out(
    session: Session,
    campaign_id: UUID,
    options: Options,
    reader: Reader,
    people: Sequence[Prepared],
    known: Mapping[str, Known],
) -> Sorted:
    """Compare the people of a lot with the campaign's and with those of others, by whom the ledger knew before."""
    there = those_there(session, campaign_id, known.values())
    newcomers: list[Prepared] = []
    meant: dict[int, Prepared] = {}
    consents: list[Prepared] = []
    for each in people:
        who = known.get(each.number)
        prospect_id = None if who is None else there.get((who.id, each.extension))
        if prospect_id is None:
            newcomers.append(each)
            continue
        if options.update:
            meant[prospect_id] = each
        if each.consent is not None and (options.update or each.consent.level == "none"):
            consents.append(each)
    strangers = {known[each.number].id for each in newcomers if each.number in known}
    callers = called_elsewhere(session, campaign_id, strangers)
    elsewhere = {number: callers[who.id] for number, who in known.items() if who.id in callers}
    called: list[Prepared] = []
    if options.refuse_elsewhere:
        called = [each for each in newcomers if each.number in elsewhere]
        newcomers = [each for each in newcomers if each.number not in elsewhere]
    newcomers, moving, problems = _share_ids_out(
        newcomers, meant, owners(session, campaign_id, [*newcomers, *meant.values()]), options
    )
    locked = lock_uncalled(session, [*meant, *moving]) if meant or moving else {}
    problems += ((each, _CALLED) for prospect_id, each in moving.items() if prospect_id not in locked)
    become = meant | moving
    return Sorted(
        newcomers=newcomers,
        consents=consents,
        corrections={prospect: become[prospect_id] for prospect_id, prospect in locked.items()},
        rejections=[
            *(reader.reject(each.row(), Role.PHONE, f"{_ELSEWHERE} {elsewhere[each.number]}") for each in called),
            *(reader.reject(each.row(), Role.EXTERNAL_ID, why) for each, why in problems),
        ],
        refused={(each.number, each.extension) for each in [*called, *(each for each, _ in problems)]},
        elsewhere=sum(each.number in elsewhere for each in newcomers),
    )


def _share_ids_out(
    newcomers: Sequence[Prepared], meant: dict[int, Prepared], owner: Mapping[str, int], options: Options
) -> tuple[list[Prepared], dict[int, Prepared], list[tuple[Prepared, str]]]:
    """Who is new all the same, who takes the place of the prospect that has their id, and whose id is another's."""
    problems: list[tuple[Prepared, str]] = []
    for prospect_id, each in list(meant.items()):
        if owner.get(each.external_id or "", prospect_id) != prospect_id:
            del meant[prospect_id]
            problems.append((each, _TWO))
    new: list[Prepared] = []
    moving: dict[int, Prepared] = {}
    for each in newcomers:
        prospect_id = owner.get(each.external_id or "", 0)
        if not prospect_id:
            new.append(each)
        elif not options.update:
            problems.append((each, _TAKEN))
        elif prospect_id in meant:
            problems.append((each, _TWO))
        else:
            moving[prospect_id] = each
    return new, moving, problems
