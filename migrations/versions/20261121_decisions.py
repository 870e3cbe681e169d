"""decisions of people, and the database that the ledger lives in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "decisions"
down_revision = "capacity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("incident_seen_at", postgresql.TIMESTAMP(timezone=True)))
    op.create_table(
        "home",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("system_id", sa.Text()),
        sa.Column("timeline", sa.BigInteger()),
        sa.Column("database_id", sa.BigInteger(), nullable=False),
        sa.Column("known_since", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_home_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home")),
    )


def downgrade() -> None:
    op.drop_table("home")
    op.drop_column("calls", "incident_seen_at")
