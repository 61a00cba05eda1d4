"""The tables of usage. Events are kept for ever, because an event counts once for ever."""

from sqlalchemy import Column, Index, Table, Text, UniqueConstraint, text

from bot.db.columns import Instant, Key, Whole, metadata, one_of
from bot.usage.model import HoldState

sources = Table(
    "usage_sources",
    metadata,
    Column("no", Whole, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    sqlite_strict=True,
)

models = Table(
    "usage_models",
    metadata,
    Column("no", Whole, primary_key=True, autoincrement=True),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    UniqueConstraint("provider", "model"),
    sqlite_strict=True,
)

# No foreign keys: this is the table that grows by millions, and the audit proves the same.
events = Table(
    "usage_events",
    metadata,
    Column("source", Whole, primary_key=True, autoincrement=False),
    Column("key", Key, primary_key=True),  # see model.key_of
    Column("id", Text),  # as the source wrote it, where the key cannot tell
    Column("account_id", Text, nullable=False),
    Column("model", Whole, nullable=False),
    Column("happened_at", Instant, nullable=False),
    Column("input", Whole, nullable=False),
    Column("cached", Whole, nullable=False),
    Column("written", Whole, nullable=False),
    Column("output", Whole, nullable=False),
    Column("reasoning", Whole, nullable=False),
    Column("batch", Whole),  # of the ledger entry with the cause usage:<batch>; none while parked, or when given up
    Column("price", Whole),
    Column("markup", Whole),  # basis points
    Column("nano", Whole),  # the cost
    Column("parked", Text),  # why it could not be booked yet
    Index("ix_usage_events_batch", "batch", "account_id"),
    Index(
        "ix_usage_events_parked",
        "account_id",
        "happened_at",
        sqlite_where=text("parked IS NOT NULL"),
        postgresql_where=text("parked IS NOT NULL"),
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Events that were parked and given up: they stay among the others, so that their ids stay taken, and are never booked.
discards = Table(
    "usage_discards",
    metadata,
    Column("source", Whole, primary_key=True, autoincrement=False),
    Column("key", Key, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_strict=True,
)

# What each account spent in each hour on each model: rolled up from the events, after their commit.
hours = Table(
    "usage_hours",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("hour", Instant, primary_key=True),  # its beginning, in UTC
    Column("model", Whole, primary_key=True),
    Column("events", Whole, nullable=False),
    Column("tokens", Whole, nullable=False),  # of all kinds
    Column("nano", Whole, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

holds = Table(
    "usage_holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("request", Text, unique=True),  # what makes a repeated request the same one
    Column("nano", Whole, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("state", Text, nullable=False),
    Column("closed_at", Instant),
    Column("spent_nano", Whole),
    one_of("state", HoldState),
    Index(
        "ix_usage_holds_open",
        "account_id",
        "expires_at",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    sqlite_strict=True,
)
