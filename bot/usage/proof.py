"""Proves that the events and the ledger tell the same story: each event was debited, and each debit has its events.

Neither can prove it alone. An event that is changed or deleted leaves an entry that says otherwise.
"""

from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.model import Entry
from bot.ledger.service import Audit
from bot.money import Credits
from bot.usage import store
from bot.usage.model import CAUSE, batch_of, events_named

_AT_ONCE: Final = 2_000  # postings: thousands of accounts may have spent in one batch, whose entry has one of each


async def compare(database: Database, audit: Audit, after: int = 0) -> None:
    """Hold the events of each batch against its entry, both ways, and add what is wrong to the ``audit``.

    ``after``: the entry up to which that was done before. Events of no entry at all are only looked for from the start.
    """
    named = 0
    async with database.read(at_length=True) as tx:
        async for entries in _debits(tx, after):
            costs: dict[int, dict[str, Credits]] = {}
            async for batch, account_id, cost in store.costs(tx, [batch for batch, _ in entries if batch]):
                costs.setdefault(batch, {})[account_id] = Credits(-cost.nano)
            for number, entry in entries:
                if entry.accounts != costs.get(number or 0, {}):
                    audit.found(f"entry {entry.cause} and its events differ in account or cost")
                named += events_named(entry.facts)
        booked = named if after else await store.booked(tx)
    if booked != named:
        audit.found(f"{booked} events were debited, and the entries are of {named}")


async def _debits(tx: AsyncConnection, after: int) -> AsyncIterator[list[tuple[int | None, Entry]]]:
    """The entries of usage with their batches, some at a time."""
    some: list[tuple[int | None, Entry]] = []
    postings = 0
    async for _, entry in ledger.every_entry(tx, after):
        if entry.cause.startswith(CAUSE):
            some.append((batch_of(entry.cause), entry))
            postings += len(entry.postings)
        if postings >= _AT_ONCE:
            yield some
            some, postings = [], 0
    if some:
        yield some
