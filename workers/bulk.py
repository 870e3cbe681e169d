"""Bulk work: jobs of minutes, which may not hold up anything else."""

from __future__ import annotations

from uuid import UUID

from campaigns import clock
from campaigns.pipeline import scheduling
from workers.app import app, transaction

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
