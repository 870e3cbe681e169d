"""histories: what was decided about each prospect and why, what later lists changed, and who brought a list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "histories"
down_revision = "opt_outs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("imports", sa.Column("who", sa.Text()))
    for table, columns in {
        "rulings": (
            sa.Column("state", sa.String(length=32), nullable=False),
            sa.Column("why", sa.Text()),
            sa.Column("due_at", postgresql.TIMESTAMP(timezone=True)),
            sa.Column("not_before", postgresql.TIMESTAMP(timezone=True)),
        ),
        "corrections": (
            sa.Column("before", postgresql.JSONB(), nullable=False),
            sa.Column("after", postgresql.JSONB(), nullable=False),
        ),
    }.items():
        op.create_table(
            table,
            sa.Column("prospect_id", sa.BigInteger(), nullable=False),
            sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
            sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
            *columns,
            sa.PrimaryKeyConstraint("prospect_id", "id", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(
                ["prospect_id"], ["prospects.id"], name=f"fk_{table}_prospect_id", ondelete="CASCADE"
            ),
        )
    with op.get_context().autocommit_block():
        op.create_index("ix_suppressions_person", "suppressions", ["person_id"], postgresql_concurrently=True)
        op.create_index(
            "ix_prospects_held",
            "prospects",
            ["campaign_id", "state_why"],
            postgresql_where=sa.text("state = 'held'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_prospects_held", "prospects")
    op.drop_index("ix_suppressions_person", "suppressions")
    op.drop_table("corrections")
    op.drop_table("rulings")
    op.drop_column("imports", "who")
