"""What the meter stands beside: rows stored as fast as the drivers can, and the usual ways to book one event at a time.

Each takes a stream and returns the seconds that it took; all of them work on a database of the bot's own shape.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol

import psycopg
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.columns import microseconds
from bot.db.engine import Database
from bot.ledger.model import Book, book_of
from bot.ledger.tables import balances, postings
from bot.usage.tables import events
from tests.bench.stream import Stream, Use

_UNTIL_SEEN = 3_000  # events in a transaction

CLIENTS = 8  # at once, of those that book one event at a time: more made them slower

_COLUMNS = (
    "source, key, account_id, model, happened_at, input, cached, written, output, reasoning, batch, price, markup, nano"
)
_TYPES = ("int8", "uuid", "text", *["int8"] * 11)
_COPY = f"COPY usage_events ({_COLUMNS}) FROM STDIN (FORMAT binary)"
_INSERT = f"INSERT INTO usage_events ({_COLUMNS}) VALUES ({', '.join('?' * len(_TYPES))})"


Values = tuple[object, ...]  # of a row, in the order of the columns above


class Ledger(Protocol):
    """Something that books or stores events."""

    async def run(self, stream: Stream) -> float:
        """Seconds until all of them are durable."""


class Raw(Ledger, Protocol):
    """The quickest way to store rows."""

    def store(self, uses: Sequence[Use], batch: int) -> None:
        """Some events of one batch, in one transaction."""


class Sizes:
    """How many events the bot's transactions had, so that others store as many of the same kind in each."""

    def __init__(self) -> None:
        self._seen: dict[tuple[bool, bool], Sequence[int]] = {}

    def note(self, stream: Stream, sizes: Sequence[int]) -> None:
        self._seen[stream.hot, stream.ordered] = sizes

    def like(self, stream: Stream) -> Sequence[int]:
        return self._seen.get((stream.hot, stream.ordered), [_UNTIL_SEEN])


class RawCopy:
    """The rows of events, and nothing else, by PostgreSQL's COPY in its quickest form."""

    def __init__(self, connection: psycopg.Connection, sizes: Sizes) -> None:
        self._connection = connection
        self._sizes = sizes

    async def run(self, stream: Stream) -> float:
        parts = [[_row(use, use.key, 1) for use in part] for part in stream.parts(self._sizes.like(stream))]
        began = time.perf_counter()
        for rows in parts:
            self._store(rows)
        return time.perf_counter() - began

    def store(self, uses: Sequence[Use], batch: int) -> None:
        self._store([_row(use, use.key, batch) for use in uses])

    def _store(self, rows: Sequence[Values]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for row in rows:
                copy.write_row(row)


class RawInserts:
    """The rows of events, and nothing else, by ``executemany`` of the standard library's SQLite driver."""

    def __init__(self, connection: sqlite3.Connection, sizes: Sizes) -> None:
        self._connection = connection
        self._sizes = sizes

    async def run(self, stream: Stream) -> float:
        parts = [[_row(use, use.key.bytes, 1) for use in part] for part in stream.parts(self._sizes.like(stream))]
        began = time.perf_counter()
        for rows in parts:
            self._store(rows)
        return time.perf_counter() - began

    def store(self, uses: Sequence[Use], batch: int) -> None:
        self._store([_row(use, use.key.bytes, batch) for use in uses])

    def _store(self, rows: Sequence[Values]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("COMMIT")


class OneByOne:
    """A transaction of SQLAlchemy for each event: store it, lock the balance, post twice, move the balance."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = count(2)  # what the accounts have bought is entry 1

    async def run(self, stream: Stream) -> float:
        waiting = iter(list(stream))
        began = time.perf_counter()
        await asyncio.gather(*(self._work(waiting) for _ in range(CLIENTS)))
        return time.perf_counter() - began

    async def _work(self, waiting: Iterator[Use]) -> None:
        for use in waiting:
            await self._database.write(_Booking(use, next(self._numbers)))


class _Booking:
    def __init__(self, use: Use, number: int) -> None:
        self._use = use
        self._number = number

    async def __call__(self, tx: AsyncConnection) -> None:
        use, number = self._use, self._number
        await tx.execute(_ADD_EVENT, _values(use))
        nano = (await tx.execute(_LOCK, {"of_account": use.account_id})).scalar_one()
        moved = [
            {"seq": number, "book": book_of(use.account_id), "nano": -use.nano},
            {"seq": number, "book": Book.USAGE.value, "nano": use.nano},
        ]
        await tx.execute(_ADD_POSTINGS, moved)
        await tx.execute(_MOVE, {"of_account": use.account_id, "new_nano": nano - use.nano, "new_seq": number})


_ADD_EVENT = insert(events)
_ADD_POSTINGS = insert(postings)
_LOCK = select(balances.c.nano).where(balances.c.account_id == bindparam("of_account")).with_for_update()
_MOVE = (
    update(balances)
    .where(balances.c.account_id == bindparam("of_account"))
    .values(nano=bindparam("new_nano"), seq=bindparam("new_seq"))
)


class Transfers:
    """A ledger in SQL alone: each call of a function of PostgreSQL is one double-entry transfer, and one transaction.

    A wallet of its own for what is used, because such a ledger has no other kind of account.
    """

    SCHEMA = """
        CREATE TABLE wallets (id text PRIMARY KEY, balance bigint NOT NULL, version bigint NOT NULL);
        CREATE TABLE transfers (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cause uuid NOT NULL UNIQUE,
            source text NOT NULL, target text NOT NULL, amount bigint NOT NULL, made_at timestamptz NOT NULL
        );
        CREATE TABLE movements (
            transfer bigint NOT NULL, wallet text NOT NULL, amount bigint NOT NULL,
            balance bigint NOT NULL, version bigint NOT NULL, PRIMARY KEY (wallet, version)
        );
        CREATE FUNCTION transfer(of_cause uuid, from_wallet text, to_wallet text, of_amount bigint) RETURNS bigint
        LANGUAGE plpgsql AS $$
        DECLARE made bigint; moved wallets;
        BEGIN
            PERFORM 1 FROM wallets WHERE id IN (from_wallet, to_wallet) ORDER BY id FOR UPDATE;
            INSERT INTO transfers (cause, source, target, amount, made_at)
            VALUES (of_cause, from_wallet, to_wallet, of_amount, clock_timestamp()) RETURNING id INTO made;
            UPDATE wallets SET balance = balance - of_amount, version = version + 1
            WHERE id = from_wallet RETURNING * INTO moved;
            INSERT INTO movements VALUES (made, from_wallet, -of_amount, moved.balance, moved.version);
            UPDATE wallets SET balance = balance + of_amount, version = version + 1
            WHERE id = to_wallet RETURNING * INTO moved;
            INSERT INTO movements VALUES (made, to_wallet, of_amount, moved.balance, moved.version);
            RETURN made;
        END $$;
    """
    USED = "used"
    PROOF = """
        SELECT (SELECT count(*) FROM transfers), (SELECT sum(balance)::bigint FROM wallets), count(*) FROM wallets
        LEFT JOIN (SELECT wallet, sum(amount) AS moved FROM movements GROUP BY wallet) AS moves
            ON moves.wallet = wallets.id
        WHERE wallets.balance <> coalesce(moves.moved, 0)
    """

    def __init__(self, connections: Sequence[psycopg.AsyncConnection]) -> None:
        self._connections = connections

    async def run(self, stream: Stream) -> float:
        waiting = iter(list(stream))
        began = time.perf_counter()
        await asyncio.gather(*(self._work(connection, waiting) for connection in self._connections))
        return time.perf_counter() - began

    async def _work(self, connection: psycopg.AsyncConnection, waiting: Iterator[Use]) -> None:
        for use in waiting:
            asked = (use.key, use.account_id, self.USED, use.nano)
            await connection.execute("SELECT transfer(%s, %s, %s, %s)", asked, prepare=True)


@asynccontextmanager
async def transfers(uri: str, accounts: Sequence[str]) -> AsyncIterator[Transfers]:
    """Its tables and its function, an empty wallet for each account, and the connections of its clients."""
    connections = [await psycopg.AsyncConnection.connect(uri, autocommit=True) for _ in range(CLIENTS)]
    await connections[0].execute(Transfers.SCHEMA)
    await connections[0].execute("INSERT INTO wallets SELECT unnest(%s::text[]), 0, 0", ([*accounts, Transfers.USED],))
    yield Transfers(connections)
    for connection in connections:
        await connection.close()


def _row(use: Use, key: object, batch: int) -> Values:
    at = microseconds(use.at)
    return (1, key, use.account_id, 1, at, use.input, use.cached, 0, use.output, 0, batch, 1, 0, use.nano)


def _values(use: Use) -> dict[str, object]:
    return {
        "source": 1,
        "key": use.key.bytes,
        "account_id": use.account_id,
        "model": 1,
        "happened_at": use.at,
        "input": use.input,
        "cached": use.cached,
        "written": 0,
        "output": use.output,
        "reasoning": 0,
        "batch": 1,
        "price": 1,
        "markup": 0,
        "nano": use.nano,
    }
