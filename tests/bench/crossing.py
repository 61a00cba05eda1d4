"""Goal 9: a debit of many accounts that finds whose balance crosses a bound, beside one that does not look."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import SystemClock
from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.ledger import store
from bot.ledger.model import Book, Entry, book_of
from bot.ledger.service import verify
from bot.money import Credits
from tests.bench.figures import Check, Measured, Row
from tests.bench.places import Place, places

ROUNDS = 9
DEBITS = 20  # of each kind in a round
ACCOUNTS = [f"acc-{n:05}" for n in range(1_000)]
_CROSSING = 10  # accounts that cross in the end
_GOAL = 1.15

_BLIND = store._POST_MANY.bindparams()
_BLIND.text = _BLIND.text.replace(store._NOTE_CROSSINGS, "")


def measure(folder: Path, python: str) -> Measured:
    """In this process, whatever ``python`` is: what is measured is one call."""
    measured = Measured(f"Goal 9: a debit of {len(ACCOUNTS)} accounts, all watched, beside one that finds no crossing")
    with places(folder) as known:
        for place in known:
            asyncio.run(_beside(measured, place))
    return measured


async def _beside(measured: Measured, place: Place) -> None:
    database = Database(place.url("crossing"))
    await upgrade(database)
    await database.write(_watch_all)
    row = Row(f"a debit, {place.name}", "ms", _GOAL)
    numbers = itertools.count()
    for n in range(1 + ROUNDS):
        looking = await _milliseconds(database, numbers)
        with _not_looking():
            blind = await _milliseconds(database, numbers)
        if n:  # the first one only warms up
            row.add(looking, blind)
    measured.rows.append(row)
    await database.write(partial(_debit, number=next(numbers), accounts=ACCOUNTS[:_CROSSING], nano=10**15))
    async with database.read() as tx:
        crossed = await store.crossed(tx, 2 * _CROSSING)
    measured.checks += [
        Check(f"{place.name}: crossings found", crossed, ACCOUNTS[:_CROSSING]),
        Check(f"{place.name}: the books are right", (await verify(database)).problems, []),
    ]
    await database.dispose()


async def _watch_all(tx: AsyncConnection) -> None:
    for account_id in ACCOUNTS:
        await store.held_still(tx, account_id)
        await store.watch(tx, account_id, Credits(-(10**14)), Credits(10**14))


async def _milliseconds(database: Database, numbers: Iterator[int]) -> float:
    """The quickest of some debits: the machine does other things too."""
    took = []
    for _ in range(DEBITS):
        began = time.perf_counter()
        await database.write(partial(_debit, number=next(numbers), accounts=ACCOUNTS, nano=1_000))
        took.append(1000 * (time.perf_counter() - began))
    return min(took)


async def _debit(tx: AsyncConnection, number: int, accounts: list[str], nano: int) -> None:
    postings = {book_of(account_id): Credits(-nano) for account_id in accounts}
    postings[Book.USAGE] = Credits(nano * len(accounts))
    now = SystemClock().now()
    floors = dict.fromkeys(accounts, Credits(-(10**18)))
    await store.post_many(tx, Entry(f"usage:{number + 1}", now, postings), now, floors)


@contextmanager
def _not_looking() -> Iterator[None]:
    """The ledger as it would be if nobody were ever warned."""
    kept = store._POST_MANY, store._crosses
    store._POST_MANY, store._crosses = _BLIND, lambda nano, low, high: False
    try:
        yield
    finally:
        store._POST_MANY, store._crosses = kept
