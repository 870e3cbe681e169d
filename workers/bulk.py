"""Bulk work: jobs of minutes, which may not hold up anything else."""

from __future__ import annotations

from uuid import UUID

from campaigns import clock
from campaigns.pipeline import scheduling, uploading, warning
from campaigns.pipeline.warning import IMPORTS, LOOKS_FOR_IMPORTS
from workers.app import app, database_url, hint, log, one_line, transaction

RESCHEDULE_BATCH = 1_000  # prospects to a transaction: a fraction of a second of locks


@app.task(name="bulk.reschedule", time_limit=None)
def reschedule(campaign_id: str) -> None:
    """Work out every due time of a campaign anew after its file was changed. Run twice, it gives the same times."""
    after_id: int | None = 0
    while after_id is not None:
        with transaction() as session:
            after_id = scheduling.reschedule(
                session, UUID(campaign_id), after_id=after_id, limit=RESCHEDULE_BATCH, now=clock.read(session).now
            )


@app.task(name="bulk.import", time_limit=None)
def import_list(import_id: str) -> None:
    """Import a file that was handed over. Run twice at once, one of them does it; later, it goes on where it was."""
    from campaigns.lists.bringing import bring_handed_over  # noqa: PLC0415 - every worker has this module, one reads lists

    with one_line(f"import {import_id}"):
        report = bring_handed_over(database_url(), UUID(import_id), progress=_sign_of_life)
        if report is not None:
            log.info("import %s: %s rows, %s new, %s rejected", import_id, report.rows, report.new, report.rejected)


def _sign_of_life(*_: int) -> None:
    with transaction() as session:
        warning.beat(session, IMPORTS, real=clock.read(session).real)


@app.task(name="bulk.look")
def look() -> None:
    """Offer every import that waits for a worker, or whose worker died. Run twice, each is still done once."""
    with transaction() as session:
        warning.beat(session, LOOKS_FOR_IMPORTS, real=clock.read(session).real)
        waiting = uploading.waiting(session)
    for import_id in waiting:
        hint(import_list, str(import_id))
