"""The books prove themselves: what holds, and the first places where it does not."""

from dataclasses import dataclass, field

from bot.db.engine import Database
from bot.ledger import store
from bot.ledger.model import book_of, digest, link
from bot.money import Credits

_SHOWN = 20


@dataclass(slots=True)
class Audit:
    """What ``verify`` found. ``problems`` is empty when the books are right."""

    entries: int = 0
    accounts: int = 0
    total: Credits = Credits.ZERO  # held by all accounts together
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def found(self, problem: str) -> None:
        if len(self.problems) < _SHOWN:
            self.problems.append(problem)


async def verify(database: Database) -> Audit:
    """Every entry sums to zero, every balance equals its postings, every chain of hashes is whole and guarded."""
    audit = Audit()
    sums: dict[str, int] = {}
    chain: dict[str, str] = {}
    async with database.read() as tx:
        async for row, entry in store.every_entry(tx):
            audit.entries += 1
            if entry.flaw:
                audit.found(f"entry {row.seq}: {entry.flaw}")
            for book, change in entry.postings.items():
                sums[book] = sums.get(book, 0) + change.nano
            if digest(entry, row.booked_at) != row.hash:
                audit.found(f"entry {row.seq} ({entry.cause}) is not as it was booked")
            for account_id in entry.accounts:
                chain[account_id] = link(chain.get(account_id, ""), row.hash)
        heads = await store.heads(tx)
        if orphans := await store.orphans(tx):
            audit.found(f"{orphans} postings belong to no entry")
        for table in await store.unguarded(tx):
            audit.found(f"{table} is not append only any more: a trigger is missing")
    for account_id, (balance, head) in heads.items():
        posted = Credits(sums.pop(book_of(account_id), 0))
        if balance != posted:
            audit.found(f"account {account_id} has a balance of {balance.exact} but postings of {posted.exact}")
        if chain.get(account_id, "") != head:
            audit.found(f"the chain of account {account_id} is broken: entries were added, removed or moved")
        audit.accounts += 1
        audit.total = Credits(audit.total.nano + balance.nano)
    for book in sums:
        if book.startswith("account:"):
            audit.found(f"{book} has postings but no balance")
    return audit
