"""Requests of members to buy, who decided, and the limits above which two owners must.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
still_open = sa.text("state = 'open'")


def upgrade() -> None:
    op.create_table(
        "purchase_requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("asker_id", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("asked_cents", whole, nullable=False),
        sa.Column("cents", whole, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("first_by", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("updated_at", whole, nullable=False),
        sa.Column("ends_at", whole, nullable=False),
        sa.CheckConstraint(
            "state IN ('open', 'approved', 'declined', 'expired')", name=op.f("ck_purchase_requests_state")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchase_requests")),
        sa.UniqueConstraint("nonce", name=op.f("uq_purchase_requests_nonce")),
        sqlite_strict=True,
    )
    for name, columns in (
        ("ix_purchase_requests_due", ["ends_at"]),
        ("ix_purchase_requests_asker", ["account_id", "asker_id"]),
    ):
        op.create_index(
            name, "purchase_requests", columns, unique=False, sqlite_where=still_open, postgresql_where=still_open
        )
    op.create_table(
        "purchase_limits",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("cents", whole, nullable=True),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", whole, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_purchase_limits")),
        sqlite_strict=True,
    )
