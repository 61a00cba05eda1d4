"""``credits-bot ledger``: prove the books, read them."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from bot.alerts import store as alerts
from bot.cli.common import JSON, Opened, asynchronous, found
from bot.doctor.report import count
from bot.ledger.service import Prover
from bot.usage import statement
from bot.usage.months import Month


@click.group(name="ledger")
def ledger_group() -> None:
    """The books: prove them, read them."""


@ledger_group.command(name="verify")
@JSON
@asynchronous
async def ledger_verify(as_json: bool) -> None:
    """Prove that entries sum to zero, balances equal them, none was changed, and purchases and usage have their own."""
    from bot.app import prove  # brings all of the bot, which no other command here needs

    async with Opened(migrated=True) as database:
        audit = await prove(Prover(database))
    if as_json:
        told = {"ok": audit.ok, "entries": audit.entries, "accounts": audit.accounts, "credits": audit.total.exact}
        click.echo(json.dumps({**told, "problems": audit.problems, "database": str(database)}, indent=2))
    else:
        for problem in audit.problems:
            click.echo(f"wrong: {problem}")
        entries, holders = count(audit.entries, "entry", "entries"), count(audit.accounts, "account")
        click.echo(f"{database}: {entries}, {audit.total.exact} credits in {holders}")
        click.echo("The books are right." if audit.ok else "The books are WRONG.")
    sys.exit(0 if audit.ok else 1)


@ledger_group.command(name="statement")
@click.argument("account_id", metavar="ID")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day, in UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day after the last, in UTC.")
@click.option("--month", metavar="YYYY-MM", help="A whole month instead, in the time zone of the account's warnings.")
@click.option("--debits", is_flag=True, help="With each use of a model: its tokens, prices, markup and cost.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@JSON
@asynchronous
async def ledger_statement(
    account_id: str, since: Any, until: Any, month: str | None, debits: bool, as_csv: bool, as_json: bool
) -> None:
    """Every movement of the account ID: opening balance + movements = closing balance."""
    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json")
    if month and (since or until):
        raise click.UsageError("give either --month or --since and --until")
    if since and until and since >= until:
        raise click.UsageError("--since must be before --until: that is the day after the last")
    bounds: Sequence[datetime | None] = [day and day.replace(tzinfo=UTC) for day in (since, until)]
    write = statement.as_csv if as_csv else statement.as_json if as_json else statement.as_text
    async with Opened(migrated=True) as database:
        async with database.read() as tx:
            await found(tx, account_id)
            if month:
                bounds = _month(month).bounds((await alerts.set_up_of(tx, account_id)).rules.zone)
        told = await statement.statement_of(database, account_id, *bounds)
        moved = statement.movements_with_debits(told, database) if debits else statement.movements(told)
        async for piece in write(told, moved):
            click.echo(piece, nl=False)


def _month(text: str) -> Month:
    try:
        return Month.read(text)
    except ValueError:
        raise click.UsageError(f"--month takes a month, such as 2026-11, not {text!r}") from None
