"""Uses of models that nobody will ever price, and who gave them up.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0008"
down_revision = "0007"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "usage_discards",
        sa.Column("source", whole, autoincrement=False, nullable=False),
        sa.Column("key", UUID().with_variant(sa.LargeBinary(), "sqlite"), nullable=False),
        sa.Column("at", whole, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "key", name=op.f("pk_usage_discards")),
        sqlite_strict=True,
    )
