"""message counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "message_counts"
down_revision = "first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "message_counts",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("became", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("became IN ('counted', 'refused', 'stored')", name=op.f("ck_message_counts_became")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_message_counts_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "day", "type", "became", name=op.f("pk_message_counts")),
    )


def downgrade() -> None:
    op.drop_table("message_counts")
