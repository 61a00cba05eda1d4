"""The tables of accounts."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from bot.accounts.model import Plan
from bot.db.columns import Instant, Whole, metadata, one_of

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("enterprise_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("channel", Text),
    Column("language", Text, nullable=False),
    Column("customer", Text),
    Column("created_at", Instant, nullable=False),
    Column("at_zero", Text, nullable=False),
    Column("overdraft_nano", Whole, nullable=False),
    Column("trial_ends_at", Instant),
    one_of("plan", Plan),
    Index("uq_accounts_workspace", "enterprise_id", "team_id", unique=True),
    sqlite_strict=True,
)

owners = Table(
    "account_owners",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("user_id", Text, primary_key=True),
    sqlite_strict=True,
)
