"""Accounts, the ledger, purchases and the outbox.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("enterprise_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("at_zero", sa.Text(), nullable=False),
        sa.Column("overdraft_nano", whole, nullable=False),
        sa.CheckConstraint(
            "plan IN ('free_trial', 'essential', 'essential_plus', 'advanced', 'advanced_plus')",
            name=op.f("ck_accounts_plan"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sqlite_strict=True,
    )
    op.create_index("uq_accounts_workspace", "accounts", ["enterprise_id", "team_id"], unique=True)
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", whole, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursors")),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger_balances",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("nano", whole, nullable=False),
        sa.Column("seq", whole, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("low", whole, nullable=True),
        sa.Column("high", whole, nullable=True),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ledger_balances")),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger_crossings",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("seq", whole, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ledger_crossings")),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger_entries",
        sa.Column("seq", whole, autoincrement=True, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("happened_at", whole, nullable=False),
        sa.Column("booked_at", whole, nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("cause", name=op.f("uq_ledger_entries_cause")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_table(
        "ledger_postings",
        sa.Column("seq", whole, autoincrement=False, nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("nano", whole, nullable=False),
        sa.PrimaryKeyConstraint("seq", "book", name=op.f("pk_ledger_postings")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_postings_book", "ledger_postings", ["book", "seq"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("ts", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.Column("version", whole, nullable=False),
        sa.Column("delivered", whole, nullable=False),
        sa.Column("posting_since", whole, nullable=True),
        sa.Column("due_at", whole, nullable=False),
        sa.Column("lease_until", whole, nullable=True),
        sa.Column("attempts", whole, nullable=False),
        sa.Column("dead", sa.Text(), nullable=True),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("updated_at", whole, nullable=False),
        sa.CheckConstraint("user_id IS NOT NULL OR channel IS NOT NULL", name=op.f("ck_outbox_place")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_outbox")),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("version > delivered AND dead IS NULL"),
        postgresql_where=sa.text("version > delivered AND dead IS NULL"),
    )
    op.create_table(
        "account_owners",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.PrimaryKeyConstraint("account_id", "user_id", name=op.f("pk_account_owners")),
        sqlite_strict=True,
    )
    op.create_table(
        "purchases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("enterprise_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("buyer_id", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("cents", whole, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("pay_with", sa.Text(), nullable=False),
        sa.Column("card_id", sa.Text(), nullable=True),
        sa.Column("card_brand", sa.Text(), nullable=True),
        sa.Column("card_last4", sa.Text(), nullable=True),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("attempts", whole, nullable=False),
        sa.Column("failures", whole, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("cancelled_by", sa.Text(), nullable=True),
        sa.Column("receipt_url", sa.Text(), nullable=True),
        sa.Column("balance_nano", whole, nullable=True),
        sa.Column("reversed_cents", whole, nullable=False),
        sa.Column("created_at", whole, nullable=False),
        sa.Column("updated_at", whole, nullable=False),
        sa.Column("check_at", whole, nullable=True),
        sa.Column("lease_until", whole, nullable=True),
        sa.CheckConstraint("pay_with IN ('card', 'checkout', 'either')", name=op.f("ck_purchases_pay_with")),
        sa.CheckConstraint(
            "status IN ('requested', 'charging', 'checkout', 'processing', 'settled', 'declined', 'expired', "
            "'cancelled', 'quarantined', 'refunded', 'disputed')",
            name=op.f("ck_purchases_status"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchases")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_purchases_intent_id")),
        sa.UniqueConstraint("nonce", name=op.f("uq_purchases_nonce")),
        sa.UniqueConstraint("session_id", name=op.f("uq_purchases_session_id")),
        sqlite_strict=True,
    )
    op.create_index("ix_purchases_account", "purchases", ["account_id", "created_at"], unique=False)
    op.create_index(
        "ix_purchases_due",
        "purchases",
        ["check_at"],
        unique=False,
        sqlite_where=sa.text("check_at IS NOT NULL"),
        postgresql_where=sa.text("check_at IS NOT NULL"),
    )
    op.create_table(
        "purchase_log",
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("n", whole, autoincrement=False, nullable=False),
        sa.Column("at", whole, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["purchase_id"],
            ["purchases.id"],
        ),
        sa.PrimaryKeyConstraint("purchase_id", "n", name=op.f("pk_purchase_log")),
        sqlite_strict=True,
    )
    op.create_table(
        "reversals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("purchase_id", sa.Text(), nullable=False),
        sa.Column("cents", whole, nullable=False),
        sa.Column("n", whole, nullable=False),
        sa.ForeignKeyConstraint(
            ["purchase_id"],
            ["purchases.id"],
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reversals")),
        sqlite_strict=True,
    )
    for table in ("ledger_entries", "ledger_postings", "purchase_log"):
        _append_only(table)


def _append_only(table: str) -> None:
    """Let the database itself refuse to change or forget what was booked."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )
