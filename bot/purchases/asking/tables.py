"""The tables of requests and of limits."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text

from bot.db.columns import Instant, Json, Whole, metadata, one_of
from bot.purchases.asking.model import State

_OPEN = text("state = 'open'")

requests = Table(
    "purchase_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("nonce", Text, nullable=False, unique=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("asker_id", Text, nullable=False),
    Column("locale", Text),
    Column("asked_cents", Whole, nullable=False),
    Column("cents", Whole, nullable=False),
    Column("reason", Text, nullable=False),
    Column("told", Json, nullable=False),
    Column("state", Text, nullable=False),
    Column("first_by", Text),
    Column("decided_by", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    one_of("state", State),
    Index("ix_purchase_requests_due", "ends_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_purchase_requests_asker", "account_id", "asker_id", sqlite_where=_OPEN, postgresql_where=_OPEN),
    sqlite_strict=True,
)

limits = Table(
    "purchase_limits",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("cents", Whole),
    Column("set_by", Text, nullable=False),
    Column("set_at", Instant, nullable=False),
    sqlite_strict=True,
)
