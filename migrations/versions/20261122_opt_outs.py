"""opt_outs: a do-not-call entry says from which call it came, and whether whoever waited is done because of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "opt_outs"
down_revision = "calls_of_numbers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("suppressions", sa.Column("call_id", sa.Uuid()))
    op.add_column("suppressions", sa.Column("applied_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE suppressions SET applied_at = created_at")
    op.create_unique_constraint("uq_suppressions_call_id", "suppressions", ["call_id"])
    op.create_foreign_key("fk_suppressions_call_id", "suppressions", "calls", ["call_id"], ["id"], ondelete="SET NULL")
    op.create_index("ix_suppressions_to_apply", "suppressions", ["id"], postgresql_where=sa.text("applied_at IS NULL"))
    # What somebody is given while they are to be called back, and what they had before.
    op.add_column("prospects", sa.Column("own_priority", sa.SmallInteger()))


def downgrade() -> None:
    op.execute("UPDATE prospects SET priority = own_priority WHERE own_priority IS NOT NULL")
    op.drop_column("prospects", "own_priority")
    op.drop_index("ix_suppressions_to_apply", "suppressions")
    op.drop_constraint("fk_suppressions_call_id", "suppressions")
    op.drop_constraint("uq_suppressions_call_id", "suppressions")
    op.drop_column("suppressions", "applied_at")
    op.drop_column("suppressions", "call_id")
