"""`outbound campaign apply`: a file becomes a campaign, or changes one; what changes, and for whom, is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from campaigns import clock, db
from campaigns.cli.accounts import print_applied
from campaigns.cli.database import database, who
from campaigns.cli.files import read_toml
from campaigns.cli.output import AsJson, print_json, print_table, say
from campaigns.pipeline import defining, editing, scheduling
from campaigns.pipeline.editing import Edit, Effects
from campaigns.rules.definition import CampaignDefinition, read_definition

RESCHEDULE_BATCH = 1_000  # prospects to a transaction: a fraction of a second of locks


def apply(
    file: Annotated[Path, typer.Argument(help="A TOML file that describes one campaign.")],
    *,
    preview: Annotated[
        bool, typer.Option("--preview", "--dry-run", help="Only show what would change, and for whom.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a campaign, or change it to what the file says. Due times are worked out anew.

    Of a campaign that exists it is shown what changes and for how many people; of a running one it holds for every call
    that is not placed yet. With --preview nothing is changed.

    Example: outbound campaign apply spring.toml
    """
    definition = read_definition(CampaignDefinition, read_toml(file), source=str(file))
    with database() as url:
        with db.transaction(url) as session:
            now = clock.read(session).now
            edit = editing.compare(session, definition, now=now)
            applied = defining.apply_campaign(session, definition, who=who(), now=now)
            if preview:
                session.rollback()  # what would be refused was refused
        effects = _go_through(url, edit, applied, preview=preview)
    if as_json:
        said = {"campaign": definition.name, "created": applied.created, "changed": applied.changed}
        print_json(said | {"preview": preview} | _as_json(edit, effects))
    elif preview and applied.created:
        typer.echo(f"campaign {definition.name} would be created")
    elif not preview:
        print_applied("campaign", definition.name, applied)
    if edit is not None and not as_json:
        _print(edit, effects, preview=preview)


def _go_through(url: str, edit: Edit | None, applied: defining.Applied, *, preview: bool) -> Effects:
    """Everybody who waits or is held gets their due time anew, also where nothing changed: the command may have been
    interrupted here the last time.
    """
    found = Effects()
    weighed = edit is not None and edit.touches_people
    after_id: int | None = 0
    while edit is not None and after_id is not None and (weighed or not preview):
        last, lot = after_id, RESCHEDULE_BATCH
        with db.transaction(url) as session:
            now = clock.read(session).now
            if weighed:
                after_id = editing.weigh(session, edit, found, after_id=last, limit=lot, now=now)
            if not preview:
                after_id = scheduling.reschedule(session, applied.id, after_id=last, limit=lot, now=now)
    return found


def work_out_anew(url: str, campaign_id: UUID) -> None:
    """Give everybody who waits or is held in the campaign their due time by what applies now."""
    after_id: int | None = 0
    while after_id is not None:
        with db.transaction(url) as session:
            after_id = scheduling.reschedule(
                session, campaign_id, after_id=after_id, limit=RESCHEDULE_BATCH, now=clock.read(session).now
            )


def _print(edit: Edit, effects: Effects, *, preview: bool) -> None:
    if edit.changes:
        rows = [(each.key, each.was or "-", each.becomes or "-", each.note or "") for each in edit.changes]
        title = f"What {'would change' if preview else 'changed'} of {edit.after.name}"
        print_table(title, ("key", "was", "becomes", "note"), rows)
    if preview and not edit.changes:
        typer.echo(f"campaign {edit.after.name} is already like that")
    if edit.touches_people:
        typer.echo(f"of {effects.people:,} people who wait or are held: {_for_whom(effects)}")
    if edit.changes and edit.live_calls:
        typer.echo(f"{edit.live_calls:,} calls that go on keep the terms with which they were placed")
    if preview:
        say("nothing was changed; without --preview it is")


def _for_whom(effects: Effects) -> str:
    parts = [
        f"{number:,} {what}"
        for number, what in (
            (effects.later, "due later"),
            (effects.earlier, "due earlier"),
            (effects.waiting, "called after all"),
        )
        if number
    ]
    parts += [f"{number:,} {state} ({reason})" for (state, reason), number in sorted(effects.becomes.items())]
    return ", ".join(parts) or "nobody at another time"


def _as_json(edit: Edit | None, effects: Effects) -> dict[str, Any]:
    if edit is None:
        return {"changes": [], "people": None, "live_calls": 0}
    changes = [{"key": each.key, "was": each.was, "becomes": each.becomes, "note": each.note} for each in edit.changes]
    become = [
        {"state": state, "reason": reason, "people": number}
        for (state, reason), number in sorted(effects.becomes.items())
    ]
    people = {
        "looked_at": effects.people,
        "due_later": effects.later,
        "due_earlier": effects.earlier,
        "called_after_all": effects.waiting,
        "become": become,
    }
    return {
        "changes": changes,
        "people": people if edit.touches_people else None,
        "live_calls": edit.live_calls,
    }
