"""Prices, tokens of programs, usage and holds.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0002"
down_revision = "0001"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n", whole, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_versions")),
        sqlite_strict=True,
    )
    op.create_table(
        "prices",
        sa.Column("id", whole, autoincrement=True, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("input", whole, nullable=False),
        sa.Column("cached", whole, nullable=True),
        sa.Column("written", whole, nullable=True),
        sa.Column("output", whole, nullable=False),
        sa.Column("effective_at", whole, nullable=False),
        sa.Column("expires_at", whole, nullable=True),
        sa.Column("created_at", whole, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prices")),
        sa.UniqueConstraint("provider", "model", "effective_at", name=op.f("uq_prices_provider_model_effective_at")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_table(
        "markups",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("effective_at", whole, autoincrement=False, nullable=False),
        sa.Column("basis_points", whole, nullable=False),
        sa.Column("created_at", whole, nullable=False),
        sa.PrimaryKeyConstraint("scope", "effective_at", name=op.f("pk_markups")),
        sqlite_strict=True,
    )
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("revoked_at", whole, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_tokens_hash")),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_sources",
        sa.Column("no", whole, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name=op.f("pk_usage_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_usage_sources_name")),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_models",
        sa.Column("no", whole, autoincrement=True, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name=op.f("pk_usage_models")),
        sa.UniqueConstraint("provider", "model", name=op.f("uq_usage_models_provider_model")),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_events",
        sa.Column("source", whole, autoincrement=False, nullable=False),
        sa.Column("key", UUID().with_variant(sa.LargeBinary(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("model", whole, nullable=False),
        sa.Column("happened_at", whole, nullable=False),
        sa.Column("input", whole, nullable=False),
        sa.Column("cached", whole, nullable=False),
        sa.Column("written", whole, nullable=False),
        sa.Column("output", whole, nullable=False),
        sa.Column("reasoning", whole, nullable=False),
        sa.Column("batch", whole, nullable=True),
        sa.Column("price", whole, nullable=True),
        sa.Column("markup", whole, nullable=True),
        sa.Column("nano", whole, nullable=True),
        sa.Column("parked", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("source", "key", name=op.f("pk_usage_events")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_usage_events_batch", "usage_events", ["batch", "account_id"], unique=False)
    op.create_index(
        "ix_usage_events_parked",
        "usage_events",
        ["account_id", "happened_at"],
        unique=False,
        sqlite_where=sa.text("parked IS NOT NULL"),
        postgresql_where=sa.text("parked IS NOT NULL"),
    )
    op.create_table(
        "usage_hours",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("hour", whole, autoincrement=False, nullable=False),
        sa.Column("model", whole, autoincrement=False, nullable=False),
        sa.Column("events", whole, nullable=False),
        sa.Column("tokens", whole, nullable=False),
        sa.Column("nano", whole, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "hour", "model", name=op.f("pk_usage_hours")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_holds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("nano", whole, nullable=False),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("expires_at", whole, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("closed_at", whole, nullable=True),
        sa.Column("spent_nano", whole, nullable=True),
        sa.CheckConstraint("state IN ('open', 'settled', 'released')", name=op.f("ck_usage_holds_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_holds")),
        sa.UniqueConstraint("request", name=op.f("uq_usage_holds_request")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_usage_holds_open",
        "usage_holds",
        ["account_id", "expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
