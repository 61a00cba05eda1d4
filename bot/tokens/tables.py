"""The table of bearer tokens. A token itself is nowhere: only its hash."""

from sqlalchemy import Column, Table, Text

from bot.db.columns import Instant, metadata

tokens = Table(
    "api_tokens",
    metadata,
    Column("name", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),  # SHA-256, in hexadecimal
    Column("scopes", Text, nullable=False),  # with spaces between, as OAuth writes them
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    sqlite_strict=True,
)
