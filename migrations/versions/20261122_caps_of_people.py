"""caps of people: every call to one person, the latest first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "caps_of_people"
down_revision = "spending"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_calls_person_intent",
            "calls",
            ["person_id", "intent_at"],
            postgresql_where=sa.text("intent_at IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_calls_person_intent", "calls")
