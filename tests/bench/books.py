"""A database as the meter needs it, and what must hold there after any amount of usage."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import OVERDRAFT, AtZero, Plan
from bot.accounts.tables import accounts
from bot.alerts.tables import looks
from bot.clock import SystemClock
from bot.db import versions
from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.ledger import store as ledger
from bot.ledger.model import Book, Entry, book_of
from bot.ledger.service import verify
from bot.ledger.tables import balances
from bot.money import Credits, Usd
from bot.prices.model import PER
from bot.prices.tables import prices
from bot.tokens.tables import tokens
from bot.usage.tables import events
from tests.bench.bare_ledgers import Raw
from tests.bench.figures import Check
from tests.bench.stream import ACCOUNTS, CACHED, INPUT, MODEL, OUTPUT, PROVIDER, Stream, Use, account

TOKEN = f"cb_{'benchmark':-<43}"  # as long as those that are made
HAS = Credits.bought_for(Usd.dollars(200_000))  # each account: nobody runs out
EVERYBODY = [account(n) for n in range(ACCOUNTS)]

_LOW = Credits.bought_for(Usd.dollars(10))  # where an account is looked at again
_A_BATCH = 20_000  # events
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def prepare(url: str) -> None:
    """All tables; accounts with credits, which the bot knows; a model's price; a token that may send usage."""
    database = Database(url)
    await upgrade(database)
    await database.write(_fill)
    await database.dispose()


async def _fill(tx: AsyncConnection) -> None:
    now = SystemClock().now()
    await tx.execute(insert(accounts), [_account(id, now) for id in EVERYBODY])
    bought = {book_of(id): HAS for id in EVERYBODY}
    entry = Entry("bench:bought", _LONG_AGO, {**bought, Book.SALES.value: Credits(-HAS.nano * ACCOUNTS)})
    await ledger.post_many(tx, entry, _LONG_AGO, dict.fromkeys(EVERYBODY, Credits.ZERO))
    await tx.execute(update(balances).values(low=_LOW.nano))
    await tx.execute(insert(looks), [{"account_id": id, "due_at": None} for id in EVERYBODY])
    price = {"input": INPUT * PER, "cached": CACHED * PER, "output": OUTPUT * PER}
    of_model = {"provider": PROVIDER, "model": MODEL, "effective_at": _LONG_AGO, "created_at": now}
    await tx.execute(insert(prices).values(**of_model, **price))
    hashed = hashlib.sha256(TOKEN.encode()).hexdigest()
    await tx.execute(insert(tokens).values(name="bench", hash=hashed, scopes="usage read", created_at=now))
    await versions.changed(tx, versions.TERMS)


def _account(id: str, now: datetime) -> dict[str, object]:
    return {
        "id": id,
        "name": id,
        "plan": Plan.ADVANCED,
        "enterprise_id": "",
        "team_id": f"T{id}",
        "language": "en",
        "created_at": now,
        "at_zero": AtZero.STOP,
        "overdraft_nano": OVERDRAFT.nano,
    }


async def fill(url: str, raw: Raw, stream: Stream) -> None:
    """Store and book a stream as the bot would have, only sooner."""
    database = Database(url)
    for batch, part in enumerate(stream.parts([_A_BATCH]), 1):
        raw.store(part, batch)
        await database.write(partial(_debit, batch, part))
    await database.dispose()


async def _debit(batch: int, uses: Sequence[Use], tx: AsyncConnection) -> None:
    used: Counter[str] = Counter()
    for use in uses:
        used[use.account_id] += use.nano
    postings = {book_of(id): Credits(-nano) for id, nano in used.items()}
    entry = Entry(f"usage:{batch}", uses[0].at, {**postings, Book.USAGE.value: Credits(used.total())})
    await ledger.post_many(tx, entry, SystemClock().now(), dict.fromkeys(used, Credits.ZERO))


async def checks(name: str, url: str, streams: Sequence[Stream]) -> list[Check]:
    """Whether every event of these streams was stored and booked once, at its cost, and the books are right."""
    database = Database(url)
    audit = await verify(database)
    async with database.read(at_length=True) as tx:
        held = int((await tx.execute(_HELD)).scalar_one())
        unequal = (await tx.execute(_UNEQUAL)).scalar_one()
        stored = await _stored(tx, name, streams)
    await database.dispose()
    return [
        stored,
        Check(f"{name}: all balances together", held, HAS.nano * ACCOUNTS - sum(stream.nano for stream in streams)),
        Check(f"{name}: debits of a batch and account that are not what its events cost", unequal, 0),
        Check(f"{name}: sums are zero, balances equal postings, chains are whole", audit.problems, []),
    ]


async def checks_of_rows(name: str, url: str, only_stored: Sequence[Stream], booked: Sequence[Stream]) -> list[Check]:
    """Whether every event of these streams was stored, and those of some of them booked, by others than the bot."""
    database = Database(url)
    async with database.read() as tx:
        stored = await _stored(tx, name, [*only_stored, *booked])
        held = int((await tx.execute(_HELD)).scalar_one())
        wrong = (await tx.execute(_WRONG)).scalar_one()
    await database.dispose()
    return [
        stored,
        Check(f"{name}: all balances together", held, HAS.nano * ACCOUNTS - sum(stream.nano for stream in booked)),
        Check(f"{name}: balances that are not the sum of their postings", wrong, 0),
    ]


async def keys(url: str) -> set[bytes]:
    """Of all events that are stored."""
    database = Database(url)
    async with database.read() as tx:
        found = {row.key for row in await tx.execute(select(events.c.key))}
    await database.dispose()
    return found


async def _stored(tx: AsyncConnection, name: str, streams: Sequence[Stream]) -> Check:
    count, nano = (await tx.execute(_STORED)).one()
    expected = sum(stream.events for stream in streams), sum(stream.nano for stream in streams)
    return Check(f"{name}: events stored, and what they cost", (count, int(nano)), expected)


_STORED = select(func.count(), func.coalesce(func.sum(events.c.nano), 0)).select_from(events)
_HELD = select(func.sum(balances.c.nano))
_UNEQUAL = text(
    """
    SELECT count(*) FROM (
        SELECT batch, account_id, sum(nano) AS nano FROM usage_events GROUP BY batch, account_id
    ) AS used
    LEFT JOIN ledger_entries AS entries ON entries.cause = 'usage:' || used.batch
    LEFT JOIN ledger_postings AS postings
        ON postings.seq = entries.seq AND postings.book = 'account:' || used.account_id
    WHERE postings.nano IS DISTINCT FROM -used.nano
    """
)
_WRONG = text(
    """
    SELECT count(*) FROM ledger_balances AS balances
    LEFT JOIN (SELECT book, sum(nano) AS nano FROM ledger_postings GROUP BY book) AS posted
        ON posted.book = 'account:' || balances.account_id
    WHERE posted.nano IS DISTINCT FROM balances.nano
    """
)
