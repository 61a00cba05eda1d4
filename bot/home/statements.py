"""Statements by month, for everybody who may see the balance: to be read, and as a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from bot.accounts.model import Account, Workspace
from bot.db.engine import Database
from bot.home.service import Homes
from bot.home.statement_views import MOST_LINES
from bot.purchases import store as purchases
from bot.purchases.model import Purchase
from bot.usage.model import events_named
from bot.usage.months import Month, Summary, months_of, statement_in, summary
from bot.usage.statement import as_csv, movements, movements_with_debits

_MOST_USES: Final = 50_000  # in a file: some megabytes, and a second or two


@dataclass(frozen=True, slots=True)
class Read:
    """A month, and what is needed to show it to this person."""

    account: Account
    zone: ZoneInfo
    months: Sequence[Month]
    summary: Summary
    purchases: dict[str, Purchase]
    owner: bool


@dataclass(frozen=True, slots=True)
class File:
    """A statement to take along. Without each use (``whole`` is False) where there are too many of them."""

    name: str
    content: str
    whole: bool
    account: Account
    month: Month
    command: str  # that prints it, with each use


@dataclass(frozen=True, slots=True)
class Statements:
    """Every use case raises the reason why this person may not see it."""

    database: Database
    homes: Homes

    async def read(self, workspace: Workspace, user_id: str, wanted: str | None = None) -> Read:
        """The month that is wanted, as ``Month`` writes it, or the present one where that is none of this account's."""
        account, zone = await self.homes.visible(workspace, user_id)
        async with self.database.read() as tx:
            months = await months_of(tx, account.id, self.homes.clock.now(), zone)
        month = next((each for each in months if str(each) == wanted), months[0])
        told = await summary(self.database, account.id, month, zone)
        async with self.database.read() as tx:
            named = {str(line.facts.get("purchase")) for line in told.others[:MOST_LINES]}
            bought = [found for each in sorted(named) if (found := await purchases.of_id(tx, each))]
        by_id = {each.id: each for each in bought}
        return Read(account, zone, months, told, by_id, user_id in account.owners)

    async def file(self, workspace: Workspace, user_id: str, wanted: str) -> File:
        """The month as CSV."""
        account, zone = await self.homes.visible(workspace, user_id)
        month = Month.read(wanted)
        told = await statement_in(self.database, account.id, month, zone)
        whole = sum(events_named(line.facts) for line in told.lines) <= _MOST_USES
        moved = movements_with_debits(told, self.database) if whole else movements(told)
        content = "".join([piece async for piece in as_csv(told, moved)])
        command = f"credits-bot ledger statement {account.id} --month {month} --debits --csv"
        return File(f"{account.id}-{month}.csv", content, whole, account, month, command)
