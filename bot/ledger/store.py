"""The ledger in the database. The caller owns the transaction; whoever locks several accounts does so in id order."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Executable, Row, Select, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.ledger.model import Booked, Entry, EntryConflict, book_of, link
from bot.ledger.tables import balances, entries, postings
from bot.money import Credits


async def post(tx: AsyncConnection, entry: Entry, at: datetime) -> Booked:
    """Book the entry and move the balance, once. Raise ``EntryConflict`` when its cause has other content already."""
    if entry.flaw:
        raise ValueError(entry.flaw)
    head = await _lock_head(tx, entry.account_id)
    hashed = link(head.hash, entry, at)
    content = {
        "cause": entry.cause,
        "account_id": entry.account_id,
        "happened_at": entry.happened_at,
        "booked_at": at,
        "facts": entry.facts,
        "hash": hashed,
    }
    seq: int | None = (await tx.execute(_book_once(tx.dialect.name), content)).scalar()
    if seq is None:
        if await _booked(tx, entry.cause) != (entry.account_id, dict(entry.postings)):
            raise EntryConflict(entry.cause)
        return Booked(head.seq, Credits(head.nano), new=False)
    await tx.execute(
        _ADD_POSTINGS,
        [{"seq": seq, "book": book, "nano": change.nano} for book, change in sorted(entry.postings.items())],
    )
    balance = Credits(head.nano + entry.change.nano)
    moved = {"of_account": entry.account_id, "new_nano": balance.nano, "new_seq": seq, "new_hash": hashed}
    await tx.execute(_MOVE_BALANCE, moved)
    return Booked(seq, balance, new=True)


async def balance(tx: AsyncConnection, account_id: str) -> Credits:
    """What the account has; zero for one that never bought."""
    nano = (await tx.execute(select(balances.c.nano).where(balances.c.account_id == account_id))).scalar()
    return Credits(nano or 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One movement of an account's balance, and the balance after it."""

    seq: int
    cause: str
    happened_at: datetime
    booked_at: datetime
    change: Credits
    balance: Credits
    facts: dict[str, object]


async def statement(
    tx: AsyncConnection, account_id: str, *, since: datetime | None = None, until: datetime | None = None
) -> tuple[Credits, Sequence[Line]]:
    """The opening balance, and every movement booked from ``since`` to before ``until``, oldest first."""
    running = 0
    opening = 0
    lines: list[Line] = []
    rows = await tx.execute(
        select(entries, postings.c.nano)
        .join(postings, postings.c.seq == entries.c.seq)
        .where(postings.c.book == book_of(account_id))
        .order_by(entries.c.seq)
    )
    for row in rows:
        running += row.nano
        if since is not None and row.booked_at < since:
            opening = running
        elif until is None or row.booked_at < until:
            lines.append(
                Line(row.seq, row.cause, row.happened_at, row.booked_at, Credits(row.nano), Credits(running), row.facts)
            )
    return Credits(opening), lines


@dataclass(frozen=True, slots=True)
class Record:
    """An entry as it was booked."""

    seq: int
    booked_at: datetime
    cause: str
    account_id: str
    facts: dict[str, object]
    postings: dict[str, Credits]

    @property
    def change(self) -> tuple[str, Credits]:
        """Whose balance moved, and by how much."""
        return self.account_id, self.postings.get(book_of(self.account_id), Credits.ZERO)


async def newest(tx: AsyncConnection, limit: int) -> Sequence[Record]:
    """The newest entries of all accounts, newest first."""
    return await _records(tx, select(entries).order_by(entries.c.seq.desc()).limit(limit))


async def caused_by(tx: AsyncConnection, prefix: str) -> Sequence[Record]:
    """Every entry whose cause begins like this."""
    return await _records(tx, select(entries).where(entries.c.cause.startswith(prefix, autoescape=True)))


async def _records(tx: AsyncConnection, query: Select[Any]) -> Sequence[Record]:
    rows = (await tx.execute(query)).all()
    moved: dict[int, dict[str, Credits]] = {row.seq: {} for row in rows}
    of_these = postings.c.seq.in_(query.with_only_columns(entries.c.seq).subquery().select())
    for posting in await tx.execute(select(postings).where(of_these).order_by(postings.c.book)):
        moved[posting.seq][posting.book] = Credits(posting.nano)
    return [Record(row.seq, row.booked_at, row.cause, row.account_id, row.facts, moved[row.seq]) for row in rows]


async def every_entry(tx: AsyncConnection) -> AsyncIterator[tuple[Row[Any], Entry]]:
    """The row of each entry and the entry itself, oldest first, without holding more than one in memory."""
    rows = await tx.stream(
        select(entries, postings.c.book, postings.c.nano)
        .outerjoin(postings, postings.c.seq == entries.c.seq)
        .order_by(entries.c.seq, postings.c.book)
    )
    current: Row[Any] | None = None
    moved: dict[str, Credits] = {}
    async for row in rows:
        if current is not None and row.seq != current.seq:
            yield current, _entry(current, moved)
            moved = {}
        current = row
        if row.book is not None:
            moved[row.book] = Credits(row.nano)
    if current is not None:
        yield current, _entry(current, moved)


async def heads(tx: AsyncConnection) -> dict[str, tuple[Credits, str]]:
    """Balance and newest hash of each account."""
    return {row.account_id: (Credits(row.nano), row.hash) for row in await tx.execute(select(balances))}


async def orphans(tx: AsyncConnection) -> int:
    """How many postings belong to no entry."""
    missing = select(func.count()).select_from(postings.outerjoin(entries, entries.c.seq == postings.c.seq))
    return (await tx.execute(missing.where(entries.c.seq.is_(None)))).scalar_one()


async def _lock_head(tx: AsyncConnection, account_id: str) -> Row[Any]:
    """The account's balance and chain, locked until the transaction ends."""
    of_account = {"of_account": account_id}
    if head := (await tx.execute(_LOCK_HEAD, of_account)).one_or_none():
        return head
    await tx.execute(_begin_once(tx.dialect.name), {"account_id": account_id, "nano": 0, "seq": 0, "hash": ""})
    return (await tx.execute(_LOCK_HEAD, of_account)).one()


# Statements are built once: building them again takes as long as running them.
_LOCK_HEAD = select(balances).where(balances.c.account_id == bindparam("of_account")).with_for_update()
_ADD_POSTINGS = insert(postings)
_MOVE_BALANCE = (
    update(balances)
    .where(balances.c.account_id == bindparam("of_account"))
    .values(nano=bindparam("new_nano"), seq=bindparam("new_seq"), hash=bindparam("new_hash"))
)


@cache
def _begin_once(dialect: str) -> Executable:
    """The first balance of an account, unless somebody else has begun it."""
    new = postgresql.insert(balances) if dialect == "postgresql" else sqlite.insert(balances)
    return new.on_conflict_do_nothing()


@cache
def _book_once(dialect: str) -> Executable:
    """An entry, unless its cause has one; then no number comes back."""
    new = postgresql.insert(entries) if dialect == "postgresql" else sqlite.insert(entries)
    return new.on_conflict_do_nothing(index_elements=["cause"]).returning(entries.c.seq)


async def _booked(tx: AsyncConnection, cause: str) -> tuple[str, dict[str, Credits]] | None:
    rows = (
        await tx.execute(
            select(entries.c.account_id, postings.c.book, postings.c.nano)
            .join(postings, postings.c.seq == entries.c.seq)
            .where(entries.c.cause == cause)
        )
    ).all()
    return (rows[0].account_id, {row.book: Credits(row.nano) for row in rows}) if rows else None


def _entry(row: Row[Any], moved: dict[str, Credits]) -> Entry:
    return Entry(row.cause, row.account_id, row.happened_at, moved, row.facts)
