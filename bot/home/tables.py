"""The table of App Home: who looked at it lately, and what they see."""

from sqlalchemy import Column, Index, Table, Text

from bot.db.columns import Instant, metadata

visits = Table(
    "home_visits",
    metadata,
    Column("enterprise_id", Text, primary_key=True),
    Column("team_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("account_id", Text),  # that it shows something of
    Column("opened_at", Instant, nullable=False),
    Column("built_at", Instant, nullable=False),
    Column("shown", Text, nullable=False),  # the hash of what Slack shows
    Index("ix_home_visits_opened", "opened_at"),
    sqlite_strict=True,
)
