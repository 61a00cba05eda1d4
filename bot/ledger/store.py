"""The ledger in the database. The caller owns the transaction; whoever locks several accounts does so in id order."""

import json
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Executable,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.columns import Instant, Json
from bot.db.engine import must
from bot.db.upsert import insert_into
from bot.ledger.model import BelowFloor, Booked, Entry, EntryConflict, accounts_in, book_of, digest, link
from bot.ledger.tables import balances, crossings, entries, postings
from bot.money import Credits

_READ_AT_ONCE: Final = 1_000  # rows


async def post(tx: AsyncConnection, entry: Entry, at: datetime) -> Booked:
    """Book an entry of one account and move its balance, once.

    Raise ``EntryConflict`` when its cause has other content already.
    """
    if entry.flaw:
        raise ValueError(entry.flaw)
    [(account_id, change)] = entry.accounts.items()
    head = await _lock_head(tx, account_id)
    seq, hashed = await _book(tx, entry, at)
    if seq is None:
        if await _booked(tx, entry.cause) != dict(entry.postings):
            raise EntryConflict(entry.cause)
        return Booked(head.seq, Credits(head.nano), new=False)
    await tx.execute(
        _ADD_POSTINGS,
        [{"seq": seq, "book": book, "nano": moved.nano} for book, moved in sorted(entry.postings.items())],
    )
    balance = Credits(head.nano + change.nano)
    await tx.execute(
        _MOVE_BALANCE,
        {"of_account": account_id, "new_nano": balance.nano, "new_seq": seq, "new_hash": link(head.hash, hashed)},
    )
    if _crosses(balance.nano, head.low, head.high):
        await _note_crossings(tx, [account_id], seq)
    return Booked(seq, balance, new=True)


async def post_many(tx: AsyncConnection, entry: Entry, at: datetime, floors: Mapping[str, Credits]) -> int:
    """Book an entry of many accounts, whose cause was never booked before. Its number.

    Raise ``BelowFloor`` when that would leave any account with less than its floor; nothing is booked then.
    """
    if entry.flaw:
        raise ValueError(entry.flaw)
    book = _post_many_on_postgres if tx.dialect.name == "postgresql" else _post_many_on_sqlite
    return await book(tx, entry, at, floors)


async def _post_many_on_sqlite(tx: AsyncConnection, entry: Entry, at: datetime, floors: Mapping[str, Credits]) -> int:
    changes = entry.accounts
    found: Any = await tx.exec_driver_sql(_HEADS, (json.dumps(list(changes)),))
    heads: dict[str, tuple[int, str, int | None, int | None]] = {
        account_id: (nano, head, low, high) for account_id, nano, head, low, high in found
    }
    moved = {account_id: heads.get(account_id, _UNUSED)[0] + change.nano for account_id, change in changes.items()}
    low = [account_id for account_id, nano in moved.items() if nano < floors[account_id].nano]
    if low:
        raise BelowFloor({account_id: Credits(moved[account_id] - changes[account_id].nano) for account_id in low})
    booked, hashed = await _book(tx, entry, at)
    seq = must(booked)
    await tx.exec_driver_sql(
        "INSERT INTO ledger_postings (seq, book, nano) VALUES (?, ?, ?)",
        [(seq, book, change.nano) for book, change in entry.postings.items()],
    )
    await tx.exec_driver_sql(
        "INSERT INTO ledger_balances (account_id, nano, seq, hash) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (account_id) DO UPDATE SET nano = excluded.nano, seq = excluded.seq, hash = excluded.hash",
        [
            (account_id, nano, seq, link(heads.get(account_id, _UNUSED)[1], hashed))
            for account_id, nano in moved.items()
        ],
    )
    crossed = [account_id for account_id, head in heads.items() if _crosses(moved[account_id], head[2], head[3])]
    if crossed:
        await _note_crossings(tx, crossed, seq)
    return seq


async def _post_many_on_postgres(tx: AsyncConnection, entry: Entry, at: datetime, floors: Mapping[str, Credits]) -> int:
    changes = entry.accounts
    asked = {
        "accounts": list(changes),
        "changes": [change.nano for change in changes.values()],
        "floors": [floors[account_id].nano for account_id in changes],
        "books": list(entry.postings),
        "posted": [change.nano for change in entry.postings.values()],
        **_content(entry, at),
    }
    done = (await tx.execute(_POST_MANY, asked)).one()
    if done.locked < len(changes):
        await tx.execute(_BEGIN_MANY, asked)
        done = (await tx.execute(_POST_MANY, asked)).one()
    if done.low:
        raise BelowFloor({account_id: Credits(nano) for account_id, nano in done.low.items()})
    seq: int = must(done.seq)
    return seq


def _crosses(nano: int, low: int | None, high: int | None) -> bool:
    return (low is not None and nano <= low) or (high is not None and nano >= high)


async def _note_crossings(tx: AsyncConnection, account_ids: Sequence[str], seq: int) -> None:
    noted = [{"account_id": account_id, "seq": seq} for account_id in account_ids]
    await tx.execute(insert_into(crossings, tx.dialect.name).on_conflict_do_nothing(), noted)


async def watch(tx: AsyncConnection, account_id: str, low: Credits | None, high: Credits | None) -> None:
    """Note the account among the crossings when its balance comes down to ``low`` or up to ``high``; forget others.

    For whoever holds it still: a balance that moved in between could be out of bounds, and nobody would know.
    """
    bounds = {"low": low and low.nano, "high": high and high.nano}
    await tx.execute(_WATCH, {"of_account": account_id, **bounds})
    await tx.execute(_FORGET_CROSSINGS, {"of_account": account_id})


async def crossed(tx: AsyncConnection, limit: int) -> Sequence[str]:
    """Accounts that crossed a bound since somebody set it, in the order in which they did."""
    return (await tx.execute(_CROSSED, {"most": limit})).scalars().all()


async def held_still(tx: AsyncConnection, account_id: str) -> tuple[Credits, int]:
    """The balance and the number of its newest entry; nobody else moves it until the transaction ends."""
    head = await _lock_head(tx, account_id)
    return Credits(head.nano), head.seq


async def head(tx: AsyncConnection, account_id: str) -> tuple[Credits, int]:
    """The balance and the number of its newest entry; zeros for an account that has none."""
    found = (await tx.execute(_READ_HEAD, {"of_account": account_id})).one_or_none()
    return (Credits(found.nano), found.seq) if found else (Credits.ZERO, 0)


async def balance(tx: AsyncConnection, account_id: str) -> Credits:
    """What the account has; zero for one that never bought."""
    return (await head(tx, account_id))[0]


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
    of_account = (
        select(entries, postings.c.nano)
        .join(postings, postings.c.seq == entries.c.seq)
        .where(postings.c.book == book_of(account_id))
    )
    running = 0
    if since is not None:
        before = of_account.where(entries.c.booked_at < since).subquery()
        running = int((await tx.execute(select(func.coalesce(func.sum(before.c.nano), 0)))).scalar_one())
        of_account = of_account.where(entries.c.booked_at >= since)
    if until is not None:
        of_account = of_account.where(entries.c.booked_at < until)
    opening = Credits(running)
    lines: list[Line] = []
    for row in await tx.execute(of_account.order_by(entries.c.seq)):
        running += row.nano
        lines.append(
            Line(row.seq, row.cause, row.happened_at, row.booked_at, Credits(row.nano), Credits(running), row.facts)
        )
    return opening, lines


async def first_booked(tx: AsyncConnection, account_id: str) -> datetime | None:
    """When the account's first entry was booked."""
    query = select(entries.c.booked_at).join(postings, postings.c.seq == entries.c.seq)
    of_account = query.where(postings.c.book == book_of(account_id)).order_by(postings.c.seq).limit(1)
    first: datetime | None = (await tx.execute(of_account)).scalar()
    return first


@dataclass(frozen=True, slots=True)
class Record:
    """An entry as it was booked."""

    seq: int
    booked_at: datetime
    cause: str
    facts: dict[str, object]
    postings: dict[str, Credits]

    @property
    def accounts(self) -> dict[str, Credits]:
        """Whose balances moved, and by how much."""
        return accounts_in(self.postings)


async def newest(tx: AsyncConnection, limit: int) -> Sequence[Record]:
    """The newest entries of all accounts, newest first."""
    return await _records(tx, select(entries).order_by(entries.c.seq.desc()).limit(limit))


async def caused_by(tx: AsyncConnection, prefixes: Collection[str]) -> Sequence[Record]:
    """Every entry whose cause begins like one of these."""
    return await _records(tx, select(entries).where(_begins(prefixes)))


async def causes_besides(tx: AsyncConnection, prefixes: Collection[str], after: int) -> Sequence[tuple[int, str]]:
    """The numbers and the causes of later entries whose cause begins like none of these."""
    others = select(entries.c.seq, entries.c.cause).where(entries.c.seq > after, not_(_begins(prefixes)))
    return [(row.seq, row.cause) for row in await tx.execute(others.order_by(entries.c.seq))]


def _begins(prefixes: Collection[str]) -> ColumnElement[bool]:
    return or_(*(entries.c.cause.startswith(prefix, autoescape=True) for prefix in prefixes))


async def _records(tx: AsyncConnection, query: Select[Any]) -> Sequence[Record]:
    rows = (await tx.execute(query)).all()
    moved: dict[int, dict[str, Credits]] = {row.seq: {} for row in rows}
    of_these = postings.c.seq.in_(query.with_only_columns(entries.c.seq).subquery().select())
    for posting in await tx.execute(select(postings).where(of_these).order_by(postings.c.book)):
        moved[posting.seq][posting.book] = Credits(posting.nano)
    return [Record(row.seq, row.booked_at, row.cause, row.facts, moved[row.seq]) for row in rows]


async def every_entry(tx: AsyncConnection, after: int = 0) -> AsyncIterator[tuple[Row[Any], Entry]]:
    """The row of each later entry and the entry itself, oldest first, without holding more than some in memory."""
    rows = await tx.stream(_LATER, {"after": after})
    async for some in rows.partitions(_READ_AT_ONCE):
        waiting = deque(some)
        async for seq, moved in _moves(tx, some[0].seq, some[-1].seq):
            while waiting and waiting[0].seq <= seq:
                row = waiting.popleft()
                yield row, Entry(row.cause, row.happened_at, moved if row.seq == seq else {}, row.facts)
        for row in waiting:
            yield row, Entry(row.cause, row.happened_at, {}, row.facts)


async def _moves(tx: AsyncConnection, first: int, last: int) -> AsyncIterator[tuple[int, dict[str, Credits]]]:
    """The postings of these entries, by their numbers. They are many more than the entries: little is done here."""
    query = select(postings).where(postings.c.seq.between(first, last)).order_by(postings.c.seq, postings.c.book)
    current = 0
    moved: dict[str, Credits] = {}
    async for some in (await tx.stream(query)).partitions(_READ_AT_ONCE):
        for seq, book, nano in some:
            if seq != current:
                if moved:
                    yield current, moved
                current, moved = seq, {}
            moved[book] = Credits(nano)
    if moved:
        yield current, moved


async def heads(tx: AsyncConnection) -> dict[str, tuple[Credits, str]]:
    """Balance and newest hash of each account."""
    return {row.account_id: (Credits(row.nano), row.hash) for row in await tx.execute(select(balances))}


async def orphans(tx: AsyncConnection) -> int:
    """How many postings belong to no entry."""
    return (await tx.execute(_ORPHANS)).scalar_one()


async def unguarded(tx: AsyncConnection) -> Sequence[str]:
    """The tables that the database would let somebody change, because a trigger is gone, switched off or toothless."""
    tables = [entries.name, postings.name]
    if tx.dialect.name == "postgresql":
        guarded = {row.name for row in await tx.execute(_GUARDED)}
        return [table for table in tables if table not in guarded]
    triggers = [row.sql for row in await tx.execute(_TRIGGERS)]
    guards = {
        table: [f"BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT," for verb in ("UPDATE", "DELETE")]
        for table in tables
    }
    return [
        table for table, wanted in guards.items() if not all(any(each in sql for sql in triggers) for each in wanted)
    ]


async def _lock_head(tx: AsyncConnection, account_id: str) -> Row[Any]:
    """The account's balance and chain, locked until the transaction ends."""
    of_account = {"of_account": account_id}
    if head := (await tx.execute(_LOCK_HEAD, of_account)).one_or_none():
        return head
    await tx.execute(_begin_once(tx.dialect.name), {"account_id": account_id, "nano": 0, "seq": 0, "hash": ""})
    return (await tx.execute(_LOCK_HEAD, of_account)).one()


async def _book(tx: AsyncConnection, entry: Entry, at: datetime) -> tuple[int | None, str]:
    """The new entry's number and digest; no number when its cause was booked before.

    The accounts are locked already: so the order of numbers is the order of each account's chain.
    """
    content = _content(entry, at)
    return (await tx.execute(_book_once(tx.dialect.name), content)).scalar(), content["hash"]


def _content(entry: Entry, at: datetime) -> dict[str, Any]:
    return {
        "cause": entry.cause,
        "happened_at": entry.happened_at,
        "booked_at": at,
        "facts": entry.facts,
        "hash": digest(entry, at),
    }


# Statements are built once: building them again takes as long as running them.
_WATCH = update(balances).where(balances.c.account_id == bindparam("of_account"))
_FORGET_CROSSINGS = delete(crossings).where(crossings.c.account_id == bindparam("of_account"))
_CROSSED = select(crossings.c.account_id).order_by(crossings.c.seq, crossings.c.account_id).limit(bindparam("most"))
_LATER = select(entries).where(entries.c.seq > bindparam("after")).order_by(entries.c.seq)
_ORPHANS = (
    select(func.count())
    .select_from(postings.outerjoin(entries, entries.c.seq == postings.c.seq))
    .where(entries.c.seq.is_(None))
)
_READ_HEAD = select(balances).where(balances.c.account_id == bindparam("of_account"))
_LOCK_HEAD = _READ_HEAD.with_for_update()
_ADD_POSTINGS = insert(postings)
_MOVE_BALANCE = (
    update(balances)
    .where(balances.c.account_id == bindparam("of_account"))
    .values(nano=bindparam("new_nano"), seq=bindparam("new_seq"), hash=bindparam("new_hash"))
)

_UNUSED = (0, "", None, None)  # the balance and the chain of an account that has no entry yet
_HEADS = (
    "SELECT account_id, nano, hash, low, high FROM ledger_balances WHERE account_id IN (SELECT value FROM json_each(?))"
)
_BEGIN_MANY = text(
    """
    INSERT INTO ledger_balances (account_id, nano, seq, hash)
    SELECT account_id, 0, 0, '' FROM unnest(CAST(:accounts AS text[])) AS account_id ON CONFLICT DO NOTHING
    """
)
_NOTE_CROSSINGS = """
    , crossed AS (
        INSERT INTO ledger_crossings (account_id, seq)
        SELECT account_id, seq FROM moved WHERE nano <= low OR nano >= high ON CONFLICT DO NOTHING
    )
"""
# Nothing is booked where a balance is missing or would fall below its floor. The number of the entry comes after the
# locks, and whoever waited for one of them moves the balance as it is by then. Where one is missing none is locked:
# whoever begins a balance while they hold others waits for somebody who waits for them.
_POST_MANY = text(
    f"""
    WITH asked AS (
        SELECT * FROM unnest(CAST(:accounts AS text[]), CAST(:changes AS bigint[]), CAST(:floors AS bigint[]))
        AS asked(account_id, change, floor)
    ), locked AS MATERIALIZED (
        SELECT account_id, nano FROM ledger_balances WHERE account_id = ANY(CAST(:accounts AS text[]))
        AND cardinality(CAST(:accounts AS text[])) = (
            SELECT count(*) FROM ledger_balances WHERE account_id = ANY(CAST(:accounts AS text[]))
        )
        ORDER BY account_id FOR UPDATE
    ), seen AS MATERIALIZED (
        SELECT count(*) AS locked, json_object_agg(account_id, nano) FILTER (WHERE nano + change < floor) AS low
        FROM locked JOIN asked USING (account_id)
    ), booked AS (
        INSERT INTO ledger_entries (cause, happened_at, booked_at, facts, hash)
        SELECT :cause, :happened_at, :booked_at, :facts, :hash
        FROM seen WHERE locked = cardinality(CAST(:accounts AS text[])) AND low IS NULL
        RETURNING seq
    ), posted AS (
        INSERT INTO ledger_postings (seq, book, nano)
        SELECT seq, book, nano
        FROM booked, unnest(CAST(:books AS text[]), CAST(:posted AS bigint[])) AS posted(book, nano)
    ), moved AS (
        UPDATE ledger_balances AS held SET
            nano = held.nano + asked.change, seq = booked.seq,
            hash = encode(sha256(convert_to(held.hash || ' ' || CAST(:hash AS text), 'UTF8')), 'hex')
        FROM asked, booked WHERE held.account_id = asked.account_id
        RETURNING held.account_id, held.seq, held.nano, held.low, held.high
    ){_NOTE_CROSSINGS}
    SELECT locked, low, seq FROM seen LEFT JOIN booked ON true
    """  # noqa: S608 - fixed text
).bindparams(
    bindparam("happened_at", type_=Instant()), bindparam("booked_at", type_=Instant()), bindparam("facts", type_=Json())
)
_TRIGGERS = text("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
_GUARDED = text(  # 58: before each statement that updates, deletes or truncates
    """
    SELECT tables.relname AS name FROM pg_trigger AS triggers
    JOIN pg_class AS tables ON tables.oid = triggers.tgrelid
    JOIN pg_proc AS functions ON functions.oid = triggers.tgfoid
    WHERE pg_table_is_visible(tables.oid) AND triggers.tgenabled IN ('O', 'A') AND triggers.tgtype = 58
    AND triggers.tgqual IS NULL AND functions.prosrc LIKE '%RAISE EXCEPTION%'
    """
)


@cache
def _begin_once(dialect: str) -> Executable:
    """The first balance of an account, unless somebody else has begun it."""
    new = insert_into(balances, dialect)
    return new.on_conflict_do_nothing()


@cache
def _book_once(dialect: str) -> Executable:
    """An entry, unless its cause has one; then no number comes back."""
    new = insert_into(entries, dialect)
    return new.on_conflict_do_nothing(index_elements=["cause"]).returning(entries.c.seq)


async def _booked(tx: AsyncConnection, cause: str) -> dict[str, Credits]:
    rows = await tx.execute(
        select(postings.c.book, postings.c.nano)
        .join(entries, entries.c.seq == postings.c.seq)
        .where(entries.c.cause == cause)
    )
    return {row.book: Credits(row.nano) for row in rows}
