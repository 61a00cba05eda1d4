"""The tables of the ledger. Triggers of the migration refuse every change to entries and postings."""

from sqlalchemy import Column, Index, Table, Text

from bot.db.columns import Instant, Json, Whole, metadata

balances = Table(
    "ledger_balances",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("nano", Whole, nullable=False),
    Column("seq", Whole, nullable=False),  # of the newest entry
    Column("hash", Text, nullable=False),  # the head of the account's chain
    Column("low", Whole),  # at or below this, and at or above the next, the account is noted among the crossings
    Column("high", Whole),
    sqlite_strict=True,
)

# Found in the transaction that crossed, and looked for in a table that is nearly always empty: no index on balances.
crossings = Table(
    "ledger_crossings",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("seq", Whole, nullable=False),  # of the entry that crossed first
    sqlite_strict=True,
)

entries = Table(
    "ledger_entries",
    metadata,
    Column("seq", Whole, primary_key=True, autoincrement=True),
    Column("cause", Text, nullable=False, unique=True),
    Column("happened_at", Instant, nullable=False),
    Column("booked_at", Instant, nullable=False),
    Column("facts", Json, nullable=False),
    Column("hash", Text, nullable=False),  # of everything above and of the postings
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

# No foreign key to entries: verify proves the same, and this is the table that grows.
postings = Table(
    "ledger_postings",
    metadata,
    Column("seq", Whole, primary_key=True, autoincrement=False),
    Column("book", Text, primary_key=True),
    Column("nano", Whole, nullable=False),
    Index("ix_ledger_postings_book", "book", "seq"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
