"""The tables of cases, and of what was written to them."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from bot.db.columns import Instant, Whole, metadata, one_of
from bot.support.model import State

cases = Table(
    "support_cases",
    metadata,
    Column("number", Text, primary_key=True),
    Column("enterprise_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("account_id", Text),
    Column("purchase_id", Text),
    Column("subject", Text, nullable=False),
    Column("opened_by", Text),
    Column("opened_at", Instant, nullable=False),
    Column("open_until", Instant, nullable=False),
    Index("ix_support_cases_purchase", "purchase_id"),
    Index("ix_support_cases_opened", "opened_by", "opened_at"),
    sqlite_strict=True,
)

entries = Table(
    "support_entries",
    metadata,
    Column("number", Text, ForeignKey("support_cases.number"), primary_key=True),
    Column("n", Whole, primary_key=True, autoincrement=False),
    Column("cause", Text, nullable=False, unique=True),
    Column("at", Instant, nullable=False),
    Column("user_id", Text),
    Column("locale", Text),
    Column("about", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("address", Text),
    Column("state", Text, nullable=False),
    one_of("state", State),
    Index("ix_support_entries_user", "user_id", "at"),
    sqlite_strict=True,
)
