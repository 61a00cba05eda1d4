"""The table of messages: one row for each message in Slack that ought to exist, and how it ought to look."""

from sqlalchemy import CheckConstraint, Column, Index, Table, Text, text

from bot.db.columns import Instant, Json, Whole, metadata

_PENDING = text("version > delivered AND dead IS NULL")

outbox = Table(
    "outbox",
    metadata,
    Column("key", Text, primary_key=True),
    Column("user_id", Text),  # whose conversation with the bot it belongs in; null when a channel was named
    Column("channel", Text),  # the named channel, or that conversation once Slack has told us which it is
    Column("ts", Text),  # Slack's name for the message; null until it was posted
    Column("text", Text, nullable=False),
    Column("blocks", Json, nullable=False),
    Column("version", Whole, nullable=False),  # of the content here
    Column("delivered", Whole, nullable=False),  # the version that Slack shows; 0: none yet
    Column("posting_since", Instant),  # a post may have left and its answer be lost
    Column("due_at", Instant, nullable=False),
    Column("lease_until", Instant),  # somebody is at it; also names who
    Column("attempts", Whole, nullable=False),  # that failed since the last that did not
    Column("dead", Text),  # why it is not tried any more: Slack's error code
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    CheckConstraint("user_id IS NOT NULL OR channel IS NOT NULL", name="place"),
    Index("ix_outbox_due", "due_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
    sqlite_strict=True,
)
