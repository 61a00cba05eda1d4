"""Alerts: what was set up, what is open, when to look again, and where nobody hears it.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "alert_settings",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("channels", sa.Text(), nullable=False),
        sa.Column("digest_at", whole, nullable=True),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", whole, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_alert_settings")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_alert_settings_digest",
        "alert_settings",
        ["digest_at"],
        unique=False,
        sqlite_where=sa.text("digest_at IS NOT NULL"),
        postgresql_where=sa.text("digest_at IS NOT NULL"),
    )
    op.create_table(
        "alert_episodes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("opened_at", whole, nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("said_at", whole, nullable=False),
        sa.Column("remind_at", whole, nullable=True),
        sa.Column("under", sa.Text(), nullable=True),
        sa.Column("calm_since", whole, nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", whole, nullable=True),
        sa.Column("snoozed_by", sa.Text(), nullable=True),
        sa.Column("snoozed_until", whole, nullable=True),
        sa.Column("closed_at", whole, nullable=True),
        sa.CheckConstraint("level IN ('low', 'critical', 'empty')", name=op.f("ck_alert_episodes_level")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_episodes")),
        sqlite_strict=True,
    )
    op.create_index(
        "uq_alert_episodes_open",
        "alert_episodes",
        ["account_id", "level", "place"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "alert_looks",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("due_at", whole, nullable=True),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_alert_looks")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_alert_looks_due",
        "alert_looks",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "alert_addresses",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("asked_at", whole, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_alert_addresses")),
        sqlite_strict=True,
    )
    op.create_table(
        "alert_dead_places",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("since", whole, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "place", name=op.f("pk_alert_dead_places")),
        sqlite_strict=True,
    )
