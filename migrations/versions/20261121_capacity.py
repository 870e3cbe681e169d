"""capacity."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "capacity"
down_revision = "message_counts"
branch_labels = None
depends_on = None

_SETTLED = sa.text("settled_at IS NOT NULL")
_BLOCKED = sa.text("blocked AND state = 'queued'")


def upgrade() -> None:
    op.add_column("pace", sa.Column("left_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("pace", sa.Column("granted", sa.Integer(), nullable=True))
    op.add_column("pace", sa.Column("granted_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("pace", sa.Column("ceiling_why", sa.Text(), nullable=True))
    op.add_column("pace", sa.Column("rises_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("pace", sa.Column("doubts", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("calls", sa.Column("hang_up_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("calls", sa.Column("forgiven", sa.Boolean(), server_default="false", nullable=False))
    op.create_index("ix_calls_campaign_settled", "calls", ["campaign_id", "settled_at"], postgresql_where=_SETTLED)
    op.create_index("ix_calls_blocked", "calls", ["account_id"], postgresql_where=_BLOCKED)


def downgrade() -> None:
    op.drop_index("ix_calls_blocked", table_name="calls", postgresql_where=_BLOCKED)
    op.drop_index("ix_calls_campaign_settled", table_name="calls", postgresql_where=_SETTLED)
    op.drop_column("calls", "forgiven")
    op.drop_column("calls", "hang_up_at")
    op.drop_column("pace", "doubts")
    op.drop_column("pace", "rises_at")
    op.drop_column("pace", "ceiling_why")
    op.drop_column("pace", "granted_at")
    op.drop_column("pace", "granted")
    op.drop_column("pace", "left_at")
