"""heartbeats by task."""

from __future__ import annotations

from alembic import op

revision = "heartbeats_by_task"
down_revision = "heartbeats"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("TRUNCATE heartbeats")
    op.alter_column("heartbeats", "queue", new_column_name="task")


def downgrade() -> None:
    op.execute("TRUNCATE heartbeats")
    op.alter_column("heartbeats", "task", new_column_name="queue")
