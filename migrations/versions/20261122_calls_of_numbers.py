"""calls of numbers: every call from one caller number, the latest first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "calls_of_numbers"
down_revision = "retry_share"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_calls_number_intent",
            "calls",
            ["phone_number_id", "intent_at"],
            postgresql_where=sa.text("intent_at IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_calls_number_intent", "calls")
