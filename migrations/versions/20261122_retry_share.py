"""retry share: people who are called again and new ones are two lists of the index of those who are due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "retry_share"
down_revision = "caps_of_people"
branch_labels = None
depends_on = None

_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.add_column("calls", sa.Column("again", sa.Boolean(), server_default="false", nullable=False))
    _due_index("least(calls, 1)")


def downgrade() -> None:
    _due_index()
    op.drop_column("calls", "again")


def _due_index(*kind: str) -> None:
    columns = [sa.text(column) for column in ("campaign_id", "priority DESC", *kind, "due_at")]
    with op.get_context().autocommit_block():
        # Nobody is looked for without an index meanwhile.
        op.create_index(
            "ix_prospects_due_next", "prospects", columns, postgresql_where=_WAITING, postgresql_concurrently=True
        )
        op.drop_index("ix_prospects_due", "prospects", postgresql_concurrently=True)
    op.execute("ALTER INDEX ix_prospects_due_next RENAME TO ix_prospects_due")
