"""rules: an operator's own calling rules, and how far and how long a consent goes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "rules"
down_revision = "histories"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rule_overrides",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("row", JSONB(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_rule_overrides")),
    )
    op.add_column("consents", sa.Column("level", sa.Text()))
    op.add_column("consents", sa.Column("expires_at", sa.TIMESTAMP(timezone=True)))
    op.create_check_constraint(op.f("ck_consents_level"), "consents", "level IN ('express', 'none', 'written')")


def downgrade() -> None:
    # What is no consent, or none any more, must not become one.
    over = "level = 'none' OR expires_at <= now()"
    op.execute(f"UPDATE consents SET withdrawn_at = created_at WHERE withdrawn_at IS NULL AND ({over})")  # noqa: S608
    op.drop_constraint(op.f("ck_consents_level"), "consents")
    op.drop_column("consents", "expires_at")
    op.drop_column("consents", "level")
    op.drop_table("rule_overrides")
