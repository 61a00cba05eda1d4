"""The tables of alerts: what was set up, what is open, and when to look again."""

from sqlalchemy import Column, Index, Table, Text, text

from bot.alerts.rules import Level
from bot.db.columns import Instant, Json, metadata, one_of

settings = Table(
    "alert_settings",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("rules", Json, nullable=False),
    Column("channels", Json, nullable=False),  # none: its owners are told
    Column("digest_at", Instant),  # when the next one is due; empty where nobody wants them
    Column("set_by", Text, nullable=False),  # a Slack user
    Column("set_at", Instant, nullable=False),
    Index(
        "ix_alert_settings_digest",
        "digest_at",
        sqlite_where=text("digest_at IS NOT NULL"),
        postgresql_where=text("digest_at IS NOT NULL"),
    ),
    sqlite_strict=True,
)

episodes = Table(
    "alert_episodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("said", Text, nullable=False),
    Column("said_at", Instant, nullable=False),
    Column("remind_at", Instant),
    Column("under", Text),
    Column("calm_since", Instant),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", Instant),
    Column("snoozed_by", Text),
    Column("snoozed_until", Instant),
    Column("closed_at", Instant),
    one_of("level", Level),
    Index(
        "uq_alert_episodes_open",
        "account_id",
        "level",
        "place",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    sqlite_strict=True,
)

# A row for every account that was looked at once; due_at is empty while only its balance can change something.
looks = Table(
    "alert_looks",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("due_at", Instant),
    Index(
        "ix_alert_looks_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    sqlite_strict=True,
)

# How owners are written to, as Slack told it when it could be asked. What is empty it did not tell.
known_owners = Table(
    "alert_owners",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("locale", Text),
    Column("time_zone", Text),
    Column("address", Text),  # of their mail box
    Column("asked_at", Instant, nullable=False),
    sqlite_strict=True,
)

# Where messages do not arrive any more. A row stays until somebody sets the account's channels again.
dead_places = Table(
    "alert_dead_places",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("error", Text, nullable=False),  # Slack's
    Column("since", Instant, nullable=False),
    sqlite_strict=True,
)
