"""Support cases and the mail that is owed.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "mails",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=True),
        sa.Column("follows", sa.Text(), nullable=True),
        sa.Column("attachments", sa.Text(), nullable=False),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("due_at", whole, nullable=False),
        sa.Column("lease_until", whole, nullable=True),
        sa.Column("attempts", whole, nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("fate", sa.Text(), nullable=True),
        sa.Column("fate_at", whole, nullable=True),
        sa.CheckConstraint("fate IN ('accepted', 'given_up')", name=op.f("ck_mails_fate")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_mails")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_mails_due",
        "mails",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("fate IS NULL"),
        postgresql_where=sa.text("fate IS NULL"),
    )
    op.create_table(
        "support_cases",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("enterprise_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("purchase_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=True),
        sa.Column("opened_at", whole, nullable=False),
        sa.Column("open_until", whole, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_support_cases")),
        sqlite_strict=True,
    )
    op.create_index("ix_support_cases_purchase", "support_cases", ["purchase_id"], unique=False)
    op.create_index("ix_support_cases_opened", "support_cases", ["opened_by", "opened_at"], unique=False)
    op.create_table(
        "support_entries",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("n", whole, autoincrement=False, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", whole, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('on_its_way', 'accepted', 'given_up', 'by_hand')", name=op.f("ck_support_entries_state")
        ),
        sa.ForeignKeyConstraint(["number"], ["support_cases.number"]),
        sa.PrimaryKeyConstraint("number", "n", name=op.f("pk_support_entries")),
        sa.UniqueConstraint("cause", name=op.f("uq_support_entries_cause")),
        sqlite_strict=True,
    )
    op.create_index("ix_support_entries_user", "support_entries", ["user_id", "at"], unique=False)
    op.add_column("purchases", sa.Column("request_id", sa.Text(), nullable=True))
    op.create_index(
        "ix_purchases_quarantined",
        "purchases",
        ["updated_at"],
        unique=False,
        sqlite_where=sa.text("status = 'quarantined'"),
        postgresql_where=sa.text("status = 'quarantined'"),
    )
