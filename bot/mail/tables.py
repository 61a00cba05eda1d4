"""The table of mails: one row for each, before and after it was sent."""

from sqlalchemy import Column, Index, Table, Text, text

from bot.db.columns import Instant, Json, Whole, metadata, one_of
from bot.mail.model import Fate

_PENDING = text("fate IS NULL")

mails = Table(
    "mails",
    metadata,
    Column("key", Text, primary_key=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("reply_to", Text),
    Column("follows", Text),  # the key of the mail that this one continues
    Column("attachments", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("lease_until", Instant),  # somebody is at it; also names who
    Column("attempts", Whole, nullable=False),
    Column("trouble", Text),  # what the last attempt met
    Column("fate", Text),
    Column("fate_at", Instant),
    one_of("fate", Fate),
    Index("ix_mails_due", "due_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
    sqlite_strict=True,
)
