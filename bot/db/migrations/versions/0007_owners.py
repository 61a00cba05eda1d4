"""Owners' languages and time zones, beside their mail addresses. All are asked about anew.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "alert_owners",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("asked_at", whole, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_alert_owners")),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO alert_owners (user_id, address, asked_at) SELECT user_id, address, 0 FROM alert_addresses")
    op.drop_table("alert_addresses")
