"""Proves that the purchases and the ledger tell the same story, which neither can prove alone.

Somebody who can write to the whole database could cut the newest entries off and make the chain of hashes fit. Then
a credited purchase is left without its entry, or a refund without its own; and one who adds an entry adds money that
nothing here knows of.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.service import Audit
from bot.ledger.store import Record
from bot.money import Credits
from bot.purchases import store
from bot.purchases.model import CREDITED, Purchase

BOUGHT = "purchase:"
CAUSES = (BOUGHT, "refund:", "dispute:")  # how those of the entries begin that are proved here


async def compare(database: Database, audit: Audit) -> None:
    """Hold each credited purchase, and what went back of it, against their entries, both ways.

    What is wrong is added to the ``audit``.
    """
    async with database.read(at_length=True) as tx:
        credited = await store.of_status(tx, CREDITED)
        records = await ledger.caused_by(tx, CAUSES)
        bought = [each for each in records if each.cause.startswith(BOUGHT)]
        went_back = [each for each in records if not each.cause.startswith(BOUGHT)]
        _compare_credits(credited, bought, audit)
        await _compare_reversals(tx, {each.id: each for each in credited}, went_back, audit)


def _compare_credits(credited: Sequence[Purchase], bought: Sequence[Record], audit: Audit) -> None:
    entries = {record.cause: record for record in bought}
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


async def _compare_reversals(
    tx: AsyncConnection, credited: dict[str, Purchase], entries: Sequence[Record], audit: Audit
) -> None:
    """A refund or a dispute may have many entries, as it changes: together they are what is gone."""
    booked: defaultdict[str, Counter[str]] = defaultdict(Counter)  # nano-credits of each account
    for record in entries:
        booked[record.cause.split(":")[1]].update({account: moved.nano for account, moved in record.accounts.items()})
    gone: Counter[str] = Counter()  # cents of each purchase
    for reversal_id, purchase_id, amount in await store.every_reversal(tx):
        gone[purchase_id] += amount.cents
        purchase = credited.get(purchase_id)
        taken = {purchase.account_id: -Credits.bought_for(amount).nano} if purchase else {}
        if booked.pop(reversal_id, Counter()) != taken:
            audit.found(f"{reversal_id} and its entries differ in account or amount")
    for reversal_id in booked:
        audit.found(f"the entries of {reversal_id} belong to no refund and no dispute")
    for purchase in credited.values():
        if purchase.reversed.cents != gone[purchase.id]:
            audit.found(f"purchase {purchase.id} and its refunds and disputes differ in what went back")
