"""Calls, what is heard of them, and what they came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "first_tables"
down_revision = "people_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("prospect_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("phone_number_id", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "claimed",
                "placing",
                "unknown",
                "queued",
                "ringing",
                "in_progress",
                "forwarding",
                "ended",
                "not_placed",
                "review",
                name="callstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("state_why", sa.Text(), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("blocked", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("slot_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("check_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("claimed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("intent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("quiet_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("asked", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("line_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.Column("counted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("incident", sa.Text(), nullable=True),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("state <> 'placing' OR intent_at IS NOT NULL", name=op.f("ck_calls_intent_before_placing")),
        sa.CheckConstraint(
            "state IN ('claimed', 'ended', 'forwarding', 'in_progress', 'not_placed', 'placing', 'queued', 'review', 'ringing', 'unknown')",
            name=op.f("ck_calls_state"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_calls_account_id")),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_calls_campaign_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_calls_person_id")),
        sa.ForeignKeyConstraint(["phone_number_id"], ["phone_numbers.id"], name=op.f("fk_calls_phone_number_id")),
        sa.ForeignKeyConstraint(
            ["prospect_id"], ["prospects.id"], name=op.f("fk_calls_prospect_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_campaign_claimed", "calls", ["campaign_id", "claimed_at"], unique=False)
    op.create_index(
        "ix_calls_check", "calls", ["check_at"], unique=False, postgresql_where=sa.text("check_at IS NOT NULL")
    )
    op.create_index(
        "ix_calls_lines",
        "calls",
        ["account_id", "campaign_id"],
        unique=False,
        postgresql_where=sa.text(
            "state IN ('claimed', 'forwarding', 'in_progress', 'placing', 'queued', 'ringing', 'unknown')"
        ),
    )
    op.create_index(op.f("ix_calls_prospect_id"), "calls", ["prospect_id"], unique=False)
    op.create_index(
        "uq_calls_person_held",
        "calls",
        ["person_id"],
        unique=True,
        postgresql_where=sa.text(
            "state IN ('claimed', 'forwarding', 'in_progress', 'placing', 'queued', 'review', 'ringing', 'unknown')"
        ),
    )
    op.create_index(
        "uq_calls_prospect_held",
        "calls",
        ["prospect_id"],
        unique=True,
        postgresql_where=sa.text(
            "state IN ('claimed', 'forwarding', 'in_progress', 'placing', 'queued', 'review', 'ringing', 'unknown')"
        ),
    )
    op.create_index("uq_calls_provider", "calls", ["account_id", "provider_id"], unique=True)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("learned", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("applied_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("effect", sa.Text(), nullable=True),
        sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("retry_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("learned IN ('answered', 'asked', 'pushed')", name=op.f("ck_events_learned")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_events_account_id")),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_events_call_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("account_id", "dedupe_key", name=op.f("uq_events_account_id_dedupe_key")),
    )
    op.create_index(op.f("ix_events_call_id"), "events", ["call_id"], unique=False)
    op.create_index(
        "ix_events_dead",
        "events",
        ["provider_id"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL AND retry_at IS NULL"),
    )
    op.create_index(
        "ix_events_due", "events", ["retry_at"], unique=False, postgresql_where=sa.text("retry_at IS NOT NULL")
    )
    op.create_table(
        "outcomes",
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("prospect_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "answered_completed",
                "no_answer",
                "busy",
                "voicemail",
                "customer_side_failure",
                "provider_transport_error",
                "pipeline_error",
                "assistant_error",
                "concurrency_limits",
                "cancelled",
                "opted_out",
                "callback",
                "unknown",
                name="outcomeclass",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.Column("answered", sa.Boolean(), nullable=True),
        sa.Column("duration_seconds", sa.Numeric(precision=10, scale=3), nullable=True),
        sa.Column("cost", sa.Numeric(precision=12, scale=6), nullable=True),
        sa.Column("costs", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("success", sa.Text(), nullable=True),
        sa.Column("structured", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("transcript", sa.Text(), nullable=True),
        sa.Column("recording", sa.Text(), nullable=True),
        sa.Column("learned", sa.Text(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('answered_completed', 'assistant_error', 'busy', 'callback', 'cancelled', 'concurrency_limits', 'customer_side_failure', 'no_answer', 'opted_out', 'pipeline_error', 'provider_transport_error', 'unknown', 'voicemail')",
            name=op.f("ck_outcomes_outcome"),
        ),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_outcomes_call_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_outcomes_campaign_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["prospect_id"], ["prospects.id"], name=op.f("fk_outcomes_prospect_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_outcomes")),
    )
    op.create_index("ix_outcomes_campaign_created", "outcomes", ["campaign_id", "created_at"], unique=False)
    op.create_index(op.f("ix_outcomes_prospect_id"), "outcomes", ["prospect_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_outcomes_prospect_id"), table_name="outcomes")
    op.drop_index("ix_outcomes_campaign_created", table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_index("ix_events_due", table_name="events", postgresql_where=sa.text("retry_at IS NOT NULL"))
    op.drop_index(
        "ix_events_dead", table_name="events", postgresql_where=sa.text("applied_at IS NULL AND retry_at IS NULL")
    )
    op.drop_index(op.f("ix_events_call_id"), table_name="events")
    op.drop_table("events")
    op.drop_index("uq_calls_provider", table_name="calls")
    op.drop_index(
        "uq_calls_prospect_held",
        table_name="calls",
        postgresql_where=sa.text(
            "state IN ('claimed', 'forwarding', 'in_progress', 'placing', 'queued', 'review', 'ringing', 'unknown')"
        ),
    )
    op.drop_index(
        "uq_calls_person_held",
        table_name="calls",
        postgresql_where=sa.text(
            "state IN ('claimed', 'forwarding', 'in_progress', 'placing', 'queued', 'review', 'ringing', 'unknown')"
        ),
    )
    op.drop_index(op.f("ix_calls_prospect_id"), table_name="calls")
    op.drop_index(
        "ix_calls_lines",
        table_name="calls",
        postgresql_where=sa.text(
            "state IN ('claimed', 'forwarding', 'in_progress', 'placing', 'queued', 'ringing', 'unknown')"
        ),
    )
    op.drop_index("ix_calls_check", table_name="calls", postgresql_where=sa.text("check_at IS NOT NULL"))
    op.drop_index("ix_calls_campaign_claimed", table_name="calls")
    op.drop_table("calls")
