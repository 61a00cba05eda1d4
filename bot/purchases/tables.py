"""The tables of purchases."""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text

from bot.db.columns import Instant, Whole, metadata, one_of
from bot.purchases.model import PayWith, Status

purchases = Table(
    "purchases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("nonce", Text, nullable=False, unique=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("enterprise_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("buyer_id", Text, nullable=False),
    Column("locale", Text),
    Column("cents", Whole, nullable=False),
    Column("status", Text, nullable=False),
    Column("pay_with", Text, nullable=False),
    Column("card_id", Text),
    Column("card_brand", Text),
    Column("card_last4", Text),
    Column("intent_id", Text, unique=True),
    Column("session_id", Text, unique=True),
    Column("checkout_url", Text),
    Column("attempts", Whole, nullable=False),
    Column("failures", Whole, nullable=False),
    Column("reason", Text),
    Column("cancelled_by", Text),
    Column("receipt_url", Text),
    Column("balance_nano", Whole),
    Column("reversed_cents", Whole, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("check_at", Instant),
    Column("lease_until", Instant),
    Column("request_id", Text),
    one_of("status", Status),
    one_of("pay_with", PayWith),
    Index("ix_purchases_account", "account_id", "created_at"),
    Index(
        "ix_purchases_due",
        "check_at",
        sqlite_where=text("check_at IS NOT NULL"),
        postgresql_where=text("check_at IS NOT NULL"),
    ),
    Index(
        "ix_purchases_quarantined",
        "updated_at",
        sqlite_where=text("status = 'quarantined'"),
        postgresql_where=text("status = 'quarantined'"),
    ),
    sqlite_strict=True,
)

log = Table(
    "purchase_log",
    metadata,
    Column("purchase_id", Text, ForeignKey("purchases.id"), primary_key=True),
    Column("n", Whole, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("status", Text, nullable=False),
    Column("note", Text),
    sqlite_strict=True,
)

# What a refund or a dispute has taken from the ledger so far; ``n`` counts its entries.
reversals = Table(
    "reversals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("purchase_id", Text, ForeignKey("purchases.id"), nullable=False),
    Column("cents", Whole, nullable=False),
    Column("n", Whole, nullable=False),
    sqlite_strict=True,
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    sqlite_strict=True,
)
