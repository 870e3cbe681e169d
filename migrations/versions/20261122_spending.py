"""spending: what calls cost and may cost, and the counters behind a budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "spending"
down_revision = "lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spending",
        sa.Column("campaign_id", sa.Uuid(), sa.ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("spent", sa.Numeric(18, 6), nullable=False, server_default="0"),
        sa.Column("reserved", sa.Numeric(18, 6), nullable=False, server_default="0"),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("day_spent", sa.Numeric(18, 6), nullable=False, server_default="0"),
        sa.Column("day_reserved", sa.Numeric(18, 6), nullable=False, server_default="0"),
    )
    op.add_column("calls", sa.Column("reserved", sa.Numeric(12, 6)))
    op.add_column("calls", sa.Column("spent", sa.Numeric(12, 6)))
    op.add_column("calls", sa.Column("estimated", sa.Boolean(), nullable=False, server_default="false"))
    op.add_column("calls", sa.Column("spent_on", sa.Date()))
    # What calls cost before anybody kept it of them, so that a budget that is given now counts them.
    op.execute("""
        UPDATE calls SET spent = outcomes.cost, spent_on = (calls.intent_at AT TIME ZONE 'UTC')::date
          FROM outcomes WHERE outcomes.call_id = calls.id AND outcomes.cost IS NOT NULL""")
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_calls_reserved",
            "calls",
            ["settled_at"],
            postgresql_where=sa.text("reserved IS NOT NULL"),
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_calls_estimated",
            "calls",
            ["campaign_id"],
            postgresql_where=sa.text("estimated"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_calls_estimated", "calls")
    op.drop_index("ix_calls_reserved", "calls")
    for column in ("spent_on", "estimated", "spent", "reserved"):
        op.drop_column("calls", column)
    op.drop_table("spending")
