"""From rows of events to one ledger entry that debits every account among them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.ledger import store as ledger
from bot.ledger.model import Book, Entry, book_of
from bot.money import Credits
from bot.usage.model import Parked, Row, cause_of
from bot.usage.rating import Terms


async def debit(tx: AsyncConnection, rows: Iterable[Row], batch: int, at: datetime, terms: Terms) -> None:
    """Book what these events cost, parked ones aside. Raise ``BelowFloor`` where that is beyond an overdraft."""
    used: Counter[str] = Counter()
    events = 0
    for row in rows:
        if not row.parked:
            used[row.account_id] += row.nano or 0
            events += 1
    if not events:
        return
    postings = {book_of(account_id): Credits(-nano) for account_id, nano in used.items()}
    postings[Book.USAGE] = Credits(used.total())
    await ledger.post_many(tx, Entry(cause_of(batch), at, postings, {"events": events}), at, terms.floors)


def park(rows: Iterable[Row], balances: Mapping[str, Credits], terms: Terms) -> None:
    """Park what would take these accounts below their floors, in the order in which the events came."""
    room = {account_id: held.nano - terms.floors[account_id].nano for account_id, held in balances.items()}
    for row in rows:
        if row.account_id in room and not row.parked:
            if (row.nano or 0) > room[row.account_id]:
                row.parked = Parked.OVERDRAWN
            else:
                room[row.account_id] -= row.nano or 0


def total(rows: Iterable[Row]) -> Credits:
    """What these events cost together, parked ones aside."""
    return Credits(sum(row.nano for row in rows if row.nano and not row.parked))
