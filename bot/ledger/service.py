"""The books prove themselves: what holds, and the first places where it does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.db.engine import Database
from bot.ledger import store
from bot.ledger.model import Entry, book_of, digest, link
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
    return await Prover(database).look()


class Prover:
    """Proves the books. The first look reads all of them, each later one what is new and every balance."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._balances: dict[str, int] = {}  # nano-credits posted to each account so far
        self._chain: dict[str, tuple[int, str]] = {}  # the newest entry of each account that was read, and the head
        self._entries = 0
        self.settled = 0  # the last entry before which no transaction can still come: later ones are read again

    async def look(self, settled_before: datetime | None = None) -> Audit:
        """What holds now. Entries booked before that moment are read once; without one, this was the only look."""
        audit = Audit()
        settling = True
        first = self.settled == 0
        async with self.database.read(at_length=True) as tx:
            async for row, entry in store.every_entry(tx, after=self.settled):
                self._read(row.seq, row.hash, row.booked_at, entry, audit)
                settling = settling and settled_before is not None and row.booked_at < settled_before
                if settling:
                    self.settled = row.seq
                    self._entries += 1
                else:
                    audit.entries += 1
            audit.entries += self._entries
            heads = await store.heads(tx)
            if first and (orphans := await store.orphans(tx)):
                audit.found(f"{orphans} postings belong to no entry")
            for table in await store.unguarded(tx):
                audit.found(f"{table} is not append only any more: a trigger is missing")
        self._compare(heads, audit)
        return audit

    def _read(self, seq: int, stored: str, booked_at: datetime, entry: Entry, audit: Audit) -> None:
        if entry.flaw:
            audit.found(f"entry {seq}: {entry.flaw}")
        if digest(entry, booked_at) != stored:
            audit.found(f"entry {seq} ({entry.cause}) is not as it was booked")
        for account_id, change in entry.accounts.items():
            newest, head = self._chain.get(account_id, (0, ""))
            if seq > newest:
                self._chain[account_id] = seq, link(head, stored)
                self._balances[account_id] = self._balances.get(account_id, 0) + change.nano

    def _compare(self, heads: Mapping[str, tuple[Credits, str]], audit: Audit) -> None:
        for account_id, (balance, head) in heads.items():
            posted = Credits(self._balances.get(account_id, 0))
            if balance != posted:
                audit.found(f"account {account_id} has a balance of {balance.exact} but postings of {posted.exact}")
            if self._chain.get(account_id, (0, ""))[1] != head:
                audit.found(f"the chain of account {account_id} is broken: entries were added, removed or moved")
            audit.accounts += 1
            audit.total = Credits(audit.total.nano + balance.nano)
        for account_id in self._balances.keys() - heads.keys():
            audit.found(f"{book_of(account_id)} has postings but no balance")
