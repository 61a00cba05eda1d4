"""Proves that the purchases and the ledger tell the same story, which neither can prove alone.

Somebody who can write to the whole database could cut the newest entries off and make the chain of hashes fit. Then
a credited purchase is left without its entry.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.service import Audit
from bot.money import Credits
from bot.purchases import store
from bot.purchases.model import CREDITED


async def compare(database: Database, audit: Audit) -> None:
    """Hold each credited purchase against its entry, both ways, and add what is wrong to the ``audit``."""
    async with database.read(at_length=True) as tx:
        await _compare(tx, audit)


async def _compare(tx: AsyncConnection, audit: Audit) -> None:
    entries = {record.cause: record for record in await ledger.caused_by(tx, "purchase:")}
    credited = await store.of_status(tx, CREDITED)
    for purchase in credited:
        record = entries.pop(f"purchase:{purchase.intent_id}", None)
        if record is None:
            audit.found(f"purchase {purchase.id} was credited, and its entry is missing")
        elif record.accounts != {purchase.account_id: Credits.bought_for(purchase.amount)}:
            audit.found(f"purchase {purchase.id} and entry {record.seq} differ in account or amount")
    known = {purchase.id for purchase in credited}
    for record in entries.values():  # a second payment for a purchase has an entry of its own
        if record.facts.get("purchase") not in known:
            audit.found(f"entry {record.seq} ({record.cause}) belongs to no credited purchase")
