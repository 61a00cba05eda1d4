"""Opening the database, and the one way to write to it.

SQLite has a single writing connection and a read-only engine beside it; PostgreSQL has a pool. On SQLite two
processes never write in the same moment: versions 3.7.0 to 3.51.2 can damage a file when they do
(https://sqlite.org/wal.html#walresetbug), and a second bot on one file is refused by ``only_process``.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event, make_url
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from bot.db.file_lock import FileLock
from bot.db.sqlite import Driver
from bot.errors import Outage, Unusable

T = TypeVar("T")

_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock: PostgreSQL asks for the whole transaction again
_FORBIDDEN = {"42501", "3F000"}  # insufficient privilege, no schema that this user may use
_TRIES = 5
_LOOK_AGAIN = 0.02  # seconds
_READERS = 4  # threads of an SQLite file: Python lets one of them compute at a time
_KEPT = 65_536  # KiB of pages that the writer keeps at most: the last one of each of ten thousand books, and more
_PAGE = 1_024  # bytes, of a new file: a debit of many accounts writes a page of each one's postings, twice over
_LOG = 65_536  # such pages of log before they are brought home: what is written again and again is brought home once


class AlreadyRunning(Unusable):
    """Another bot holds this SQLite file."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"another bot is already at work on {file}")


class Database:
    """Reading and writing. Reads see what was committed before they began. ``patience``: seconds to wait for a turn."""

    def __init__(self, url: str, *, pool: int = 10, patience: float = 10.0) -> None:
        self._patience = patience
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.file = Path(str(self.url.database)).absolute()
            file = self.url.set(database=str(self.file))
            self._writer = _sqlite_engine(file, begin="BEGIN IMMEDIATE", size=1, patience=patience)
            self._reader = _sqlite_engine(file, begin="BEGIN", size=min(pool, _READERS), patience=patience)
        else:
            self._writer = _postgres_engine(str(self.url.render_as_string(hide_password=False)), pool, patience)
            self._reader = self._writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._between_processes = FileLock(Path(f"{self.file}.lock")) if self.is_sqlite else None
        self._one_writer = asyncio.Lock()
        self._only = False
        self.is_doubted = False  # a write has failed, and ``versions.try_writing`` has not succeeded since

    def __str__(self) -> str:
        return str(self.file) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def read(self, *, at_length: bool = False) -> AsyncIterator[AsyncConnection]:
        """One snapshot to read from. Raises ``Outage`` as ``write`` does.

        ``at_length``: nobody waits for it. A statement that reads millions of rows may take its time, and so may
        whatever is computed of them before the next one.
        """
        with _outages():
            async with self._reader.connect() as connection:
                must(connection.sync_connection).begin()  # asks the database nothing yet; closing ends it
                if at_length and not self.is_sqlite:
                    async with _unhurried(connection):
                        yield connection
                else:
                    yield connection

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run ``work`` in one writing transaction and commit; from its start again when PostgreSQL asked for that.

        A cancelled call may have committed: every write is idempotent by a unique key. Raises ``Outage`` where the
        database does not answer, or not in time.
        """
        try:
            with _outages():
                return await self._write(work)
        except Outage:
            self.is_doubted = True
            raise

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        for left in reversed(range(_TRIES)):
            try:
                async with self._alone(), self._writer.connect() as tx:
                    must(tx.sync_connection).begin()  # Alembic would commit by itself where it finds none
                    done = await work(tx)
                    await tx.commit()
                    return done
            except OperationalError as error:
                if not left or getattr(error.orig, "sqlstate", None) not in _AGAIN:
                    raise
                await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - spreads the retries
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        lock = self._between_processes
        if lock is None:
            yield
            return
        async with self._one_writer:
            try:
                if not lock.take():
                    await self._turn(lock)
            except OSError as error:
                raise Outage("database", str(error)) from error
            try:
                yield
            finally:
                lock.release()

    async def _turn(self, lock: FileLock) -> None:
        """Wait until no other process writes."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_AGAIN)
            if lock.take():
                return
        raise Outage("database", f"another process keeps {self.file} locked")

    def make_file(self) -> None:
        """Make the SQLite file if there is none, for this user's eyes only. Raise ``Outage`` where it cannot be."""
        try:
            self.file.touch(mode=0o600)
        except OSError as error:
            raise Outage("database", str(error)) from error

    @contextmanager
    def only_process(self) -> Iterator[None]:
        """Hold the SQLite file for this bot alone; in it, again. Raise ``AlreadyRunning`` when another one has it."""
        if not self.is_sqlite or self._only:
            yield
            return
        if not self.file.parent.is_dir():
            raise Outage("database", f"there is no folder {self.file.parent}")
        lock = FileLock(Path(f"{self.file}.run.lock"))
        try:
            if not lock.take():
                raise AlreadyRunning(self.file)
        except OSError as error:
            raise Outage("database", str(error)) from error
        else:
            self._only = True
            yield
        finally:
            self._only = False
            lock.close()

    async def dispose(self) -> None:
        await self._writer.dispose()
        await self._reader.dispose()
        if self._between_processes is not None:
            self._between_processes.close()


@asynccontextmanager
async def _unhurried(connection: AsyncConnection) -> AsyncIterator[None]:
    """For one transaction on PostgreSQL, neither side minds how long the other one takes."""
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        await connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
    driver = must((await connection.get_raw_connection()).driver_connection)
    usual, driver.patience = driver.patience, None
    try:
        yield
    finally:
        driver.patience = usual


@contextmanager
def _outages() -> Iterator[None]:
    """A database that cannot do its work is an ``Outage``; one that finds fault with ours shows a bug."""
    try:
        yield
    except (DatabaseError, InterfaceError, PoolTimeout) as error:
        if getattr(getattr(error, "orig", None), "sqlstate", None) in _FORBIDDEN:
            what = str(error.orig).partition("\n")[0]  # type: ignore[union-attr]
            raise Outage("database", f"{what}: let the user of DATABASE_URL own the database") from error
        damaged = type(getattr(error, "orig", None)) is sqlite3.DatabaseError
        if not damaged and not isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
            raise
        raise Outage("database", str(error).partition("\n")[0]) from error


def _sqlite_engine(url: Any, *, begin: str, size: int, patience: float) -> AsyncEngine:
    engine = create_async_engine(
        url,
        module=Driver(),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience,
        pool_use_lifo=True,  # as few connections as there is work for, and those know the database
        hide_parameters=True,
    )
    writing = [  # whoever only looks does not change a file: it may be another program's
        "journal_mode = WAL",
        f"cache_size = -{_KEPT}",
        f"wal_autocheckpoint = {_LOG}",
    ]
    pragmas = [
        f"busy_timeout = {int(patience * 500)}",  # half of it: whoever waits behind the one that waits has a chance too
        f"page_size = {_PAGE}",
        "synchronous = FULL",
        "foreign_keys = ON",
        "mmap_size = 0",
        *(["query_only = ON"] if begin == "BEGIN" else writing),
    ]

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions of its own
        connection.run_async(lambda driver: driver.executescript("".join(f"PRAGMA {each};" for each in pragmas)))

    @event.listens_for(engine.sync_engine, "invalidate")
    def _let_go(connection: Any, record: object, error: BaseException | None) -> None:
        connection.rollback()  # of a cancelled call: closing keeps the lock for as long as a half-read result lives

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.connection.dbapi_connection.to_begin = begin

    return engine


def _postgres_engine(url: str, size: int, patience: float) -> AsyncEngine:
    from bot.db.postgres import Connection  # its driver need not be installed where SQLite is enough

    return create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience,
        pool_use_lifo=True,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": Connection.connect,
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 30,  # what waits for a busier hour is not forgotten by whatever is on the way
            "options": "-c statement_timeout=15000 -c idle_in_transaction_session_timeout=30000",
        },
    )


def sqlite_version() -> str:
    """The SQLite that Python was built with."""
    return sqlite3.sqlite_version


def must(found: T | None) -> T:
    """What the database's own constraints promise to be there."""
    assert found is not None
    return found
