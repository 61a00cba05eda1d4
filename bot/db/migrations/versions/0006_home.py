"""Who has looked at App Home lately, and when trials end.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("trial_ends_at", whole, nullable=True))
    op.create_table(
        "home_visits",
        sa.Column("enterprise_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("opened_at", whole, nullable=False),
        sa.Column("built_at", whole, nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("enterprise_id", "team_id", "user_id", name=op.f("pk_home_visits")),
        sqlite_strict=True,
    )
    op.create_index("ix_home_visits_opened", "home_visits", ["opened_at"])
