"""lists: what an import can be told and resumes from, and what a row may bring."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "lists"
down_revision = "heartbeats_by_task"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("people", sa.Column("kind", sa.Text()))
    op.add_column("imports", sa.Column("terms", JSONB(), nullable=False, server_default="{}"))
    op.add_column("imports", sa.Column("updated", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("imports", sa.Column("elsewhere", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("imports", sa.Column("size", sa.BigInteger()))
    op.add_column("imports", sa.Column("read", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("imports", sa.Column("queued_at", sa.DateTime(timezone=True)))
    op.add_column("imports", sa.Column("failed_why", sa.Text()))
    op.create_index(
        "ix_imports_queued",
        "imports",
        ["queued_at"],
        postgresql_where=sa.text("queued_at IS NOT NULL AND finished_at IS NULL AND failed_why IS NULL"),
    )
    op.create_table(
        "file_pieces",
        sa.Column("import_id", sa.Uuid(), sa.ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.add_column("prospects", sa.Column("language", sa.Text()))
    op.add_column("prospects", sa.Column("overrides", JSONB()))
    # An id was any text before; of those that repeat, the first person keeps it.
    op.execute("""
        UPDATE prospects SET external_id = NULL
         WHERE external_id IS NOT NULL AND EXISTS (
               SELECT FROM prospects AS earlier
                WHERE earlier.campaign_id = prospects.campaign_id AND earlier.external_id = prospects.external_id
                  AND earlier.id < prospects.id)""")
    op.create_unique_constraint("uq_imports_id_campaign_id", "imports", ["id", "campaign_id"])
    op.drop_constraint("fk_prospects_campaign_id", "prospects")
    op.drop_constraint("fk_prospects_import_id", "prospects")
    op.execute("""
        ALTER TABLE prospects ADD CONSTRAINT fk_prospects_import_id_campaign_id
              FOREIGN KEY (import_id, campaign_id) REFERENCES imports (id, campaign_id) ON DELETE CASCADE NOT VALID""")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE prospects VALIDATE CONSTRAINT fk_prospects_import_id_campaign_id")
        op.create_index(
            "uq_prospects_external_id",
            "prospects",
            ["campaign_id", "external_id"],
            unique=True,
            postgresql_where=sa.text("external_id IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_constraint("fk_prospects_import_id_campaign_id", "prospects")
    op.create_foreign_key("fk_prospects_import_id", "prospects", "imports", ["import_id"], ["id"])
    op.create_foreign_key(
        "fk_prospects_campaign_id", "prospects", "campaigns", ["campaign_id"], ["id"], ondelete="CASCADE"
    )
    op.drop_constraint("uq_imports_id_campaign_id", "imports")
    op.drop_index("uq_prospects_external_id", "prospects")
    op.drop_column("prospects", "overrides")
    op.drop_column("prospects", "language")
    op.drop_table("file_pieces")
    op.drop_index("ix_imports_queued", "imports")
    for column in ("failed_why", "queued_at", "read", "size"):
        op.drop_column("imports", column)
    op.drop_column("imports", "elsewhere")
    op.drop_column("imports", "updated")
    op.drop_column("imports", "terms")
    op.drop_column("people", "kind")
