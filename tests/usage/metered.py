"""A meter at work on a database with two accounts and a price, without the bot around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.clock import SystemClock
from bot.clockwork import Clockwork
from bot.db.engine import Database
from bot.money import Usd
from bot.prices import store as prices
from bot.prices.model import Price, Tokens
from bot.usage.meter import Meter
from bot.usage.model import Event
from bot.usage.rating import Rater

from ..credited import credit

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
ACCOUNTS = ("acme", "other")
PRICE = Price(0, "openai", "gpt", 2 * 10**9, 8 * 10**9, datetime(2026, 1, 1, tzinfo=UTC), 5 * 10**8)


async def furnish(database: Database) -> None:
    """Two accounts with 1,000 credits each, and a price: $2 and $8 for a million tokens, $0.50 from the cache."""
    for n, id in enumerate(ACCOUNTS):
        account = Account(id, id.title(), Plan.ESSENTIAL, Workspace("", f"T{n}"), frozenset({"U1"}))
        await database.write(partial(accounts.add, account=account, at=NOON))
        await credit(database, id, Usd.dollars(1_000), NOON)
    await database.write(partial(prices.add, price=PRICE, at=NOON))


@asynccontextmanager
async def metering(database: Database) -> AsyncIterator[Meter]:
    meter, clockwork = Meter(database, SystemClock(), Rater(database)), Clockwork()
    meter.nudge = clockwork.every(60, "usage", meter.work).nudge
    clockwork.start()
    try:
        yield meter
    finally:
        await clockwork.stop()


def use(id: str, account: str = "acme", *, source: str = "genstudio", model: str = "gpt", **tokens: int) -> Event:
    return Event(source, id, account, "openai", model, NOON, Tokens(**tokens))
