"""The tables of prices and markups. Rows are added; the only thing that changes is where a price ends."""

from sqlalchemy import Column, Table, Text, UniqueConstraint

from bot.db.columns import Instant, Whole, metadata

prices = Table(
    "prices",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("input", Whole, nullable=False),  # nano-credits per million tokens, as are the next three
    Column("cached", Whole),
    Column("written", Whole),
    Column("output", Whole, nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("provider", "model", "effective_at"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

markups = Table(
    "markups",
    metadata,
    Column("scope", Text, primary_key=True),  # plan:essential or account:acme
    Column("effective_at", Instant, primary_key=True),
    Column("basis_points", Whole, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_strict=True,
)
